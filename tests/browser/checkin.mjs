// A patient who checks in by face, or by PIN.
//
//   node checkin.mjs BASE_URL TERMINAL/READER CLIP.mjpeg [--shots DIR] [--lang ja|en] [--pin 1234] [--no-consent true]
//                    [--timeout SECONDS]
//
// The card is put in by whoever started this. Prints one JSON line for each step; ends with 0 when the kiosk says that the
// check-in is done, 1 with a sentence on stderr when it does not, 64 for wrong arguments.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { launch, parse } from "./browser.mjs";

const KNOWN = ["shots", "lang", "pin", "no-consent", "timeout"];

class Failure extends Error {}

const started = performance.now();
let shots;
let shot = 0;

async function step(page, name, more = {}) {
  console.log(JSON.stringify({ step: name, ms: Math.round(performance.now() - started), ...more }));
  if (shots === undefined) return;
  shot += 1;
  await page.screenshot({ path: join(shots, `${String(shot).padStart(2, "0")}-${name}.png`) });
}

const shown = (page) => page.evaluate(() => document.body.dataset.screen ?? "");

/** Waits for one of these screens; an ending that is none of them is a failure at once. */
async function reach(page, names, deadline) {
  const ends = ["take_card", "notice", "out_of_service", "ineligible"];
  try {
    await page.waitForFunction(
      (wanted) => wanted.includes(document.body.dataset.screen),
      [...names, ...ends],
      { timeout: Math.max(1, deadline - performance.now()), polling: 50 },
    );
  } catch (error) {
    const heading = await page.locator("#screen h1").textContent({ timeout: 500 }).catch(() => "");
    if (error.name !== "TimeoutError") throw error;
    throw new Failure(`timed out waiting for ${names.join(" or ")}; the kiosk shows "${await shown(page)}" (${heading?.trim()})`);
  }
  const name = await shown(page);
  if (!names.includes(name)) {
    throw new Failure(`waited for ${names.join(" or ")}, but the kiosk shows "${name}": ${await heading(page)}`);
  }
  return name;
}

const heading = async (page) => (await page.locator("#screen h1").innerText({ timeout: 2000 })).trim();

async function typePin(page, pin) {
  for (const digit of pin) await page.locator("[data-position]", { hasText: new RegExp(`^${digit}$`) }).click();
}

async function checkin(page, options, deadline) {
  await reach(page, ["choose"], deadline);
  await step(page, "choose");
  if (options.pin === undefined) {
    await page.locator('[data-intent="choose_face"]').click({ timeout: 5000 });
    await reach(page, ["face", "asking", "consent", "recording", "take_card"], deadline);
    if ((await shown(page)) === "face") {
      await page.locator("#camera").waitFor({ state: "visible", timeout: 5000 }).catch(() => {});
      await step(page, "face");
    }
  } else {
    await page.locator('[data-intent="choose_pin"]').click({ timeout: 5000 });
    await reach(page, ["pin"], deadline);
    await page.locator("[data-position]").first().waitFor({ timeout: 5000 });
    await step(page, "pin");
    await typePin(page, options.pin);
  }
  const agreed = options["no-consent"] === undefined;
  for (let number = 1; ; number += 1) {
    const name = await reach(page, ["consent", "take_card"], deadline);
    if (name === "take_card") break;
    const question = page.locator(`[data-intent="consent"][data-agreed="${agreed}"]`);
    const kind = await question.getAttribute("data-question");
    await step(page, "consent", { number, kind, provisional: (await page.locator("#screen .banner").count()) > 0 });
    await question.click();
    await page.waitForFunction(
      (before) => document.querySelector('[data-intent="consent"]')?.dataset.question !== before,
      kind,
      { timeout: Math.max(1, deadline - performance.now()), polling: 50 },
    );
  }
  const text = await heading(page);
  if ((await page.locator("#screen h1.done").count()) === 0) throw new Failure(`the check-in ended otherwise: ${text}`);
  await step(page, "take_card", { text });
}

async function main() {
  const { options, rest } = parse(process.argv.slice(2), KNOWN);
  const [base, reader, clip] = rest;
  if (rest.length !== 3 || !/^[^/]+\/[^/]+$/.test(reader)) {
    throw new Error("usage: node checkin.mjs BASE_URL TERMINAL/READER CLIP.mjpeg [--shots DIR] [--lang ja|en] [--pin 1234] [--no-consent true] [--timeout SECONDS]");
  }
  const timeout = Number(options.timeout ?? 60);
  if (!(timeout > 0)) throw new Error("--timeout takes seconds");
  shots = options.shots;
  if (shots !== undefined) await mkdir(shots, { recursive: true });
  const browser = await launch({ clip });
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      // A refused or lost connection is reported here too; the kiosk tries again, and the time-out below decides.
      if (message.type() === "error" && !/WebSocket|ERR_CONNECTION|favicon/.test(message.text())) complaints.push(message.text());
    });
    const deadline = performance.now() + timeout * 1000;
    await page.goto(new URL(`/kiosk/${reader}?lang=${options.lang ?? "ja"}`, base).href, { timeout: timeout * 1000 });
    try {
      await page.waitForFunction(() => (document.body.dataset.screen ?? "") !== "", undefined, { timeout: timeout * 1000 });
      await step(page, "opened", { screen: await shown(page) });
      await checkin(page, options, deadline);
      if (complaints.length > 0) throw new Failure(`the page complained: ${complaints.join("; ")}`);
    } catch (error) {
      await step(page, "failed", { screen: await shown(page).catch(() => "") }).catch(() => {});
      throw error.name === "TimeoutError" ? new Failure(error.message) : error;
    }
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(`checkin: ${error.message}`);
  process.exitCode = error.message.startsWith("usage") || /option --|--timeout/.test(error.message) ? 64 : 1;
});
