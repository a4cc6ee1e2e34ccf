// Kiosk and staff page on a connection that goes dead without a word, and on one that is only slow: node silence.mjs
//
// The pages' own scripts on the gateway's templates' bare bones, with this program as the other end of their sockets and as their
// clock: no second passes that is not told. Ends with 0 when each step came out, 1 with a sentence on stderr when one did not.

import { readFile } from "node:fs/promises";
import { launch } from "./browser.mjs";

const HOME = "http://localhost:8090";
const STATIC = new URL("../../gateway/src/web/static/", import.meta.url);
const RECEPTION = "018f5b7e-0000-7000-8000-000000000001";
const BEAT = JSON.stringify({ type: "beat" });

// What the scripts need of gateway/templates/kiosk.html, screen/pin.html and staff/page.html.
const KIOSK = `<!doctype html><html lang="ja"><head><title>kiosk</title><script type="module" src="/static/kiosk.js"></script></head>
  <body><nav><a data-lang="en">English</a></nav><section id="connecting"></section><section id="offline" hidden>offline</section>
  <section id="replaced" hidden><button data-here>here</button></section><p id="closing" hidden></p><p id="sending" hidden>sending</p>
  <p id="unturned" hidden>not now</p>
  <p id="again" hidden><span data-pin>pin</span><span data-press>press</span></p>
  <div id="viewfinder" hidden><video id="camera"></video></div><main id="screen" hidden></main></body></html>`;
const STAFF = `<!doctype html><html lang="ja"><head><title>staff</title><script type="module" src="/static/staff.js"></script></head>
  <body><nav><a data-lang="en" href="?lang=en">English</a></nav><div id="offline" hidden>offline <time></time></div><div id="crowded" hidden><button data-here>here</button></div>
  <p id="closing" hidden></p><p id="unturned" hidden>not now</p><p id="told"></p><p id="news"></p><main><input id="by"><section id="central"></section>
  <section id="readers"></section><section id="work"></section></main></body></html>`;
const KEYS = Array.from({ length: 10 }, (_, position) => `<button data-position="${position}">${position}</button>`).join("");
const PIN = `<h1 tabindex="-1">PIN</h1><div class="circles"><i></i><i></i><i></i><i></i><span class="unseen"></span></div>${KEYS}`;

function expect(so, what) {
  if (!so) throw new Error(`not so: ${what}`);
  console.log(what);
}

/** A page whose clock stands still, and the other end of its sockets. */
async function open(browser, path, html) {
  const page = await browser.newPage();
  const ends = [];
  const gateway = { stops: false };
  await page.clock.install({ time: 0 });
  await page.route("**/*", async (route) => {
    const [, name] = /\/static\/(\w+\.js)$/.exec(route.request().url()) ?? [];
    if (name === undefined && gateway.stops) return route.fulfill({ status: 503, contentType: "text/html", body: "stops" });
    if (name === undefined) return route.fulfill({ contentType: "text/html", body: html });
    return route.fulfill({ contentType: "text/javascript", body: await readFile(new URL(name, STATIC), "utf8") });
  });
  await page.routeWebSocket(/\/ws/, (socket) => {
    socket.heard = [];
    socket.onMessage((message) => socket.heard.push(JSON.parse(message)));
    socket.asked = socket.url();
    ends.push(socket);
  });
  await page.clock.pauseAt(1000);
  await page.goto(HOME + path, { timeout: 15000 });
  const seen = (selector) => page.locator(selector).isVisible();
  // A message has arrived when the page's next turn is over.
  const say = async (message) => {
    ends.at(-1).send(typeof message === "string" ? message : JSON.stringify(message));
    await page.evaluate(() => new Promise((resume) => { const { port1, port2 } = new MessageChannel(); port1.onmessage = resume; port2.postMessage(0); }));
  };
  const connected = async (count, patience = 10_000) => {
    for (let step = 0; step < patience / 100 && ends.length < count; step += 1) await page.clock.runFor(100);
    if (ends.length < count) throw new Error(`the page connected ${ends.length} times, not ${count}`);
  };
  await connected(1);
  return { page, ends, gateway, seen, say, connected, pass: (ms) => page.clock.runFor(ms) };
}

async function kiosk(browser) {
  const { page, ends, gateway, seen, say, connected, pass } = await open(browser, "/kiosk/desk-1/a", KIOSK);
  const pad = (version) => ({ type: "screen", reception: RECEPTION, version, name: "pin", html: PIN });
  const type = async (positions) => {
    for (const position of positions) await page.locator(`[data-position="${position}"]`).click({ timeout: 5000 });
  };
  const inert = () => page.evaluate(() => document.getElementById("screen").inert);
  const filled = () => page.locator(".circles .filled").count();
  await say(pad(1));
  await page.locator("[data-position]").first().waitFor();

  for (let minute = 0; minute < 6; minute += 1) {
    await pass(11_000);
    await say(BEAT);
  }
  expect(!(await seen("#offline")) && ends.length === 1, "a line whose beats are late by eight seconds is kept");

  await type([1, 2, 3, 4]);
  await pass(4_000);
  await say(BEAT);
  expect((await filled()) === 4 && (await inert()) && (await seen("#sending")), "a PIN under way is said to be, and the pad is locked");
  await say({ type: "heard", taken: true });
  await pass(1_600);
  expect((await filled()) === 0 && !(await inert()) && !(await seen("#sending")), "one that arrived and changed nothing gives the pad back");
  await type([1, 2, 3, 4]);
  await say({ type: "heard", taken: false });
  expect((await filled()) === 0 && !(await inert()) && (await seen("#again [data-pin]")), "one that the reader had no room for is asked for again");
  await say(pad(2));
  expect(!(await seen("#again")), "and not on the next screen");

  await type([5, 6, 7, 8]);
  await pass(13_000);
  expect((await seen("#offline")) && !(await seen("#screen")) && (await page.locator("[data-position]").count()) === 0, "a dead line is offline within fifteen seconds, and the pad is gone");
  expect(await page.evaluate(() => document.querySelector("nav").inert), "no other page is asked for on a dead line");
  await connected(2);
  await say(pad(2));
  expect(!(await seen("#offline")) && (await seen("#again [data-pin]")), "the PIN that was typed meanwhile is asked for again");
  await type([1]);
  await pass(13_000);
  await connected(3);
  await say(pad(3));
  expect((await seen("#again [data-pin]")) && (await filled()) === 0, "so is one that was typed in part, on a new pad as well");
  await pass(13_000);
  await connected(4);
  await say({ type: "screen", reception: null, version: 4, name: "idle", html: "<h1>idle</h1>" });
  expect(!(await seen("#again")), "the next patient is not asked for it");

  gateway.stops = true;
  await page.locator("[data-lang]").click({ timeout: 5000 });
  await page.locator("#unturned").waitFor({ timeout: 5000 });
  expect((await seen("#screen")) && (await seen("#unturned")), "a language that cannot be had is said, and the screen stays");
  await say({ type: "screen", reception: RECEPTION, version: 5, name: "choose", html: "<h1>choose</h1>" });
  expect(!(await seen("#unturned")), "until the next screen");

  await say({ type: "replaced" });
  await ends.at(-1).close();
  await page.locator("[data-here]").waitFor();
  await pass(20_000);
  expect(ends.length === 4, "a kiosk that was replaced leaves the reader to the other");
  await page.locator("[data-here]").click();
  await connected(5);
  expect(true, "until it is asked back");
  await pass(4_500);
  expect(await seen("#offline"), "a connection that never says anything is left");
  await page.close();
}

async function staff(browser) {
  const { page, ends, gateway, seen, say, connected, pass } = await open(browser, "/staff", STAFF);
  const inert = () => page.evaluate(() => document.querySelector("main").inert);
  await say({ type: "fragment", id: "readers", html: "<p>one", more: true });
  await say({ type: "fragment", id: "readers", html: " two</p>", more: false });
  expect((await page.locator("#readers").innerHTML()) === "<p>one two</p>", "a long part is put together from its pieces");
  await pass(11_000);
  await say(BEAT);
  await pass(11_000);
  await say(BEAT);
  expect(!(await seen("#offline")) && ends.length === 1, "a slow line keeps its staff page");
  await pass(13_000);
  expect((await seen("#offline")) && (await inert()), "a dead one is said, and nothing can be pressed");
  expect((await page.locator("#offline time").textContent()) !== "", "with the time from which on all is old");
  await connected(2);
  await say({ type: "fragment", id: "work", html: "new", more: false });
  expect(!(await seen("#offline")) && !(await inert()), "it is of use again with the first part");
  await say({ type: "crowded" });
  await ends.at(-1).close();
  await page.locator("[data-here]").waitFor();
  await pass(59_000);
  expect((await inert()) && ends.length === 2, "one page too many stands still for a minute, and does not push others out in turn");
  await connected(3, 32_000);
  const returns = () => new URL(ends.at(-1).asked).searchParams.has("returns");
  expect(ends.length === 3 && returns(), "then it asks for room by itself, but for nobody's place");
  await say({ type: "crowded" });
  await ends.at(-1).close();
  await pass(59_000);
  expect((await inert()) && (await seen("#crowded")) && ends.length === 3, "while there is none it waits for another minute");
  await connected(4, 32_000);
  await say({ type: "fragment", id: "work", html: "back", more: false });
  expect(ends.length === 4 && returns() && !(await inert()) && !(await seen("#crowded")), "and is of use again where there is room");
  await ends.at(-1).close();
  await connected(5);
  expect(!returns(), "after that it is a page like any other");
  await say({ type: "crowded" });
  await ends.at(-1).close();
  await page.locator("[data-here]").click();
  await connected(6);
  await say({ type: "fragment", id: "work", html: "newer", more: false });
  expect(!returns() && !(await inert()) && !(await seen("#crowded")), "a person gets it back at once");
  await pass(11_000);
  await say(BEAT);
  expect(ends.length === 6, "and it asks no more");

  gateway.stops = true;
  await page.locator("[data-lang]").click({ timeout: 5000 });
  await page.locator("#unturned").waitFor({ timeout: 5000 });
  expect((await page.locator("#work").textContent()) === "newer" && !(await inert()), "a language that cannot be had is said, and the page stays");
  await page.close();
}

const browser = await launch();
try {
  await kiosk(browser);
  await staff(browser);
} catch (error) {
  console.error(`silence: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
