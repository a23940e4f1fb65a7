// One browser's stage: its world, the browser with the extension, and the same without it where a case compares.

import assert from "node:assert/strict";
import { join } from "node:path";

import { Chromium } from "../drivers/chromium.mjs";
import { Firefox } from "../drivers/firefox.mjs";
import { installHost } from "./host.mjs";
import { ROOT, World } from "./world.mjs";

export const BROWSERS = { chromium: Chromium, firefox: Firefox };

/** The extension as it was built for a browser. */
const built = (name) => join(ROOT, "browser/extension/dist", name);

export class Stage {
  #bare;
  #tabs = [];

  static async start(name, options = {}) {
    const stage = new Stage();
    stage.name = name;
    stage.world = await World.start(options);
    try {
      stage.host = await installHost(stage.world, name);
      stage.browser = await BROWSERS[name].start(stage.world, { extension: built(name), alsoLoad: options.alsoLoad });
    } catch (error) {
      console.error(stage.world.log());
      await stage.world.end();
      throw error;
    }
    return stage;
  }

  get person() {
    return this.world.person;
  }

  get pages() {
    return this.world.pages;
  }

  assert = assert;

  /** A new tab, closed at the end of the case; `url` may be a path of the test's pages, on spaceshop.com. */
  async tab(url = "/", browser = this.browser) {
    const tab = await browser.open(url.startsWith("/") ? this.pages.on("spaceshop.com", url) : url);
    this.#tabs.push(tab);
    return tab;
  }

  /** The same browser without the extension. */
  async bare() {
    this.#bare ??= BROWSERS[this.name].start(this.world, { profile: `${this.name}-bare`, extension: null });
    return this.#bare;
  }

  /** A tab that stays, of the browser without the extension; none where that has no PaymentRequest to compare with. */
  async bareTab(url) {
    return this.name === "chromium" ? (await this.bare()).open(url) : null;
  }

  /** Ends a case: no tabs, no script for the person, no open prompt. */
  async tidy() {
    for (const tab of this.#tabs.splice(0)) await tab.close().catch(() => {});
    this.person?.begin();
  }

  async end() {
    await (await this.#bare)?.close();
    await this.browser?.close();
    await this.world.end();
  }
}
