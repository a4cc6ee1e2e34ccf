// The staff page: puts in the parts that the gateway draws, takes orders of staff to it.

const RETRY_MS = 250;
const RETRY_MS_MAX = 5000;
const PARTS = ["readers", "central", "work"];

const told = document.getElementById("told");
let retries = 0;

function connect() {
  const socket = new WebSocket(`ws://${location.host}/staff/ws?lang=${document.documentElement.lang}`);
  socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  socket.addEventListener("close", () => {
    document.getElementById("offline").hidden = false;
    const wait = Math.min(RETRY_MS * 2 ** retries, RETRY_MS_MAX);
    retries += 1;
    setTimeout(connect, wait / 2 + Math.random() * (wait / 2));
  });
}

function receive(message) {
  if (message.type === "closing") {
    document.getElementById("closing").hidden = false;
  } else if (message.type === "fragment" && PARTS.includes(message.id)) {
    retries = 0;
    document.getElementById("offline").hidden = true;
    replace(document.getElementById(message.id), message.html);
  }
}

// A part that changes under the hand of somebody who uses the keyboard keeps the place.
function replace(part, html) {
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  // From our own server only; the content security policy runs no script in it.
  part.innerHTML = html;
  if (focused !== "") document.getElementById(focused)?.focus();
}

async function order(path, body) {
  told.textContent = "";
  let result = "failed";
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    result = response.ok ? "accepted" : response.status === 409 ? "notWanted" : "failed";
  } catch {
    // No connection: said below.
  }
  told.textContent = told.dataset[result];
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button === null) return;
  const { terminal, reader, reception, decision } = button.dataset;
  if (decision !== undefined) order("/staff/decision", { terminal, reader, reception, decision });
  else if ("restart" in button.dataset) order("/staff/restart", { terminal, reader });
});

connect();
