// navigator.mozPay, switched on: the sandbox's pages pay by signed requests, and forged or expired ones are refused with the reason.

import { until } from "../lib/processes.mjs";
import { nothingSeen, popup } from "./common.mjs";

export const options = {};

/** A request as the shop's server signs it. */
async function signed(t, typ) {
  const answer = await fetch(`${t.world.sandbox.url}/shop/mozpay`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ typ }),
  });
  return answer.json();
}

/** The same request with other claims; its signature is as before. */
function changed(jwt, change) {
  const [header, claims, signature] = jwt.split(".");
  const read = JSON.parse(Buffer.from(claims, "base64url").toString());
  change(read);
  return [header, Buffer.from(JSON.stringify(read)).toString("base64url"), signature].join(".");
}

/** Pays by it; gives {result} or {error: {name, message}}. Runs in the page. */
function pageMozPay(requests) {
  return new Promise((resolve) => {
    const asked = navigator.mozPay(requests);
    asked.onsuccess = () => resolve({ result: asked.result });
    asked.onerror = () => resolve({ error: { name: asked.error.name, message: asked.error.message } });
  });
}

/** Buys at the Space Shop's page by that button, and gives what the order's page says. */
async function buy(t, button) {
  const tab = await t.tab(`${t.world.sandbox.url}/shop`);
  await tab.click(button);
  await tab.waitFor(() => document.querySelector("#state")?.dataset.state || document.querySelector("#error")?.textContent);
  return [await tab.evaluate(() => document.querySelector("#state")?.dataset.state), await tab.text("body")];
}

async function order(t, number) {
  const answer = await fetch(`${t.world.sandbox.url}/shop/orders/${number}`, { headers: { accept: "application/json" } });
  return answer.json();
}

export async function before(t) {
  const switches = await popup(t);
  await switches.click("#mozpay");
  await switches.waitFor(() => document.body.dataset.ready === "true" && document.querySelector("#mozpay").checked);
  await switches.close();
}

export const cases = [
  {
    name: "mozPay, HS256: the Space Shop's page pays, the person saw what the shop claims, and its server got the signed notice",
    run: async (t) => {
      const [state, text] = await buy(t, "#mozpay");
      t.assert.equal(state, "paid", text);
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-name"]}, ${request["payee-host"]}, ${request.amount} ${request.currency}`, "Space Shop, localhost, 435.00 EUR");
      t.assert.ok(request["claimed-name"] && request["claimed-description"], JSON.stringify(request));
      t.assert.equal(request.provider, "sandbox/payments/pay/v1");
    },
  },
  {
    name: "mozPay, ES256: the wallet knows the provider's key, and the Space Shop's page pays",
    run: async (t) => {
      const [state, text] = await buy(t, "#mozpay-signed");
      t.assert.equal(state, "paid", text);
    },
  },
  {
    name: "mozPay: the page is told the transaction's ID, and the notice names it",
    run: async (t) => {
      const { order: number, jwt } = await signed(t, "sandbox/payments/pay/v1");
      const tab = await t.tab(t.pages.onPlain("localhost"));
      await tab.act(pageMozPay, [jwt]);
      const { value } = await tab.ended();
      t.assert.equal(typeof value.result?.transactionID, "string", JSON.stringify(value));
      const told = await until("the notice at the shop", async () => {
        const at = await order(t, number);
        return at.state !== "open" && at;
      });
      t.assert.deepEqual([told.state, told.transactionID], ["booked", value.result.transactionID]);
    },
  },
  {
    name: "mozPay: who declines gives the page USER_CANCELLED",
    run: async (t) => {
      t.person.begin("no");
      const { jwt } = await signed(t, "sandbox/payments/pay/v1");
      const tab = await t.tab(t.pages.onPlain("localhost"));
      await tab.act(pageMozPay, jwt);
      t.assert.equal((await tab.ended()).value.error?.name, "USER_CANCELLED");
    },
  },
  {
    name: "mozPay, HS256: a forged request, of which the wallet can't know, is refused by the provider with the reason; nothing is paid",
    run: async (t) => {
      const { order: number, jwt } = await signed(t, "sandbox/payments/pay/v1");
      const forged = changed(jwt, (claims) => { claims.request.price.amount = "0.01"; });
      const tab = await t.tab(t.pages.onPlain("localhost"));
      await tab.act(pageMozPay, [forged]);
      const { value } = await tab.ended();
      t.assert.equal(value.error?.name, "REFUSED", JSON.stringify(value));
      t.assert.match(value.error.message, /signature|forged/i);
      t.assert.equal((await order(t, number)).state, "open");
    },
  },
  {
    name: "mozPay, ES256: a forged request is refused by the wallet with the reason",
    run: async (t) => {
      const { order: number, jwt } = await signed(t, "sandbox/signed/pay/v1");
      const forged = changed(jwt, (claims) => { claims.request.price.amount = "0.01"; });
      const tab = await t.tab(t.pages.onPlain("localhost"));
      await tab.act(pageMozPay, [forged]);
      const { value } = await tab.ended();
      t.assert.ok(["INVALID_REQUEST", "REFUSED"].includes(value.error?.name), JSON.stringify(value));
      t.assert.match(value.error.message, /signature|sign|forged/i);
      t.assert.equal(t.person.of("pin").length, 0);
      t.assert.equal((await order(t, number)).state, "open");
    },
  },
  {
    name: "mozPay: an expired request is refused with the reason, and nobody is asked",
    run: async (t) => {
      const { jwt } = await signed(t, "sandbox/payments/pay/v1");
      const expired = changed(jwt, (claims) => { claims.iat -= 100_000; claims.exp = claims.iat + 60; });
      const tab = await t.tab(t.pages.onPlain("localhost"));
      await tab.act(pageMozPay, [expired]);
      const { value } = await tab.ended();
      t.assert.equal(value.error?.name, "INVALID_REQUEST", JSON.stringify(value));
      t.assert.match(value.error.message, /expired|exp\b/i);
      nothingSeen(t);
    },
  },
];
