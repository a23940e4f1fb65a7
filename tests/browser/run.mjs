#!/usr/bin/env node
// Runs the cases in real browsers, both at once, each with a wallet, bus, bank and shop of its own.
//
//   node tests/browser/run.mjs [--browser chromium|firefox] [--only TEXT]
//
// `--only` takes the cases whose file or name has TEXT in it. What a browser can't do stands in cannot.json with the reason; any
// other case that does not pass in a browser is a failure.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { Report } from "./lib/report.mjs";
import { BROWSERS, Stage } from "./lib/stage.mjs";

/** How long a case may take unless it says otherwise, in ms. */
const LIMIT = 30_000;

const { values } = parseArgs({ options: { browser: { type: "string" }, only: { type: "string" } } });
if (values.browser && !BROWSERS[values.browser]) {
  console.error("run: --browser chromium or --browser firefox");
  process.exit(2);
}
const browsers = values.browser ? [values.browser] : Object.keys(BROWSERS);
const here = new URL(".", import.meta.url).pathname;
const files = await load();
const cannot = JSON.parse(readFileSync(join(here, "cannot.json"), "utf8"));
const report = new Report(browsers);
const start = performance.now();

checkLists();
await Promise.all(browsers.map(runIn));
console.log("");
report.print();
console.log(`${Math.round((performance.now() - start) / 1000)} s`);
process.exit(report.good ? 0 : 1);

/** The files of cases, with what `--only` leaves of them. */
async function load() {
  const loaded = [];
  for (const file of readdirSync(join(here, "cases")).filter((name) => name.endsWith(".mjs")).sort()) {
    const { cases, before, options } = await import(join(here, "cases", file));
    // A file of data for another one.
    if (!cases || cases.some((one) => "expect" in one)) continue;
    const wanted = cases.filter((one) => !values.only || file.includes(values.only) || one.name.includes(values.only));
    if (wanted.length) loaded.push({ file, cases: wanted, all: cases, before, options });
  }
  return loaded;
}

/** Names are unique, and the list of what can't be done names cases that exist, with reasons. */
function checkLists() {
  const names = files.flatMap(({ all }) => all.map(({ name }) => name));
  const twice = names.filter((name, at) => names.indexOf(name) !== at);
  const unknown = values.only ? [] : cannot.filter(({ case: name }) => !names.includes(name)).map(({ case: name }) => name);
  const vague = cannot.filter(({ browser, reason }) => !BROWSERS[browser] || !reason);
  if (twice.length || unknown.length || vague.length || !names.length) {
    console.error("run: names twice, unknown in cannot.json, or without a reason:", twice, unknown, vague);
    process.exit(2);
  }
}

async function runIn(browser) {
  // A file may want a stage of its own; the others share one.
  const groups = [files.filter(({ options }) => !options), ...files.filter(({ options }) => options).map((file) => [file])];
  for (const group of groups.filter((group) => group.length)) {
    let stage;
    try {
      stage = await Stage.start(browser, group[0].options);
    } catch (error) {
      failAll(group, browser, error);
      continue;
    }
    try {
      for (const file of group) await runFile(stage, file);
    } finally {
      await stage.end().catch((error) => console.error(`${browser}: at the end: ${error.message}`));
    }
  }
}

function failAll(group, browser, error) {
  console.error(`${browser}: no stage: ${error.stack}`);
  for (const { cases } of group)
    for (const { name } of cases) report.note(name, browser, { state: "FAILED", ms: 0, why: error.message });
}

async function runFile(stage, { file, cases, before }) {
  const browser = stage.name;
  let state;
  try {
    state = await before?.(stage);
  } catch (error) {
    return failAll([{ cases }], browser, error);
  }
  for (const one of cases) {
    const listed = cannot.find((entry) => entry.case === one.name && entry.browser === browser);
    const reason = listed?.reason ?? (one.only && one.only !== browser ? one.reason : undefined);
    if (reason) {
      report.note(one.name, browser, { state: "can't", ms: 0, why: reason });
      continue;
    }
    const began = performance.now();
    try {
      await within(one.limit ?? LIMIT, one.run(stage, state));
      report.note(one.name, browser, { state: "ok", ms: performance.now() - began });
      console.log(`ok     ${browser} ${file}: ${one.name}`);
    } catch (error) {
      report.note(one.name, browser, { state: "FAILED", ms: performance.now() - began, why: error.message });
      console.log(`FAILED ${browser} ${file}: ${one.name}\n${error.stack}\n${JSON.stringify(stage.person?.seen)}\n${stage.world.log()}`);
    }
    await within(LIMIT, stage.tidy()).catch((error) => console.error(`${browser}: tidying after ${one.name}: ${error.message}`));
  }
}

function within(limit, work) {
  let late;
  const timer = new Promise((_, reject) => {
    late = setTimeout(() => reject(new Error(`not done within ${limit} ms`)), limit);
  });
  return Promise.race([work, timer]).finally(() => clearTimeout(late));
}
