// Starts Debian's Chromium the way a kiosk test needs it.

import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";

// Runs as root in a container, without a graphics card, and talks to nobody but the page under test.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-domain-reliability",
  "--disable-sync",
  "--metrics-recording-only",
  "--no-default-browser-check",
  "--no-first-run",
  "--no-pings",
];

/** A browser; with `clip` (an MJPEG file) as its camera, without one it has none. */
export async function launch({ clip } = {}) {
  const camera = clip === undefined ? [] : [
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    `--use-file-for-fake-video-capture=${clip}`,
  ];
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: [...FLAGS, ...camera] });
}

/** Splits `--name value` and `--name=value` from the rest. */
export function parse(argv, known) {
  const options = {};
  const rest = [];
  for (let index = 0; index < argv.length; index += 1) {
    const [, name, inline] = /^--([a-z-]+)(?:=(.*))?$/.exec(argv[index]) ?? [];
    if (name === undefined) rest.push(argv[index]);
    else if (!known.includes(name)) throw new Error(`unknown option --${name}; known: ${known.map((k) => `--${k}`).join(" ")}`);
    else options[name] = inline ?? argv[(index += 1)];
  }
  return { options, rest };
}
