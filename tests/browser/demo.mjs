#!/usr/bin/env node
// The main job in a real browser: the bank's page enrolls a card, the Space Shop's page is paid with it, and both pages are left as
// screenshots. `scripts/demo-browser.sh` and `make demo BROWSER=chromium` (or firefox) run it.
//
//   node tests/browser/demo.mjs chromium|firefox [FOLDER]

import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";

import { BROWSERS, Stage } from "./lib/stage.mjs";
import { ROOT } from "./lib/world.mjs";

const [name, folder = join(ROOT, "demo-screenshots")] = process.argv.slice(2);
if (!BROWSERS[name]) {
  console.error("demo: BROWSER=chromium or BROWSER=firefox");
  process.exit(2);
}

let steps = 0;
const step = (text) => console.log(`\n\x1b[1m${(steps += 1)}. ${text}\x1b[0m`);
const show = (text) => console.log(`$ ${text}`);
/** What the person saw, and what they did. */
const person = (text) => console.log(`   (the person: ${text})`);

mkdirSync(folder, { recursive: true });
const picture = async (tab, what) => {
  const path = join(folder, `${name}-${what}.png`);
  await tab.screenshot(path);
  console.log(`screenshot: ${relative(process.cwd(), path)}`);
};

step(`A private bus, the wallet, a bank, a PSP and shops; ${name} with the extension`);
show("fwpd --session");
show("fwp-sandbox serve --https ...");
show("fwpctl pin set platform");
show("fwpctl browser install");
const stage = await Stage.start(name, { cards: false });
let failed = false;
try {
  console.log(`${name} ${stage.browser.version}`);

  step("Enroll at the bank's page: a FIDO key is made, the bank checks its attestation and issues two cards");
  const bank = `${stage.world.sandbox.url}/bank/enroll`;
  show(`open ${bank}; press "Enroll"`);
  const enrolling = await stage.tab(bank);
  await enrolling.click("#enroll");
  const consent = await stage.person.sees("consent", 1, 20_000);
  person(`is asked whether ${consent.details.host} may make a key for "${consent.details["rp-id"]}": yes, and types the PIN`);
  await enrolling.waitFor(() => ["enrolled", "failed"].includes(document.querySelector("#state").dataset.state), 20_000);
  const enrolled = await enrolling.text("#state");
  console.log(`bank: ${enrolled}`);
  if (!/\d cards/.test(enrolled)) throw new Error(`the bank's page says: ${await enrolling.text("#error")}`);
  await picture(enrolling, "enrolled");

  step("Buy the Space Shop's rocket boots, 435.00 EUR");
  const shop = stage.world.shop("spaceshop.com", "/shop");
  show(`open ${shop}; press "Buy"`);
  stage.person.begin();
  const buying = await stage.tab(shop);
  await picture(buying, "shop");
  await buying.click("#buy");
  const { request, cards } = await stage.person.sees("authorize", 1, 20_000);
  person(`is asked: ${request["payee-name"]} (${request["payee-host"]}) ${request.amount} ${request.currency}, ${cards.length} cards fit; takes the first one, and types the PIN`);
  await buying.waitFor(() => document.querySelector("#state[data-state=paid]") || document.querySelector("#error")?.textContent, 20_000);
  const paid = await buying.text("#state");
  if (!paid) throw new Error(`the shop's page says: ${await buying.text("#error")}`);
  console.log(`shop: ${paid.trim()}`);
  await picture(buying, "paid");

  step("The bank's view");
  const delivery = stage.world.deliveries().at(-1);
  console.log(`bank: ${JSON.stringify(delivery.verdict ?? delivery)}`);
  const view = await stage.tab(`${stage.world.sandbox.url}/bank`);
  await picture(view, "bank");
  console.log(`\n\x1b[1mDone: enrolled at the bank's page and paid at the shop's, in ${name}.\x1b[0m`);
} catch (error) {
  failed = true;
  console.error(`demo: ${error.message}\n${stage.world.log()}`);
} finally {
  await stage.end();
}
process.exit(failed ? 1 : 0);
