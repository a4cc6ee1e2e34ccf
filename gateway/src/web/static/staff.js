// The staff page: puts in the parts that the gateway draws, takes orders of staff to it.

import { isThere, link } from "./link.js";

const PARTS = ["readers", "central", "work"];

// An order that is not answered by then has failed, as far as anybody can tell.
const ANSWER_MS = 10000;

// An answer to an order stays long enough to be read.
const TOLD_MS = 8000;

// A page that gave way to newer ones asks for room again after a minute, or up to half a minute more: many pages do not come at once.
const CROWDED_MS = 60000;
const CROWDED_MORE_MS = 30000;

const told = document.getElementById("told");
const news = document.getElementById("news");
const unturned = document.getElementById("unturned");
// What was said last, by part.
const said = new Map();
let toldTimer = 0;
// The parts that are still coming in.
const coming = new Map();
let crowded = false;
let crowdedTimer = 0;
let focused = null;
const parts = document.querySelector("main");
const offline = document.getElementById("offline");

// What is shown is old by now, and no order would arrive: it says so, looks so, and cannot be pressed.
function lost() {
  if (!parts.inert) {
    focused = document.activeElement?.id;
    const time = new Date().toLocaleTimeString("ja-JP", { timeZone: "Asia/Tokyo" });
    for (const since of offline.querySelectorAll("time")) since.textContent = time;
  }
  coming.clear();
  parts.inert = true;
  document.querySelectorAll("nav").forEach((nav) => { nav.inert = true; });
  offline.hidden = crowded;
  document.getElementById("crowded").hidden = !crowded;
}

function live() {
  crowded = false;
  if (!parts.inert) return;
  parts.inert = false;
  document.querySelectorAll("nav").forEach((nav) => { nav.inert = false; });
  offline.hidden = true;
  document.getElementById("crowded").hidden = true;
  if (focused) document.getElementById(focused)?.focus();
}

function receive(message) {
  if (message.type === "closing") {
    document.getElementById("closing").hidden = false;
  } else if (message.type === "crowded") {
    crowded = true;
    line.stop();
    crowdedTimer = setTimeout(() => line.start({ returns: true }), CROWDED_MS + Math.random() * CROWDED_MORE_MS);
  } else if (message.type === "fragment" && PARTS.includes(message.id)) {
    // Long parts come in pieces, so that a slow line is seen to be alive.
    const html = (coming.get(message.id) ?? "") + message.html;
    if (message.more) {
      coming.set(message.id, html);
      return;
    }
    coming.delete(message.id);
    const part = document.getElementById(message.id);
    replace(part, html);
    say(part);
    live();
  }
}

// A part that changes under somebody's hand keeps the place of the keyboard and what was opened.
function replace(part, html) {
  const opened = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  // From our own server only; the content security policy runs no script in it.
  part.innerHTML = html;
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  if (focused !== "") document.getElementById(focused)?.focus();
}

// Only what is new is said: counters and times change all the time.
function say(part) {
  const now = [...part.querySelectorAll("[data-say]")].map((element) => element.dataset.say || element.textContent);
  const before = said.get(part.id) ?? now;
  said.set(part.id, now);
  const fresh = now.filter((text) => !before.includes(text));
  if (fresh.length > 0) news.textContent = fresh.join(" ");
}

// Some orders go into the record with a name.
const by = document.getElementById("by");
by.value = sessionStorage.getItem("by") ?? "";
by.addEventListener("change", () => sessionStorage.setItem("by", by.value.trim()));

function signed(send) {
  const name = by.value.trim();
  if (name !== "") return send(name);
  tell("nameless");
  by.focus();
  return undefined;
}

function tell(result) {
  clearTimeout(toldTimer);
  told.textContent = told.dataset[result];
  toldTimer = setTimeout(() => { told.textContent = ""; }, TOLD_MS);
}

async function order(path, body) {
  told.textContent = "";
  let result = "failed";
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    result = response.ok ? "accepted" : response.status === 409 ? "notWanted" : "failed";
  } catch {
    // No connection: said below.
  }
  tell(result);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  if ("here" in button.dataset) {
    clearTimeout(crowdedTimer);
    crowded = false;
    line.start();
    return;
  }
  const { terminal, reader, reception, decision, assist, settle } = button.dataset;
  if (decision !== undefined) signed((by) => order("/staff/decision", { terminal, reader, reception, decision, by }));
  else if (assist !== undefined) signed((by) => order("/staff/assist", { terminal, reader, reception, assist, by }));
  else if (settle !== undefined) signed((by) => order("/staff/settle", { entry: settle, by }));
  else if ("restart" in button.dataset) order("/staff/restart", { terminal, reader });
});

// The page is left only for one that is there: a gateway that stops has none in another language, and this one still shows what goes on.
document.addEventListener("click", async (event) => {
  const language = event.target.closest("a[data-lang]");
  if (language === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const there = await isThere(language.href);
  unturned.hidden = there;
  if (there) location.assign(language.href);
});

const line = link(`ws://${location.host}/staff/ws?lang=${document.documentElement.lang}`, { receive, lost });
