// Firefox, by WebDriver BiDi. Its script.evaluate grants no user activation unless it is told to.

import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { run, until } from "../lib/processes.mjs";
import { HOSTS, UNTRUSTED, trust } from "../lib/tls.mjs";
import { BiDi } from "./bidi.mjs";
import { expression, outcome, putBehindButton } from "./script.mjs";

/** Fixed in the manifest. */
export const EXTENSION_ID = "wallet@fwpd.github.io";
const PROGRAM = process.env.FIREFOX ?? "firefox-esr";
/** How long a page may take. */
const PATIENCE = 15_000;
/** The ID of the extension's pages, which Firefox otherwise draws by lot. */
const UUID = "6c1f8c2e-0c1b-4bb1-9d55-0123456789ab";

/** The network is this machine, and nothing is asked or fetched besides. */
const preferences = {
  "network.dns.localDomains": [...HOSTS, UNTRUSTED].join(","),
  "network.proxy.type": 0,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.dns.disablePrefetch": true,
  "network.prefetch-next": false,
  "network.trr.mode": 5,
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.safebrowsing.blockedURIs.enabled": false,
  "browser.safebrowsing.downloads.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.page": 0,
  "browser.startup.homepage": "about:blank",
  "browser.startup.homepage_override.mstone": "ignore",
  "browser.newtabpage.enabled": false,
  "browser.aboutwelcome.enabled": false,
  "browser.region.update.enabled": false,
  "browser.search.update": false,
  "browser.topsites.contile.enabled": false,
  "app.update.disabledForTesting": true,
  "app.normandy.enabled": false,
  "datareporting.healthreport.uploadEnabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "toolkit.telemetry.reportingpolicy.firstRun": false,
  "extensions.getAddons.cache.enabled": false,
  "extensions.update.enabled": false,
  "extensions.systemAddon.update.enabled": false,
  "extensions.webextensions.uuids": JSON.stringify({ [EXTENSION_ID]: UUID }),
  "services.settings.server": "data:,",
  "media.gmp-manager.updateEnabled": false,
  "security.OCSP.enabled": 0,
  "dom.ipc.processPrelaunch.enabled": false,
};

export class Firefox {
  name = "firefox";
  #bidi;
  #running;
  #processes;

  /**
   * @param {import("../lib/world.mjs").World} world
   * @param {{extension?: string | null, profile?: string}} options the unpacked extension's folder; the profile's name
   */
  static async start(world, { extension, profile = "firefox" }) {
    const browser = new Firefox();
    browser.profile = world.path(profile);
    mkdirSync(browser.profile, { recursive: true });
    const lines = Object.entries(preferences).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    writeFileSync(join(browser.profile, "user.js"), `${lines.join("\n")}\n`);
    await trust(world.tls.ca, browser.profile);
    await browser.#except(world);
    browser.#processes = world.processes;
    const args = ["-headless", "-no-remote", "--remote-debugging-port=0", "--remote-allow-system-access", "--profile", browser.profile, "about:blank"];
    browser.#running = world.processes.start(profile, PROGRAM, args, { env: { ...world.env, MOZ_HEADLESS: "1" } });
    const url = await until("Firefox", async () => {
      const said = await readFile(browser.#running.log, "utf8");
      return /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
    }, 60_000);
    browser.#bidi = await BiDi.connect(`${url}/session`);
    const { capabilities } = await browser.#bidi.send("session.new", { capabilities: { alwaysMatch: {} } });
    browser.version = capabilities.browserVersion;
    if (extension) await browser.#install(extension);
    return browser;
  }

  /** What a person leaves in the profile who insists on a page whose certificate nobody vouches for. */
  async #except(world) {
    const said = await run("openssl", ["x509", "-in", world.tls.untrusted.certificate, "-noout", "-fingerprint", "-sha256"]);
    const fingerprint = said.trim().split("=")[1];
    const line = [`${UNTRUSTED}:${world.pages.untrusted}:`, "OID.2.16.840.1.101.3.4.2.1", fingerprint, ""].join("\t");
    writeFileSync(join(this.profile, "cert_override.txt"), `# PSM Certificate Override Settings file\n${line}\n`);
  }

  async #install(extension) {
    const path = { type: "path", path: extension };
    await this.#bidi.send("webExtension.install", { extensionData: path });
    const tab = await this.open();
    await until("the extension's popup page", () => tab.goto(this.popup).then(() => true, () => false), 30_000, 100);
    for (let tries = 1; ; tries++) {
      try {
        await tab.waitFor(() => document.body?.dataset.ready === "true");
        break;
      } catch (error) {
        const seen = await tab.evaluate(async () => JSON.stringify([document.readyState, document.body?.outerHTML,
          await browser.scripting.getRegisteredContentScripts(), await browser.storage.local.get()]));
        if (tries === 3) throw new Error(`${error.message}: ${seen}`);
        // As a person would: the popup once more. It is told, since it should not be needed.
        console.error(`firefox: the popup was not ready, and is opened again: ${seen}`);
        await tab.goto(this.popup);
      }
    }
    await tab.close();
  }

  /** The extension's popup, as a page. */
  get popup() {
    return `moz-extension://${UUID}/popup.html`;
  }

  /** The browser's main process. */
  get pid() {
    return this.#running.child.pid;
  }

  async open(url) {
    const { context } = await this.#bidi.send("browsingContext.create", { type: "tab" });
    const tab = new Tab(this.#bidi, context);
    if (url) await tab.goto(url);
    return tab;
  }

  async close() {
    await this.#bidi.send("browser.close", {}).catch(() => {});
    this.#bidi.close();
    await this.#processes.end(this.#running);
  }
}

/** A frame of a page, or a page. */
class Frame {
  constructor(bidi, context) {
    this.bidi = bidi;
    this.context = context;
  }

  /** Runs it in the page's world without a user activation. */
  async evaluate(what, ...args) {
    return outcome(await this.run(expression(what, args)));
  }

  async run(text, sandbox) {
    const answer = await this.bidi.send("script.evaluate", {
      expression: text,
      target: sandbox ? { context: this.context, sandbox } : { context: this.context },
      awaitPromise: true,
      userActivation: false,
    });
    if (answer.type === "exception") throw new Error(answer.exceptionDetails.text);
    return answer.result.value;
  }

  /** A real click, which activates. */
  async click(selector) {
    const { nodes } = await this.bidi.send("browsingContext.locateNodes", {
      context: this.context,
      locator: { type: "css", value: selector },
    });
    if (nodes.length === 0) throw new Error(`nothing to click: ${selector}`);
    await this.#still(selector);
    const origin = { type: "element", element: { sharedId: nodes[0].sharedId } };
    const actions = [
      { type: "pointerMove", x: 0, y: 0, origin },
      { type: "pointerDown", button: 0 },
      { type: "pointerUp", button: 0 },
    ];
    await this.bidi.send("input.performActions", {
      context: this.context,
      actions: [{ type: "pointer", id: "mouse", actions }],
    });
  }

  /** Waits until the element is in view and has stopped moving, as a person would before a click. */
  async #still(selector) {
    const still = `(async () => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const place = () => JSON.stringify(element.getBoundingClientRect());
      for (let before = "", still = 0; still < 4; still = place() === before ? still + 1 : 0) {
        before = place();
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    })()`;
    await this.run(still, "test");
  }

  /** Has `what` run by a real click on the test page's button; `ended` waits for it. */
  async act(what, ...args) {
    await this.run(putBehindButton(what, args));
    await this.click("#go");
  }

  /** How what `act` began has ended: {value} or {error}. */
  async ended(limit = PATIENCE) {
    await this.waitFor(() => window.ended !== undefined, limit);
    return this.evaluate(() => window.ended);
  }

  /** Text of an element, read outside the page's world. */
  async text(selector) {
    return this.run(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ""`, "test");
  }

  async waitFor(what, limit = PATIENCE) {
    await until(`${what}`, () => this.evaluate(what).catch(() => false), limit);
  }
}

class Tab extends Frame {
  async goto(url) {
    await this.bidi.send("browsingContext.navigate", { context: this.context, url, wait: "complete" });
  }

  /** Goes there without waiting for anything. */
  async leave(url) {
    await this.bidi.send("browsingContext.navigate", { context: this.context, url, wait: "none" });
  }

  /** Goes to a page whose certificate nobody vouches for: the profile has a person's word for it. */
  async insist(url) {
    await this.goto(url);
  }

  async back() {
    const from = await this.url();
    await this.bidi.send("browsingContext.traverseHistory", { context: this.context, delta: -1 });
    await until("the page before", async () => (await this.url()) !== from);
  }

  async reload() {
    await this.bidi.send("browsingContext.reload", { context: this.context, wait: "complete" });
  }

  url() {
    return this.#tree().then(({ url }) => url);
  }

  async #tree() {
    const { contexts } = await this.bidi.send("browsingContext.getTree", { root: this.context });
    return contexts[0];
  }

  /** The frame whose URL has this in it. */
  async frame(part) {
    const found = await until(`a frame of ${part}`, async () => {
      const find = (contexts) =>
        contexts.map((context) => (context.url.includes(part) ? context : find(context.children ?? []))).find(Boolean);
      return find((await this.#tree()).children ?? []);
    });
    const frame = new Frame(this.bidi, found.context);
    await frame.waitFor(() => document.readyState === "complete");
    return frame;
  }

  /** Brings the tab before the person. */
  async front() {
    await this.bidi.send("browsingContext.activate", { context: this.context });
  }

  async screenshot(path) {
    const { data } = await this.bidi.send("browsingContext.captureScreenshot", { context: this.context });
    writeFileSync(path, Buffer.from(data, "base64"));
  }

  async close() {
    await this.bidi.send("browsingContext.close", { context: this.context });
  }
}
