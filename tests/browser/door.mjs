// Kiosk and staff page that are opened while a gateway waits for another program's lock.
//
//   node door.mjs BASE_URL TERMINAL/READER [--shots DIR]
//
// Prints one JSON line when both pages send patients to the desk, readable on a phone without scrolling. The program that started this
// then ends the wait. Ends with 0 when both pages are the real ones without anybody touching them; 1 with a sentence on stderr when not.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { launch, parse } from "./browser.mjs";

const PHONE = { width: 360, height: 740 };
const BACK_MS_MAX = 60_000;
const SENTENCES = ["窓口にお越しください", "Please go to the desk"];

class Failure extends Error {}

async function readable(page, what) {
  for (const sentence of SENTENCES) {
    const box = await page.getByText(sentence).first().boundingBox();
    if (box === null) throw new Failure(`${what} does not say ${sentence}`);
    if (box.y + box.height > PHONE.height || box.width > PHONE.width) throw new Failure(`${sentence} is not readable on a phone: ${JSON.stringify(box)}`);
  }
}

const { options, rest } = parse(process.argv.slice(2), ["shots"]);
const [base, reader] = rest;
const browser = await launch();
try {
  const context = await browser.newContext({ viewport: PHONE });
  const pages = { kiosk: await context.newPage(), staff: await context.newPage() };
  await pages.kiosk.goto(`${base}/kiosk/${reader}`);
  await pages.staff.goto(`${base}/staff`);
  for (const [name, page] of Object.entries(pages)) {
    await readable(page, name);
    if (options.shots === undefined) continue;
    await mkdir(options.shots, { recursive: true });
    await page.screenshot({ path: join(options.shots, `door-${name}.png`) });
  }
  console.log(JSON.stringify({ waits: true }));
  await pages.kiosk.waitForFunction(() => document.body.dataset.screen === "idle", undefined, { timeout: BACK_MS_MAX });
  await pages.staff.waitForFunction(() => document.querySelector("body.staff") !== null, undefined, { timeout: BACK_MS_MAX });
} catch (failure) {
  console.error(failure.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
