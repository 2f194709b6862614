// Browsers for the tests: Debian's Chromium, with a fake camera and a fake microphone, one profile for each person.

import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.WITAN_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--use-fake-device-for-media-stream=fps=12",
  "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  // A tab in the background would be slowed down, and of many tabs all but one are.
  "--disable-renderer-backgrounding",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
];
const WAIT_MS = 30_000;
const SCREENSHOTS = process.env.WITAN_SCREENSHOTS;

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const profiles = [];

/** Somebody with a browser of their own. */
export class Person {
  static async arrives(name, options = {}) {
    const profile = await mkdtemp(join(tmpdir(), "witan-browser-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: EXECUTABLE,
      args: FLAGS,
      headless: true,
      locale: "en-GB",
      viewport: { width: 1280, height: 800 },
      ...options,
    });
    profiles.push({ context, profile });
    // The page keeps its connections to itself; a test looks at them from below.
    await context.addInitScript(() => {
      globalThis.peers = [];
      const Plain = globalThis.RTCPeerConnection;
      globalThis.RTCPeerConnection = class extends Plain {
        constructor(...given) {
          super(...given);
          globalThis.peers.push(this);
        }
      };
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(WAIT_MS);
    const person = new Person(name, context, page);
    person.listens(page);
    return person;
  }

  constructor(name, context, page) {
    this.name = name;
    this.context = context;
    this.page = page;
    /** What went wrong in the page, for the end of the test. */
    this.complaints = [];
  }

  listens(page) {
    page.on("pageerror", (error) => this.complaints.push(`error: ${error.message}`));
    page.on("console", (message) => {
      const text = message.text();
      // A policy that refuses something means that the page asked for what it may not have.
      if (/Content Security Policy|Permissions policy/i.test(text)) this.complaints.push(text);
      if (process.env.WITAN_BROWSER_TALKS && message.type() === "error") console.log(`  [${this.name}] ${text}`);
    });
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["127.0.0.1", "localhost"].includes(url.hostname) && url.protocol.startsWith("http")) {
        this.complaints.push(`asked ${url.hostname}`);
      }
    });
  }

  async opens(url) {
    await this.page.goto(url);
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: typeof name === "string" });
  }

  async presses(name) {
    await this.button(name).click();
  }

  async fills(label, text) {
    await this.page.getByLabel(label, { exact: true }).fill(text);
  }

  /** Waits for a text that can be seen. */
  async sees(text, options = {}) {
    await this.page.getByText(text, options).first().waitFor({ state: "visible" });
  }

  async seesNoMore(text) {
    await this.page.getByText(text).first().waitFor({ state: "hidden" });
  }

  async joinsAs(name) {
    await this.fills("Your name", name);
    await this.presses("Join");
  }

  async inCall() {
    await this.button("Leave").waitFor({ state: "visible" });
  }

  /** What the screen lacks for who can't see it well, or uses a keyboard: WCAG 2.2, level AA, as far as a program can tell. */
  async isAccessible(what) {
    // By the debugger, which no policy of the page holds up.
    await this.page.evaluate(AXE);
    // What fades in is pale for a moment.
    await this.page.evaluate(async () => {
      const passing = document.getAnimations().filter((one) => Number.isFinite(one.effect?.getComputedTiming().endTime));
      await Promise.all(passing.map((one) => one.finished.catch(() => null)));
    });
    const found = await this.page.evaluate(async () => {
      const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
      const { violations } = await globalThis.axe.run(document, { runOnly: { type: "tag", values: tags } });
      return violations.flatMap(({ id, nodes }) => nodes.map(({ html, any }) => `${id}: ${html.slice(0, 160)} ${any[0]?.message ?? ""}`));
    });
    if (found.length > 0) throw new Error(`${what} is not accessible:\n  ${found.join("\n  ")}`);
  }

  async shot(name) {
    if (!SCREENSHOTS) return;
    await mkdir(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  }

  /** The counters of all that is received, by kind and size: what the browser itself counts. */
  async receives() {
    return this.page.evaluate(async () => {
      const streams = [];
      for (const peer of globalThis.peers) {
        if (peer.connectionState === "closed") continue;
        (await peer.getStats()).forEach((entry) => {
          if (entry.type !== "inbound-rtp") return;
          const { kind, ssrc, packetsReceived, framesDecoded = 0, frameWidth = 0, frameHeight = 0 } = entry;
          streams.push({ kind, ssrc, packetsReceived, framesDecoded, frameWidth, frameHeight });
        });
      }
      return streams;
    });
  }

  async leavesTheTest() {
    await this.context.close().catch(() => {});
  }
}

/** Waits until `holds` gives something true, and gives it. */
export async function until(what, holds, milliseconds = WAIT_MS) {
  const end = Date.now() + milliseconds;
  let last;
  while (Date.now() < end) {
    last = await holds();
    if (last) return last;
    await new Promise((done) => setTimeout(done, 150));
  }
  throw new Error(`waited ${milliseconds} ms in vain: ${what}`);
}

export function check(what, holds) {
  if (!holds) throw new Error(`not so: ${what}`);
}

/** Runs the steps of a test, tells of each, and ends the process with whether all went well. */
export async function play(title, steps) {
  const people = [];
  const arrives = async (name, options) => {
    const person = await Person.arrives(name, options);
    people.push(person);
    return person;
  };
  const started = Date.now();
  const step = (text) => console.log(`  ${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  console.log(title);
  let failed = null;
  try {
    await steps({ arrives, step });
    for (const { name, complaints } of people) {
      if (complaints.length > 0) throw new Error(`${name}'s page complains: ${complaints.join("; ")}`);
    }
    step("done");
  } catch (error) {
    failed = error;
    console.log(`FAILED: ${error.stack}`);
    for (const person of people) {
      const text = await person.page.evaluate(() => document.body.innerText).catch(() => "(gone)");
      console.log(`--- ${person.name} sees:\n${text}\n--- ${person.complaints.join("\n")}`);
      await person.shot(`failed-${person.name}`).catch(() => {});
    }
  }
  for (const { context, profile } of profiles) {
    await context.close().catch(() => {});
    await rm(profile, { recursive: true, force: true });
  }
  process.exit(failed ? 1 : 0);
}
