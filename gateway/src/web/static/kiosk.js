// The kiosk: shows what the gateway draws, says what the patient presses, sends the frames that the gateway asks for.
// It decides nothing and keeps nothing.

import { isThere, link } from "./link.js";

// A press that arrived and changes no screen: after this the buttons come back. One that has not arrived by then is said to be under way.
const PRESS_MS = 1500;
// Somebody chose another language and left: the next patient finds the kiosk's own.
const LANGUAGE_MS = 60000;
const FRAME_BYTES_MAX = 512 * 1024;
const PIN_LENGTH = 4;

const page = document.getElementById("screen");
const viewfinder = document.getElementById("viewfinder");
const video = document.getElementById("camera");
const again = document.getElementById("again");
const sending = document.getElementById("sending");
const unturned = document.getElementById("unturned");
const languages = document.querySelector("nav");
const parameters = new URLSearchParams(location.search);

let replaced = false;
let shown = { reception: null, version: 0, name: "" };
let pressed = null;
// A press is on its way: neither a word of its arrival nor another screen has come.
let underWay = false;
// The screen on which something was typed or pressed that may not have arrived.
let unsure = null;
let keys = [];
let languageTimer = 0;

// --- connection

function lost() {
  camera.stop();
  if (underWay || keys.length > 0 || !again.hidden) unsure = { ...shown };
  release();
  page.hidden = true;
  page.replaceChildren();
  again.hidden = true;
  unturned.hidden = true;
  document.body.dataset.screen = "";
  shown = { reception: null, version: 0, name: "" };
  clearTimeout(languageTimer);
  // Another page cannot be had now: the browser's own error page would take the kiosk's place for good.
  languages.inert = true;
  document.getElementById("closing").hidden = true;
  document.getElementById("connecting").hidden = true;
  document.getElementById("offline").hidden = replaced;
  document.getElementById("replaced").hidden = !replaced;
}

function receive(message) {
  switch (message.type) {
    case "screen": return show(message);
    case "heard": return heard(message.taken);
    case "frame": return camera.frame(message.request);
    case "camera_off": return camera.stop();
    case "replaced":
      replaced = true;
      return line.stop();
    case "closing": document.getElementById("closing").hidden = false; return undefined;
    default: return undefined;
  }
}

function send(fields) {
  if (shown.reception === null) return;
  line.send(JSON.stringify({ reception: shown.reception, version: shown.version, ...fields }));
  hold();
}

// --- screens

function show(message) {
  const before = shown.name;
  shown = { reception: message.reception, version: message.version, name: message.name };
  release();
  askAgain();
  languages.inert = false;
  if (before !== message.name) unturned.hidden = true;
  for (const id of ["connecting", "offline", "replaced"]) document.getElementById(id).hidden = true;
  // From our own server only; the content security policy runs no script in it.
  page.innerHTML = message.html;
  page.hidden = false;
  document.body.dataset.screen = message.name;
  viewfinder.hidden = message.name !== "face" || !camera.running();
  camera.complain();
  // Readers of the screen hear the new one from its heading.
  page.querySelector("h1")?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  languageBack(before, message.name);
}

// What was typed on a line that then turned out to be dead is asked for again, in words. After a PIN also when the pad is a new one.
function askAgain() {
  const same = unsure !== null && unsure.reception !== null && unsure.reception === shown.reception && unsure.name === shown.name;
  const pin = shown.name === "pin";
  again.hidden = !(same && (pin || unsure.version === shown.version));
  again.querySelector("[data-pin]").hidden = !pin;
  again.querySelector("[data-press]").hidden = pin;
  unsure = null;
}

function languageBack(before, now) {
  const back = parameters.get("back");
  clearTimeout(languageTimer);
  if (now !== "idle" || (back !== "ja" && back !== "en")) return;
  const restore = () => turnTo(`?lang=${back}`);
  if (before !== "" && before !== "idle") restore();
  else languageTimer = setTimeout(restore, LANGUAGE_MS);
}

// The page is left only for one that is there. Whether it was.
async function turnTo(address) {
  const there = await isThere(address);
  if (there) location.replace(address);
  return there;
}

// A language that somebody pressed: a gateway that stops, or a slow line, has no page for it. On a lost line that is said instead.
async function chooseLanguage(address) {
  const turned = await turnTo(address);
  unturned.hidden = turned || page.hidden;
}

// --- presses

// Nothing can be pressed until the press is known to have arrived, or the line is known to be lost.
function hold() {
  underWay = true;
  page.inert = true;
  clearTimeout(pressed);
  pressed = setTimeout(() => { sending.hidden = false; }, PRESS_MS);
}

function heard(taken) {
  if (!underWay) return;
  underWay = false;
  sending.hidden = true;
  clearTimeout(pressed);
  if (taken) {
    pressed = setTimeout(release, PRESS_MS);
  } else {
    unsure = { ...shown };
    release();
    askAgain();
  }
}

// A new screen, or the press changed nothing: in either case the patient begins anew, with an empty pad.
function release() {
  underWay = false;
  sending.hidden = true;
  clearTimeout(pressed);
  page.inert = false;
  forgetKeys();
  drawCircles();
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, a[data-lang]");
  if (target === null) return;
  const { intent, position, question, agreed, lang } = target.dataset;
  if (lang !== undefined) {
    event.preventDefault();
    const home = parameters.get("back") ?? document.documentElement.lang;
    chooseLanguage(lang === home ? `?lang=${lang}` : `?lang=${lang}&back=${home}`);
  } else if ("here" in target.dataset) {
    replaced = false;
    line.start();
  } else if ("erase" in target.dataset) {
    forgetKeys();
    drawCircles();
  } else if (position !== undefined) {
    pressKey(Number(position));
  } else if (agreed !== undefined) {
    send({ intent, ...(question === undefined ? {} : { question }), agreed: agreed === "true" });
  } else if (intent !== undefined) {
    send({ intent });
  }
});

// --- PIN: positions on the pad, never digits

function pressKey(position) {
  if (keys.length >= PIN_LENGTH) return;
  keys.push(position);
  drawCircles();
  if (keys.length < PIN_LENGTH) return;
  send({ intent: "pin", keys });
  // The positions are wiped at once; four circles stay filled until the buttons come back.
  keys.fill(0);
}

function forgetKeys() {
  keys.fill(0);
  keys = [];
}

function drawCircles() {
  page.querySelectorAll(".circles i").forEach((circle, index) => circle.classList.toggle("filled", index < keys.length));
  const count = page.querySelector(".circles .unseen");
  if (count !== null) count.textContent = `${keys.length} / ${PIN_LENGTH}`;
}

// --- camera: on from the first frame asked for until told to stop

const camera = {
  stream: null,
  starting: false,
  failed: false,
  encoding: false,
  wanted: null,
  // Grows with every stop: what was begun before it is thrown away.
  life: 0,
  canvas: new OffscreenCanvas(640, 480),

  running() {
    return this.stream !== null;
  },

  async frame(request) {
    this.wanted = request;
    if (this.stream === null) {
      await this.start();
    } else {
      await this.take();
    }
  },

  async start() {
    if (this.starting) return;
    this.starting = true;
    const { life } = this;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
      });
      if (life === this.life) {
        this.stream = stream;
        stream.getVideoTracks()[0].addEventListener("ended", () => this.stop());
        video.srcObject = stream;
        viewfinder.hidden = shown.name !== "face";
        this.failed = false;
        await video.play();
      } else {
        stream.getTracks().forEach((track) => track.stop());
      }
    } catch {
      if (life === this.life) {
        this.release();
        this.failed = true;
      }
    }
    this.starting = false;
    this.complain();
    if (this.stream !== null) await this.take();
    // Stopped and wanted again while the camera was still coming up.
    else if (life !== this.life && this.wanted !== null) await this.start();
  },

  async take() {
    if (this.encoding || this.wanted === null) return;
    this.encoding = true;
    try {
      while (this.wanted !== null && this.stream !== null) {
        if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
          await new Promise((resume) => setTimeout(resume, 30));
          continue;
        }
        // The newest request counts; older ones are not waited for any more.
        const { life, wanted } = this;
        this.wanted = null;
        const jpeg = await this.encode();
        if (life === this.life) this.send(wanted, jpeg);
      }
    } finally {
      this.encoding = false;
    }
  },

  async encode() {
    const { canvas } = this;
    const context = canvas.getContext("2d");
    // The whole picture, in its own proportions, within 640×480.
    const scale = Math.min(640 / video.videoWidth, 480 / video.videoHeight);
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
    return new Uint8Array(await blob.arrayBuffer());
  },

  send(request, jpeg) {
    const message = new Uint8Array(4 + jpeg.length);
    if (message.length > FRAME_BYTES_MAX) return;
    new DataView(message.buffer).setUint32(0, request);
    message.set(jpeg, 4);
    line.send(message);
  },

  // Without a camera the patient is shown the other ways.
  complain() {
    const complaint = page.querySelector("[data-no-camera]");
    if (complaint !== null) complaint.hidden = !this.failed;
  },

  release() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    video.srcObject = null;
    viewfinder.hidden = true;
  },

  stop() {
    this.life += 1;
    this.wanted = null;
    this.failed = false;
    this.release();
    // The last picture of the patient does not stay behind.
    this.canvas.width = 1;
    this.canvas.height = 1;
  },
};

const line = link(
  `ws://${location.host}${location.pathname.replace(/\/$/, "")}/ws?lang=${document.documentElement.lang}`,
  { receive, lost },
);
