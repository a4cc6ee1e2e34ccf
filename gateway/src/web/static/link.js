// The connection to the gateway, for kiosk and staff page. A browser does not show protocol pings to a script, and a connection whose
// other end vanished stays "open" for minutes. So the gateway sends a beat every three seconds (socket.rs, BEAT_EVERY), and a connection
// on which nothing comes counts as lost.

const RETRY_MS = 250;
const RETRY_MS_MAX = 5000;
const TICK_MS = 1000;
// Four beats: a beat that a slow line delays by several seconds is no reason to leave.
const SILENCE_MS = 12000;
// For the first message of a new connection; every further try is given twice as long, for lines that are slow.
const OPENING_MS = 4000;
// For another page, before the present one is left for it.
const PAGE_MS = 5000;

/** Whether the gateway has this page now: one that stops has none. */
export async function isThere(address) {
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(PAGE_MS) });
    return response.ok;
  } catch {
    return false;
  }
}

/**
 * Connects, and connects again for as long as it is not stopped. `receive` gets each message but the beats, `lost` is told each time a
 * connection ended or a try failed.
 */
export function link(address, { receive, lost }) {
  let socket = null;
  let retries = 0;
  let spoken = false;
  let silent = 0;
  let ticked = performance.now();
  let retry = 0;
  let stopped = false;
  // The page that gave way comes back by itself: into room that is free, never in another's place.
  let returning = false;

  function connect() {
    const own = new WebSocket(returning ? `${address}&returns` : address);
    socket = own;
    own.binaryType = "arraybuffer";
    spoken = false;
    silent = 0;
    own.addEventListener("message", (event) => {
      if (own !== socket) return;
      spoken = true;
      silent = 0;
      retries = 0;
      const message = JSON.parse(event.data);
      if (message.type === "beat") return;
      receive(message);
      // It has a place.
      if (!stopped) returning = false;
    });
    own.addEventListener("close", () => {
      if (own === socket) leave();
    });
  }

  function leave() {
    const own = socket;
    // First of all: the close of a dead connection takes a minute, and nothing of it counts any more.
    socket = null;
    own.close();
    lost();
    if (stopped) return;
    const wait = Math.min(RETRY_MS * 2 ** retries, RETRY_MS_MAX);
    retries += 1;
    // Half of it at random: sixty kiosks do not come back in the same instant.
    retry = setTimeout(connect, wait / 2 + Math.random() * (wait / 2));
  }

  setInterval(() => {
    const now = performance.now();
    // A page that slept, or was slowed in the background, has not listened in the meantime.
    silent += Math.min(now - ticked, 2 * TICK_MS);
    ticked = now;
    const most = spoken ? SILENCE_MS : Math.min(OPENING_MS * 2 ** retries, SILENCE_MS);
    if (socket !== null && silent >= most) leave();
  }, TICK_MS);

  connect();
  return {
    /** Hands a message to the line. Whether it arrived only an answer tells. */
    send(message) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(message);
    },
    /** Not to connect again: another page took this one's place. */
    stop() {
      stopped = true;
      clearTimeout(retry);
    },
    /** To connect again: in the place of another page, or, where `returns`, only where there is room. */
    start({ returns = false } = {}) {
      if (!stopped) return;
      stopped = false;
      returning = returns;
      if (socket === null) connect();
    },
  };
}
