// A picture of a page: node shoot.mjs URL OUT.png [--width 1280] [--height 900] [--wait CSS_SELECTOR] [--full true]

import { launch, parse } from "./browser.mjs";

async function main() {
  const { options, rest } = parse(process.argv.slice(2), ["width", "height", "wait", "full"]);
  const [url, out] = rest;
  const width = Number(options.width ?? 1280);
  const height = Number(options.height ?? 900);
  if (rest.length !== 2 || !(width > 0) || !(height > 0)) {
    console.error("usage: node shoot.mjs URL OUT.png [--width 1280] [--height 900] [--wait CSS_SELECTOR] [--full true]");
    process.exitCode = 64;
    return;
  }
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: { width, height } });
    await page.goto(url, { timeout: 15000 });
    // A kiosk page is blank until its socket has spoken.
    if (await page.locator("body.kiosk").count()) await page.waitForFunction(() => !!document.body.dataset.screen, undefined, { timeout: 15000 });
    if (options.wait !== undefined) await page.locator(options.wait).first().waitFor({ timeout: 15000 });
    await page.screenshot({ path: out, fullPage: options.full !== undefined });
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(`shoot: ${error.message}`);
  process.exitCode = 1;
});
