// Kiosk and staff page behind a connection that stops forwarding without closing.
//
//   node halfopen.mjs BASE_URL TERMINAL/READER [--shots DIR]
//
// A TCP proxy of its own stands between the pages and the gateway. The card is put in by the program that started this, after the line
// "opened"; a PIN is typed while nothing is forwarded. Prints one JSON line for each case, with how long it took; ends with 0 when both
// pages said that they are offline, on a phone without scrolling, came back, and asked for the PIN again; 1 with a sentence on stderr
// when not. That it takes less than fifteen seconds is for silence.mjs to say, whose clock no load delays.

import { mkdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { launch, parse } from "./browser.mjs";

const PIN = "1234";
// A page that does not notice never does.
const OFFLINE_MS_MAX = 60_000;
const PHONE = { width: 360, height: 740 };

/** Forwards to a port until told to stop; what is open then stays open, in silence, and so does what is opened meanwhile. */
function proxy({ hostname, port }) {
  const through = new Set();
  let dead = false;
  const server = createServer((near) => {
    const far = connect(Number(port), hostname.replace(/^\[|\]$/g, ""));
    const pair = { near, far };
    through.add(pair);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.on("data", (bytes) => { if (!dead && !pair.dead) to.write(bytes); });
      from.on("error", () => {});
      from.on("close", () => { if (!dead && !pair.dead) to.destroy(); });
    }
    pair.dead = dead;
  });
  return {
    listen: () => new Promise((resume) => server.listen(0, "127.0.0.1", () => resume(server.address().port))),
    die() {
      dead = true;
      for (const pair of through) pair.dead = true;
    },
    live() { dead = false; },
    end() {
      for (const { near, far } of through) { near.destroy(); far.destroy(); }
      server.close();
    },
  };
}

/** On a phone nobody scrolls to learn what is wrong, and no button is a column of letters. */
async function readable(page) {
  const before = page.viewportSize();
  await page.setViewportSize(PHONE);
  const { bottom, broken, width } = await page.evaluate(() => {
    const lines = (element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      return new Set([...range.getClientRects()].map((line) => line.top)).size;
    };
    return {
      bottom: document.querySelector('#offline [lang="en"]').getBoundingClientRect().bottom,
      broken: [...document.querySelectorAll("nav a")].filter((link) => lines(link) > 1).map((link) => link.textContent),
      width: document.documentElement.scrollWidth,
    };
  });
  await page.setViewportSize(before);
  if (bottom > PHONE.height) throw new Error(`on a phone the English ends at ${bottom} of ${PHONE.height} pixels`);
  if (broken.length > 0) throw new Error(`on a phone these buttons are broken: ${broken}`);
  return width;
}

function say(fields) {
  console.log(JSON.stringify(fields));
}

async function main() {
  const { options, rest } = parse(process.argv.slice(2), ["shots"]);
  if (rest.length !== 2) throw new Error("usage: node halfopen.mjs BASE_URL TERMINAL/READER [--shots DIR]");
  const line = proxy(new URL(rest[0]));
  const base = `http://127.0.0.1:${await line.listen()}`;
  const browser = await launch();
  const shot = async (page, name) => {
    if (options.shots === undefined) return;
    await mkdir(options.shots, { recursive: true });
    for (const [size, width, height] of [["wide", 1280, 800], ["phone", PHONE.width, PHONE.height]]) {
      await page.setViewportSize({ width, height });
      await page.screenshot({ path: join(options.shots, `${name}-${size}.png`) });
    }
  };
  try {
    const context = await browser.newContext({ viewport: { width: 1024, height: 600 } });
    const [kiosk, staff] = [await context.newPage(), await context.newPage()];
    await kiosk.goto(`${base}/kiosk/${rest[1]}?lang=ja`);
    await staff.goto(`${base}/staff?lang=ja`);
    await staff.locator("#readers table").waitFor({ timeout: 20_000 });
    const screen = (name) => kiosk.waitForFunction((wanted) => document.body.dataset.screen === wanted, name, { timeout: 30_000 });
    await screen("idle");
    say({ step: "opened" });
    await screen("choose");
    await kiosk.locator('[data-intent="choose_pin"]').click();
    await screen("pin");
    const type = async () => {
      for (const digit of PIN) await kiosk.locator("[data-position]", { hasText: new RegExp(`^${digit}$`) }).click();
    };

    if ((await readable(kiosk)) > PHONE.width) throw new Error("on a phone the pad is wider than the screen");
    line.die();
    const died = performance.now();
    await type();
    const offline = async (page) => {
      await page.locator("#offline").waitFor({ state: "visible", timeout: OFFLINE_MS_MAX });
      return Math.round(performance.now() - died);
    };
    const [kioskMs, staffMs] = await Promise.all([offline(kiosk), offline(staff)]);
    say({ case: "half open", page: "kiosk", noticed_ms: kioskMs });
    say({ case: "half open", page: "staff", noticed_ms: staffMs });
    if ((await kiosk.locator("[data-position]").count()) > 0) throw new Error("the pad looks alive");
    await shot(kiosk, "kiosk-offline");
    await shot(staff, "staff-offline");
    if ((await readable(kiosk)) > PHONE.width) throw new Error("on a phone the kiosk is wider than the screen");
    await readable(staff);

    line.live();
    const lived = performance.now();
    const back = async (page) => {
      await page.locator("#offline").waitFor({ state: "hidden", timeout: 60_000 });
      return Math.round(performance.now() - lived);
    };
    const [kioskBack, staffBack] = await Promise.all([back(kiosk), back(staff)]);
    say({ case: "half open", page: "kiosk", recovered_ms: kioskBack });
    say({ case: "half open", page: "staff", recovered_ms: staffBack });
    await kiosk.locator("#again [data-pin]").waitFor({ state: "visible", timeout: 5_000 });
    await shot(kiosk, "kiosk-again");
    await kiosk.setViewportSize({ width: 1024, height: 600 });
    await type();
    await kiosk.waitForFunction(() => !["", "pin"].includes(document.body.dataset.screen), undefined, { timeout: 30_000 });
    say({ step: "verified", screen: await kiosk.evaluate(() => document.body.dataset.screen) });
  } finally {
    await browser.close();
    line.end();
  }
}

main().catch((error) => {
  console.error(`halfopen: ${error.message}`);
  process.exitCode = error.message.startsWith("usage") ? 64 : 1;
});
