// Enrollment from the bank's page, in a wallet without cards; and the switches of the extension's popup.

import { endsWith, nextOrder, nothingSeen, pagePay, paysIn, popup } from "./common.mjs";

export const options = { cards: false };

/** The bank's page on a host: `localhost` is its rpId. */
const bankPage = (t, host = "localhost") =>
  host === "localhost" ? `${t.world.sandbox.url}/bank/enroll` : t.world.shop(host, "/bank/enroll");

/** Presses the bank's button; gives what the page says in the end. */
async function enroll(t, url) {
  const tab = await t.tab(url);
  await tab.click("#enroll");
  await tab.waitFor(() => ["enrolled", "failed"].includes(document.querySelector("#state").dataset.state));
  return [await tab.evaluate(() => document.querySelector("#state").dataset.state), await tab.text("#error")];
}

const offer = async (t) => (await fetch(`${t.world.sandbox.url}/bank/offer`)).json();

/** Sets or clears a switch of the popup. */
async function flip(t, selector, on) {
  const tab = await popup(t);
  if ((await tab.evaluate((selector) => document.querySelector(selector).checked, selector)) !== on) await tab.click(selector);
  await tab.waitFor(`document.body.dataset.ready === "true" && document.querySelector(${JSON.stringify(selector)}).checked === ${on}`);
  await tab.close();
}

export const cases = [
  {
    name: "without a card: canMakePayment is false, and a payment tells the person that none fits",
    run: async (t) => {
      const tab = await t.tab();
      t.assert.equal(await tab.evaluate(() => new PaymentRequest([method()], details("1")).canMakePayment()), false);
      await tab.act(pagePay, nextOrder());
      await endsWith(t, tab, "AbortError");
      t.assert.deepEqual(t.person.of("authorize").map(({ cards }) => cards), [[]]);
    },
  },
  {
    name: "enrollment: the person declines at the bank's page, and it says so",
    run: async (t) => {
      t.person.begin("no");
      const [state, error] = await enroll(t, bankPage(t));
      t.assert.equal(state, "failed");
      t.assert.match(error, /^AbortError: /);
    },
  },
  {
    name: "enrollment: without a gesture SecurityError",
    run: async (t) => {
      const tab = await t.tab(t.pages.onPlain("localhost"));
      const ended = await tab.evaluate((offer) => navigator.fidoWebPay.enroll(offer).then(() => "enrolled", (error) => error.name), await offer(t));
      t.assert.equal(ended, "SecurityError");
      nothingSeen(t);
    },
  },
  {
    name: "enrollment: another site can't enroll for the bank: its host is not the rpId's",
    run: async (t) => {
      const tab = await t.tab(t.pages.on("other.example"));
      await tab.act((offer) => navigator.fidoWebPay.enroll(offer).then(() => "enrolled"), await offer(t));
      const { error } = await tab.ended();
      t.assert.ok(["SecurityError", "TypeError"].includes(error?.name), JSON.stringify(error));
      nothingSeen(t);
    },
  },
  {
    name: "enrollment: the bank's page enrolls; the person saw its host and rpId, and the cards are in the popup",
    run: async (t) => {
      t.assert.deepEqual(await enroll(t, bankPage(t)), ["enrolled", ""]);
      const { kind, details } = t.person.of("consent")[0];
      t.assert.equal(`${kind} ${details["rp-id"]} ${details.host}`, "enroll localhost localhost");
      const cards = await popup(t);
      await cards.waitFor(() => document.querySelectorAll("#cards li").length === 2);
      const tab = await t.tab();
      t.assert.equal(await tab.evaluate(() => new PaymentRequest([method()], details("1")).canMakePayment()), true);
      await paysIn(t, tab);
    },
  },
  {
    name: "the switch: altogether off, pages have what the browser has, and on again they pay",
    run: async (t) => {
      const loaded = await t.tab();
      await flip(t, "#payments", false);
      const off = await t.tab();
      const native = t.name === "chromium" ? "function" : "undefined";
      t.assert.deepEqual(await off.evaluate(() => [typeof PaymentRequest, typeof navigator.fidoWebPay]), [native, "undefined"]);
      if (t.name === "chromium")
        t.assert.equal(await off.evaluate(() => { try { new PaymentRequest([method()], details("1")); } catch (error) { return error.name; } }), "RangeError");
      // A page from before is refused.
      await loaded.front();
      await loaded.act(pagePay, nextOrder());
      t.assert.ok((await loaded.ended()).error, "paid although it is off");
      nothingSeen(t);
      await flip(t, "#payments", true);
      await off.front();
      await off.reload();
      await paysIn(t, off);
    },
  },
  {
    name: "the switch: off for one site, which has what the browser has; other sites pay",
    run: async (t) => {
      const switches = await popup(t);
      await switches.evaluate(() => { document.querySelector("#site-list").closest("details").open = true; });
      await switches.evaluate(() => { document.querySelector("#site-add").value = "other.example"; });
      await switches.click("#site-add-button");
      await switches.waitFor(() => document.body.dataset.ready === "true" && document.querySelectorAll("#site-list li").length === 1);
      const off = await t.tab(t.pages.on("other.example"));
      const native = t.name === "chromium" ? "function" : "undefined";
      t.assert.deepEqual(await off.evaluate(() => [typeof PaymentRequest, typeof navigator.fidoWebPay]), [native, "undefined"]);
      await paysIn(t, await t.tab(t.pages.on("spaceshop.com")));
      await switches.front();
      await switches.click("#site-list li button");
      await switches.waitFor(() => document.body.dataset.ready === "true" && document.querySelectorAll("#site-list li").length === 0);
      await off.front();
      await off.reload();
      await paysIn(t, off);
    },
  },
  {
    name: "mozPay: without the switch there is none",
    run: async (t) => t.assert.equal(await (await t.tab()).evaluate(() => typeof navigator.mozPay), "undefined"),
  },
];
