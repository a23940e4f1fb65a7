#!/usr/bin/env node
// What the extension and its host cost, in Chromium, as ratios to floors taken in the same run. Wants the programs as `make bench`
// builds them; FWPD_PROFILE=release says where they are.

import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { EXTENSION_ID } from "../../tests/browser/drivers/chromium.mjs";
import { until } from "../../tests/browser/lib/processes.mjs";
import { Stage } from "../../tests/browser/lib/stage.mjs";
import { PROGRAMS, ROOT } from "../../tests/browser/lib/world.mjs";
import { head, print, quantile } from "./rows.mjs";

const ROUNDS = Number(process.env.ROUNDS ?? 60);
/** Round trips in one turn. */
const TURN = 10;
/** Pause after a click and before what is measured, in milliseconds. */
const PAUSE = 200;
/** Most that the host may have resident of its own, in KiB. */
const MOST_PSS = 5 * 1024;
/** By `key` in extension/manifest.json. */
const ECHO_ID = "gddclbjjojpocafeefkhlbnhobmjijoc";
const ECHO = join(PROGRAMS, "native-echo");
const HOST = join(PROGRAMS, "fwp-native-host");

const stage = await Stage.start("chromium", { person: false, alsoLoad: [join(ROOT, "bench/browser/extension")] });
try {
  const { world } = stage;
  world.processes.start("native-echo", ECHO, ["serve"], { env: world.env });
  const manifest = {
    name: "io.github.fwpd.bench_echo",
    description: "The floor",
    path: ECHO,
    type: "stdio",
    allowed_origins: [`chrome-extension://${ECHO_ID}/`],
  };
  writeFileSync(world.path("chromium/NativeMessagingHosts/io.github.fwpd.bench_echo.json"), JSON.stringify(manifest));
  await loads();
  await roundTrips();
  await size();
  await starts();
} finally {
  await stage.end();
}

/** A page that pays nothing, in a Chromium with the extension and in one without. */
async function loads() {
  const bare = await (await stage.bare()).open();
  const ours = await stage.browser.open();
  const load = async (tab) => {
    await tab.goto(stage.pages.on("spaceshop.com"));
    return tab.evaluate(() => performance.getEntriesByType("navigation")[0].loadEventEnd);
  };
  const rounds = [];
  for (let n = -5; n < ROUNDS; n += 1) {
    // Who goes first takes turns, too.
    const [first, second] = n % 2 ? [ours, bare] : [bare, ours];
    const [one, other] = [await load(first), await load(second)];
    if (n >= 0) rounds.push(first === ours ? [one, other] : [other, one]);
  }
  head("A page that pays nothing, in Chromium");
  print("page load with the extension : without it", 1.1, rounds);
  const hosts = stage.host.running(stage.browser.pid).length;
  console.log(`\nNative hosts after ${2 * ROUNDS} page loads: ${hosts}${hosts ? " OVER" : ", kept"}`);
  await ours.close();
  await bare.close();
}

/**
 * From the page to the wallet and back, beside a bare extension whose host makes one call to a bare service: once from a page of that
 * extension, which is the floor that we are held to, and once from a web page, as far as ours has to go too.
 */
async function roundTrips() {
  const echo = await stage.browser.open(`chrome-extension://${ECHO_ID}/echo.html`);
  const relayed = await stage.browser.open(stage.pages.on("spaceshop.com", "/?echo-relay"));
  const page = await stage.browser.open(stage.pages.on("spaceshop.com"));
  // After a pause every program has to wake, so both sides have the same one before them.
  const floor = async ([calls, pause]) => {
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
    });
    let spent = 0;
    for (let n = 0; n < calls; n += 1) spent += await window.roundTrip();
    return spent;
  };
  const relay = async ([calls, pause]) => {
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
    });
    let spent = 0;
    for (let n = 0; n < calls; n += 1) {
      const start = performance.now();
      await new Promise((resolve) => {
        const take = (event) => {
          if (event.data.answer === undefined) return;
          window.removeEventListener("message", take);
          resolve();
        };
        window.addEventListener("message", take);
        window.postMessage({ ask: { id: 1, method: "canMakePayment", params: { origin: "https://spaceshop.com" } } }, "*");
      });
      spent += performance.now() - start;
    }
    return spent;
  };
  const ours = async (calls) => {
    let spent = 0;
    for (let n = 0; n < calls; n += 1) {
      const request = new PaymentRequest([method()], details("1"));
      const start = performance.now();
      await request.canMakePayment();
      spent += performance.now() - start;
    }
    return spent;
  };
  // Without an agent the wallet refuses to show: the payment is created, shown and ended, and nobody is asked. What the browser
  // draws after the click is not what is measured.
  const refused = async ([id, pause]) => {
    const request = new PaymentRequest([method()], details(id));
    await new Promise((resolve) => {
      setTimeout(resolve, pause);
    });
    const start = performance.now();
    await request.show().catch(() => {});
    return performance.now() - start;
  };
  // Whichever tab is behind would be slowed down.
  const inFront = async (tab, what, ...args) => {
    await tab.front();
    return tab.evaluate(what, ...args);
  };
  const [asked, beside, shown, shownBeside] = [[], [], [], []];
  for (let n = -3; n < ROUNDS; n += 1) {
    const one = await inFront(page, ours, TURN);
    const [bare, far] = [await inFront(echo, floor, [TURN, 0]), await inFront(relayed, relay, [TURN, 0])];
    if (n < 0) continue;
    asked.push([one / TURN, bare / TURN]);
    beside.push([one / TURN, far / TURN]);
  }
  for (let n = -3; n < ROUNDS; n += 1) {
    await page.front();
    await page.act(refused, [`bench-${n}`, PAUSE]);
    const { value, error } = await page.ended();
    if (error) throw new Error(error.message);
    const [bare, far] = [await inFront(echo, floor, [2, PAUSE]), await inFront(relayed, relay, [2, PAUSE])];
    if (n < 0) continue;
    shown.push([value, bare]);
    shownBeside.push([value, far]);
  }
  head("Page, extension, host, bus, wallet, and back, in Chromium");
  print("canMakePayment : bare connectNative round trip + 1 bus call", 1.5, asked);
  print("a payment made and refused for want of an agent : 2 bare round trips + 2 bus calls", 1.5, shown);
  head("The same beside a bare extension that is asked by a web page, as ours is");
  print("canMakePayment : page, content script, worker, host, 1 bus call, and back", 1.5, beside);
  print("a payment made and refused for want of an agent : the same, twice", 1.5, shownBeside);
  await page.close();
  await relayed.close();
  await echo.close();
}

/** What the host has resident of its own, while it is connected and serves. */
async function size() {
  const page = await stage.browser.open(stage.pages.on("spaceshop.com"));
  await page.evaluate(() => new PaymentRequest([method()], details("1")).canMakePayment());
  const host = await until("the host", () => stage.host.running(stage.browser.pid)[0]);
  const pss = Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${host}/smaps_rollup`, "utf8"))[1]);
  console.log(`\nfwp-native-host: ${(pss / 1024).toFixed(1)} MB PSS, limit 5 MB: ${pss <= MOST_PSS ? "kept" : "OVER"}`);
  await page.close();
}

/** From a start to the first answer, for our host and for a bare one. */
async function starts() {
  const frame = (message) => {
    const text = Buffer.from(JSON.stringify(message));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    return Buffer.concat([length, text]);
  };
  const hello = frame({ id: 1, method: "hello", params: { protocol: 1, browser: { name: "Chromium", version: "1" } } });
  const once = (program, id) =>
    new Promise((resolve, reject) => {
      const start = performance.now();
      const child = spawn(program, [`chrome-extension://${id}/`], { env: stage.world.env, stdio: ["pipe", "pipe", "inherit"] });
      child.once("error", reject);
      child.stdout.once("data", () => {
        resolve(performance.now() - start);
        child.stdin.end();
      });
      child.stdin.on("error", reject);
      child.stdin.write(hello);
    });
  const rounds = [];
  for (let n = -3; n < ROUNDS; n += 1) {
    const round = [await once(HOST, EXTENSION_ID), await once(ECHO, ECHO_ID)];
    if (n >= 0) rounds.push(round);
  }
  const [ours, floor] = [0, 1].map((side) => quantile(rounds.map((round) => round[side]), 0.5));
  console.log(`start to first answer: fwp-native-host ${ours.toFixed(1)} ms, a bare program on the bus ${floor.toFixed(1)} ms`);
}
