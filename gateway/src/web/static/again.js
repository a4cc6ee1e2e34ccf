// For a page that says that nobody is received at the moment: it looks again and again whether something else is to be shown at its
// address, and shows it. A try that fails changes nothing: the message stays up.

const LOOK_MS = 3000;
const ANSWER_MS = 10000;

let first = null;

async function look() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await answer.text();
    first ??= text;
    if (answer.status !== 503 || text !== first) return location.reload();
  } catch {
    // The gateway is just starting.
  }
  // Half of it at random: sixty kiosks do not come back in the same instant.
  setTimeout(look, LOOK_MS / 2 + (Math.random() * LOOK_MS) / 2);
}

look();
