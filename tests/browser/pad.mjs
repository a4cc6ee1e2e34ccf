// The PIN pad when a press changes nothing: node pad.mjs
//
// The kiosk's own script on a page of a few lines, with this program as the other end of its socket. Ends with 0 when the pad can
// be used again and every PIN was sent whole, 1 with a sentence on stderr when not.

import { readFile } from "node:fs/promises";
import { launch } from "./browser.mjs";

const HOME = "http://localhost:8090";
const STATIC = new URL("../../gateway/src/web/static/", import.meta.url);
const RECEPTION = "018f5b7e-0000-7000-8000-000000000001";

// What the script needs of gateway/templates/kiosk.html and screen/pin.html.
const PAGE = `<!doctype html><html lang="ja"><head><title>pad</title><script type="module" src="/static/kiosk.js"></script></head>
  <body><nav></nav><section id="connecting"></section><section id="offline" hidden></section><section id="replaced" hidden></section><p id="closing" hidden></p>
  <p id="sending" hidden></p><p id="unturned" hidden></p><p id="again" hidden><span data-pin></span><span data-press></span></p>
  <div id="viewfinder" hidden><video id="camera"></video></div><main id="screen" hidden></main></body></html>`;
const KEYS = Array.from({ length: 10 }, (_, position) => `<button data-position="${position}">${position}</button>`).join("");
const PIN = `<h1 tabindex="-1">PIN</h1><div class="circles"><i></i><i></i><i></i><i></i><span class="unseen"></span></div>${KEYS}`;

async function main() {
  const browser = await launch();
  try {
    const page = await browser.newPage();
    const sent = [];
    await page.route("**/*", async (route) => {
      const [, name] = /\/static\/(\w+\.js)$/.exec(route.request().url()) ?? [];
      if (name === undefined) return route.fulfill({ contentType: "text/html", body: PAGE });
      return route.fulfill({ contentType: "text/javascript", body: await readFile(new URL(name, STATIC), "utf8") });
    });
    await page.routeWebSocket(/\/ws/, (socket) => {
      // Every press is heard, and followed by no screen.
      socket.onMessage((message) => {
        sent.push(JSON.parse(message));
        socket.send(JSON.stringify({ type: "heard", taken: true }));
      });
      socket.send(JSON.stringify({ type: "screen", reception: RECEPTION, version: 1, name: "pin", html: PIN }));
    });
    await page.goto(`${HOME}/kiosk/desk-1/a`, { timeout: 15000 });
    const type = async (positions) => {
      for (const position of positions) await page.locator(`[data-position="${position}"]`).click({ timeout: 10000 });
    };
    const empty = () => page.waitForFunction(
      () => !document.getElementById("screen").inert && document.querySelectorAll(".circles .filled").length === 0,
      undefined,
      { timeout: 10000 },
    );
    await type([1, 2, 3, 4]);
    if ((await page.locator(".circles .filled").count()) !== 4) throw new Error("four keys do not fill four circles");
    await empty();
    await type([5, 6]);
    if ((await page.locator(".circles .unseen").textContent()) !== "2 / 4") throw new Error("the count is not told");
    await type([7, 8]);
    await empty();
    const keys = JSON.stringify(sent.map((message) => message.keys));
    if (keys !== "[[1,2,3,4],[5,6,7,8]]") throw new Error(`the kiosk sent ${keys}`);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(`pad: ${error.message}`);
  process.exitCode = 1;
});
