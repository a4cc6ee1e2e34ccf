// The kiosk: shows what the gateway draws, says what the patient presses, sends the frames that the gateway asks for.
// It decides nothing and keeps nothing.

const RETRY_MS = 250;
const RETRY_MS_MAX = 5000;
// A press that the gateway dropped changes no screen: after this the buttons come back.
const PRESS_MS = 1500;
// Somebody chose another language and left: the next patient finds the kiosk's own.
const LANGUAGE_MS = 60000;
const FRAME_BYTES_MAX = 512 * 1024;
const PIN_LENGTH = 4;

const page = document.getElementById("screen");
const viewfinder = document.getElementById("viewfinder");
const video = document.getElementById("camera");
const parameters = new URLSearchParams(location.search);

let socket = null;
let retries = 0;
let replaced = false;
let shown = { reception: null, version: 0, name: "" };
let pressed = null;
let keys = [];

// --- connection

function connect() {
  const path = location.pathname.replace(/\/$/, "");
  socket = new WebSocket(`ws://${location.host}${path}/ws?lang=${document.documentElement.lang}`);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  socket.addEventListener("close", disconnected);
}

function disconnected() {
  camera.stop();
  release();
  page.hidden = true;
  page.replaceChildren();
  document.body.dataset.screen = "";
  shown = { reception: null, version: 0, name: "" };
  document.getElementById("closing").hidden = true;
  document.getElementById("offline").hidden = replaced;
  document.getElementById("replaced").hidden = !replaced;
  if (replaced) return;
  const wait = Math.min(RETRY_MS * 2 ** retries, RETRY_MS_MAX);
  retries += 1;
  // Half of it at random: sixty kiosks do not come back in the same instant.
  setTimeout(connect, wait / 2 + Math.random() * (wait / 2));
}

function receive(message) {
  switch (message.type) {
    case "screen": return show(message);
    case "frame": return camera.frame(message.request);
    case "camera_off": return camera.stop();
    case "replaced": replaced = true; return undefined;
    case "closing": document.getElementById("closing").hidden = false; return undefined;
    default: return undefined;
  }
}

function send(fields) {
  if (socket.readyState !== WebSocket.OPEN || shown.reception === null) return;
  socket.send(JSON.stringify({ reception: shown.reception, version: shown.version, ...fields }));
}

// --- screens

function show(message) {
  retries = 0;
  const before = shown.name;
  shown = { reception: message.reception, version: message.version, name: message.name };
  release();
  document.getElementById("offline").hidden = true;
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

let languageTimer = 0;

function languageBack(before, now) {
  const back = parameters.get("back");
  clearTimeout(languageTimer);
  if (now !== "idle" || (back !== "ja" && back !== "en")) return;
  const restore = () => location.replace(`?lang=${back}`);
  if (before !== "" && before !== "idle") restore();
  else languageTimer = setTimeout(restore, LANGUAGE_MS);
}

// --- presses

function hold() {
  page.inert = true;
  pressed = setTimeout(release, PRESS_MS);
}

// A new screen, or the gateway dropped the press: in either case the patient begins anew, with an empty pad.
function release() {
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
    location.replace(lang === home ? `?lang=${lang}` : `?lang=${lang}&back=${home}`);
  } else if ("reload" in target.dataset) {
    location.reload();
  } else if ("erase" in target.dataset) {
    forgetKeys();
    drawCircles();
  } else if (position !== undefined) {
    pressKey(Number(position));
  } else if (agreed !== undefined) {
    send({ intent, ...(question === undefined ? {} : { question }), agreed: agreed === "true" });
    hold();
  } else if (intent !== undefined) {
    send({ intent });
    hold();
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
  hold();
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
    if (message.length > FRAME_BYTES_MAX || socket.readyState !== WebSocket.OPEN) return;
    new DataView(message.buffer).setUint32(0, request);
    message.set(jpeg, 4);
    socket.send(message);
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

connect();
