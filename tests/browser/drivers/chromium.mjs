// Chromium, by playwright-core. What must not grant a user activation goes around it, through the DevTools protocol.

import { existsSync, mkdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { until } from "../lib/processes.mjs";
import { HOSTS, UNTRUSTED, trust } from "../lib/tls.mjs";
import { expression, outcome, putBehindButton } from "./script.mjs";

/** Fixed by `key` in the manifest. */
export const EXTENSION_ID = "fbbcjgngepnkomgepnccbeccbiocnebc";
const PROGRAM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** How long a page may take. */
const PATIENCE = 15_000;

const quiet = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-quic",
  "--disable-gpu",
];
/** Playwright's own that would take away what is tested. */
const unwanted = ["--disable-extensions", "--disable-back-forward-cache", "--disable-popup-blocking"];

export class Chromium {
  name = "chromium";
  #context;

  /**
   * @param {import("../lib/world.mjs").World} world
   * @param {{extension?: string | null, profile?: string, alsoLoad?: string[]}} options the unpacked extension's folder; the profile's name; folders of
   *   further extensions
   */
  static async start(world, { extension, profile = "chromium", alsoLoad = [] }) {
    const browser = new Chromium();
    browser.profile = world.path(profile);
    mkdirSync(browser.profile, { recursive: true });
    // One for all profiles of the home.
    const database = join(world.home, ".pki", "nssdb");
    if (!existsSync(database)) {
      mkdirSync(database, { recursive: true });
      await trust(world.tls.ca, database);
    }
    const names = [...HOSTS, UNTRUSTED].filter((host) => host !== "localhost");
    const args = [...quiet, `--host-resolver-rules=${names.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`];
    // Root has no user namespace to sandbox in.
    if (process.getuid() === 0) args.push("--no-sandbox");
    const load = [extension, ...alsoLoad].filter(Boolean).join(",");
    if (load) args.push(`--load-extension=${load}`, `--disable-extensions-except=${load}`);
    browser.#context = await chromium.launchPersistentContext(browser.profile, {
      executablePath: PROGRAM,
      headless: true,
      args,
      ignoreDefaultArgs: unwanted,
      env: world.env,
      viewport: { width: 1000, height: 800 },
    });
    browser.#context.setDefaultTimeout(PATIENCE);
    browser.version = browser.#context.browser()?.version() ?? "";
    if (extension) await browser.#extensionReady();
    return browser;
  }

  /** Waits until the extension has put its scripts where pages get them. */
  async #extensionReady() {
    const popup = await this.#context.newPage();
    await until("the extension's popup page", () =>
      popup.goto(this.popup).then(() => true, () => false), 30_000, 100);
    await popup.waitForSelector("body[data-ready=true]");
    await popup.close();
  }

  /** The extension's popup, as a page. */
  get popup() {
    return `chrome-extension://${EXTENSION_ID}/popup.html`;
  }

  /** The browser's main process. */
  get pid() {
    // Its own note of who uses the profile.
    const lock = join(this.profile, "SingletonLock");
    return Number(readlinkSync(lock).split("-").at(-1));
  }

  async open(url) {
    const page = await this.#context.newPage();
    const tab = new Tab(this.#context, page);
    await tab.begin();
    if (url) await tab.goto(url);
    return tab;
  }

  async close() {
    await this.#context.close();
  }
}


class Tab {
  #session;

  constructor(context, page) {
    this.context = context;
    this.page = page;
  }

  async begin() {
    this.#session = await this.context.newCDPSession(this.page);
  }

  async goto(url) {
    await this.page.goto(url);
  }

  /** Goes there without waiting for anything. */
  async leave(url) {
    await this.#session.send("Page.navigate", { url });
  }

  /** Goes to a page whose certificate nobody vouches for, as a person who insists. */
  async insist(url) {
    await this.page.goto(url).catch(() => {});
    await until("the page behind the warning", async () => {
      const at = await this.evaluate("[location.protocol, document.readyState]").catch(() => []);
      if (at[0] === "https:" && at[1] === "complete") return true;
      // What Chromium wants to be typed at its warning, once that listens.
      if (at[1] === "complete") await this.page.keyboard.type("thisisunsafe");
      return false;
    }, PATIENCE, 200);
  }

  async back() {
    // The history, as a person goes through it: playwright's goBack waits for a load that the back-forward cache spares.
    const { currentIndex, entries } = await this.#session.send("Page.getNavigationHistory");
    await this.#session.send("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1].id });
    await until("the page before", () => this.evaluate("location.href").then((href) => href === entries[currentIndex - 1].url, () => false));
  }

  async reload() {
    await this.page.reload();
  }

  url() {
    return this.page.url();
  }

  /** Runs it in the page's world without a user activation. */
  async evaluate(what, ...args) {
    const { result, exceptionDetails } = await this.#session.send("Runtime.evaluate", {
      expression: expression(what, args),
      awaitPromise: true,
      returnByValue: true,
      userGesture: false,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return outcome(result.value);
  }

  /** A real click, which activates. */
  async click(selector) {
    await this.page.click(selector);
  }

  /** Has `what` run by a real click on the test page's button; `ended` waits for it. */
  async act(what, ...args) {
    await this.#session.send("Runtime.evaluate", { expression: putBehindButton(what, args) });
    await this.click("#go");
  }

  /** How what `act` began has ended: {value} or {error}. */
  async ended(limit = PATIENCE) {
    await this.waitFor(() => window.ended !== undefined, limit);
    return this.evaluate(() => window.ended);
  }

  /** Text of an element, read outside the page's world. */
  async text(selector) {
    return (await this.page.textContent(selector)) ?? "";
  }

  async waitFor(what, limit = PATIENCE) {
    await until(`${what}`, () => this.evaluate(what).catch(() => false), limit);
  }

  /** The frame whose URL has this in it. */
  async frame(part) {
    const found = await until(`a frame of ${part}`, () =>
      this.page.frames().find((frame) => frame !== this.page.mainFrame() && frame.url().includes(part)));
    await found.waitForLoadState();
    return new Frame(found);
  }

  /** Brings the tab before the person. */
  async front() {
    await this.page.bringToFront();
  }

  async screenshot(path) {
    await this.page.screenshot({ path });
  }

  async close() {
    await this.page.close();
  }
}

/** A frame of a page. Its own evaluations may grant activation; the cases with frames click anyway. */
class Frame {
  constructor(frame) {
    this.frame = frame;
  }

  async evaluate(what, ...args) {
    return outcome(await this.frame.evaluate(expression(what, args)));
  }

  async act(what, ...args) {
    await this.frame.evaluate(putBehindButton(what, args));
    await this.frame.click("#go");
  }

  async ended(limit = PATIENCE) {
    await this.frame.waitForFunction(() => window.ended !== undefined, undefined, { timeout: limit });
    return this.evaluate(() => window.ended);
  }
}
