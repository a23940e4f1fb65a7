// The sandbox's shops, which know nothing of the wallet: the Space Shop sells, the Moon Shop cheats.

import { nothingSeen } from "./common.mjs";

/** Buys at a shop's page, and gives the tab on the order's page. */
async function buy(t, url) {
  const tab = await t.tab(url);
  await tab.click("#buy");
  await tab.waitFor(() => document.querySelector("#state")?.dataset.state || document.querySelector("#error")?.textContent);
  return tab;
}

const state = (tab) => tab.evaluate(() => document.querySelector("#state")?.dataset.state);

/** Has the Moon Shop's page try something; gives its steps. */
async function attack(t, id) {
  const tab = await t.tab(t.world.shop("moonshop.example", "/moon"));
  await tab.click(`#${id}`);
  await tab.waitFor(() => document.querySelector("#outcome")?.dataset.done);
  const { steps, error } = JSON.parse(await tab.text("#outcome"));
  t.assert.equal(error, undefined);
  return steps;
}

export const cases = [
  {
    name: "Space Shop: the order of 435.00 EUR is paid over HTTPS, and the bank books it",
    run: async (t) => {
      const before = t.world.deliveries().length;
      const tab = await buy(t, t.world.shop("spaceshop.com", "/shop"));
      t.assert.equal(await state(tab), "paid", await tab.text("body"));
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-name"]}, ${request["payee-host"]}, ${request.amount} ${request.currency}`,
        "Space Shop, spaceshop.com, 435.00 EUR");
      t.assert.equal(t.world.deliveries().length, before + 1);
      t.assert.match(JSON.stringify(t.world.deliveries().at(-1)), /book/i);
    },
  },
  {
    name: "Space Shop: the order is paid on http://localhost",
    run: async (t) => {
      const tab = await buy(t, `${t.world.sandbox.url}/shop`);
      t.assert.equal(await state(tab), "paid", await tab.text("body"));
      t.assert.equal(t.person.of("authorize")[0].request["payee-host"], "localhost");
    },
  },
  {
    name: "Space Shop: who declines sees the shop say so, and nothing is delivered",
    run: async (t) => {
      const before = t.world.deliveries().length;
      t.person.begin("no");
      const tab = await buy(t, t.world.shop("spaceshop.com", "/shop"));
      t.assert.match(await tab.text("#error"), /^AbortError: /);
      t.assert.equal(t.world.deliveries().length, before);
    },
  },
  {
    name: "Space Shop: without the extension the page says that there is no wallet",
    only: "chromium",
    reason: "its driver starts one Firefox at a time",
    run: async (t) => {
      const tab = await t.tab(t.world.shop("spaceshop.com", "/shop"), await t.bare());
      await tab.click("#buy");
      await tab.waitFor(() => document.querySelector("#error")?.textContent);
      t.assert.match(await tab.text("#error"), /Error: /);
      nothingSeen(t);
    },
  },
  {
    name: "Moon Shop, an honest sale: its own name and host before the person, and booked",
    run: async (t) => {
      const steps = await attack(t, "honest");
      t.assert.deepEqual(steps.map(({ step }) => step), ["authorized", "delivered"]);
      t.assert.equal(steps[1].answer.status, "booked");
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-name"]}, ${request["payee-host"]}, ${request.amount}`, "Moon Shop, moonshop.example, 1.00");
    },
  },
  {
    name: "the paper's attack A, retry to a second card: only the first card is offered, and the bank books once",
    run: async (t) => {
      const before = t.world.deliveries().length;
      // The person would take another card the second time, if there were one.
      t.person.begin("yes", { card: 1 });
      const steps = await attack(t, "retry-second-card");
      const [first, again] = t.person.of("authorize");
      t.assert.ok(first.cards.length >= 1);
      t.assert.deepEqual(again.cards.map(({ path }) => path), [first.cards[0].path]);
      t.assert.match(steps.at(-1).error, /^AbortError: /);
      t.assert.equal(t.world.deliveries().length, before + 1);
    },
  },
  {
    name: "the paper's attack A, the same card authorizes twice: the bank books once",
    run: async (t) => {
      t.person.begin("yes", "yes");
      const steps = await attack(t, "retry-second-card");
      const answers = steps.filter(({ answer }) => answer).map(({ answer }) => answer);
      t.assert.equal(answers[0].status, "booked", JSON.stringify(steps));
      // A second booking would have a reference of its own.
      const references = new Set(answers.map((answer) => answer.reference).filter(Boolean));
      t.assert.ok(references.size <= 1, JSON.stringify(answers));
      const again = steps.find(({ step }) => step === "authorized again");
      if (again) t.assert.equal(again.sameCard, true);
    },
  },
  {
    name: "the paper's attack B, duplicate method data: refused in the page, and nobody is asked",
    run: async (t) => {
      const before = t.world.deliveries().length;
      const steps = await attack(t, "duplicate-method");
      t.assert.match(steps[0].error, /^RangeError: /);
      nothingSeen(t);
      t.assert.equal(t.world.deliveries().length, before);
    },
  },
  {
    name: "the paper's attack B, duplicate network data: refused in the page, and nobody is asked",
    run: async (t) => {
      const before = t.world.deliveries().length;
      const steps = await attack(t, "duplicate-network");
      t.assert.match(steps[0].error, /^TypeError: /);
      nothingSeen(t);
      t.assert.equal(t.world.deliveries().length, before);
    },
  },
  {
    name: "Moon Shop under another's name: the person sees the host, and no envelope of it is booked",
    run: async (t) => {
      const steps = await attack(t, "other-name");
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-name"]}, ${request["payee-host"]}`, "Space Shop, moonshop.example");
      const answers = steps.filter(({ answer }) => answer);
      t.assert.equal(answers.length, 3);
      for (const { step, answer } of answers) t.assert.notEqual(answer.status, "booked", `${step}: ${JSON.stringify(answer)}`);
    },
  },
];
