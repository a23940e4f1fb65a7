// Payments by a page of the tests' own: yes, no, no card, retry, updates, other methods in the list.

import { BANKNET } from "../lib/pages.mjs";
import { endsWith, nextOrder, nothingSeen, pagePay, pageShow, paysIn } from "./common.mjs";

export const cases = [
  {
    name: "a page pays, and the person saw who, which host and how much",
    run: async (t) => {
      const id = nextOrder();
      const tab = await t.tab();
      await tab.act(pagePay, id);
      t.assert.deepEqual(await tab.ended(), { value: ["issuerId", "paymentNetworkId", "userAuthorization"] });
      const asked = t.person.of("authorize");
      t.assert.equal(asked.length, 1);
      const { request, cards } = asked[0];
      t.assert.equal(request["payee-name"], "Space Shop");
      t.assert.equal(request["payee-host"], "spaceshop.com");
      t.assert.equal(`${request.amount} ${request.currency} ${request["request-id"]}`, `435.00 EUR ${id}`);
      t.assert.ok(cards.length >= 1 && cards.every((card) => card["payment-network-id"] === BANKNET));
    },
  },
  {
    name: "the response says our method, the request's id and the chosen card's network",
    run: async (t) => {
      const id = nextOrder();
      const tab = await t.tab();
      await tab.act(async (id, network) => {
        const request = new PaymentRequest([method(network)], details(id));
        const response = await request.show();
        const seen = [response.methodName, response.requestId, request.id, response.details.paymentNetworkId,
          response instanceof PaymentResponse, Object.getPrototypeOf(response.details) === Object.prototype];
        await response.complete("success");
        return seen;
      }, id, BANKNET);
      t.assert.deepEqual(await tab.ended(), { value: ["fido-web-pay/v1", id, id, BANKNET, true, true] });
    },
  },
  {
    name: "the person declines: AbortError",
    run: async (t) => {
      t.person.begin("no");
      const tab = await t.tab();
      await tab.act(pagePay, nextOrder());
      await endsWith(t, tab, "AbortError");
      t.assert.equal(t.person.of("authorize").length, 1);
      t.assert.equal(t.person.of("pin").length, 0);
    },
  },
  {
    name: "no card fits: the person is told, and it is an AbortError",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(pagePay, nextOrder(), "https://nobody.example");
      await endsWith(t, tab, "AbortError");
      t.assert.deepEqual((await t.person.sees("authorize")).cards, []);
    },
  },
  {
    name: "canMakePayment is true with cards, fitting or not, and the person is not asked",
    run: async (t) => {
      const tab = await t.tab();
      const can = (network) => new PaymentRequest([method(network)], details("1")).canMakePayment();
      t.assert.equal(await tab.evaluate(can, BANKNET), true);
      t.assert.equal(await tab.evaluate(can, "https://nobody.example"), true);
      nothingSeen(t);
    },
  },
  {
    name: "retry asks again with the shop's words, for the same card, and gives a new authorization",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id) => {
        const request = new PaymentRequest([method()], details(id));
        const response = await request.show();
        const first = response.details.userAuthorization;
        await response.retry({ error: "The bank asks you to try again." });
        const second = response.details.userAuthorization;
        await response.complete("success");
        return [first !== second, typeof second];
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: [true, "string"] });
      const [first, again] = t.person.of("authorize");
      t.assert.equal(again.request.retry, true);
      t.assert.equal(again.request.error, "The bank asks you to try again.");
      t.assert.equal(again.cards.length, 1);
      t.assert.ok(first.cards.some((card) => card.path === again.cards[0].path));
    },
  },
  {
    name: "the person declines a retry: AbortError of retry()",
    run: async (t) => {
      t.person.begin("yes", "no");
      const tab = await t.tab();
      await tab.act(async (id) => {
        const response = await new PaymentRequest([method()], details(id)).show();
        await response.retry();
      }, nextOrder());
      await endsWith(t, tab, "AbortError");
      t.assert.equal(t.person.of("authorize").length, 2);
    },
  },
  {
    name: "show(details) waits for the shop's last word, and that is what the person sees",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id) => {
        const request = new PaymentRequest([method()], details(id, "1.00"));
        const later = new Promise((resolve) => setTimeout(() => resolve({ total: details(id, "436.50").total }), 300));
        const response = await request.show(later);
        await response.complete("success");
        return true;
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: true });
      const amounts = t.person.of("authorize").map(({ request }) => request.amount);
      t.assert.equal(amounts.at(-1), "436.50");
      t.assert.ok(!amounts.includes("1.00"), `asked for ${amounts}`);
    },
  },
  {
    name: "our method among others is ours",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id) => {
        const others = [{ supportedMethods: "https://pay.example/method" }, method(), { supportedMethods: "basic-card" }];
        const response = await new PaymentRequest(others, details(id)).show();
        await response.complete("success");
        return response.methodName;
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: "fido-web-pay/v1" });
    },
  },
  {
    name: "several networks: the person chooses among the cards of all, in no other",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id, network) => {
        const ours = method(network);
        ours.data.networks.unshift({ id: "https://nobody.example", networkOptions: { anything: [1, "two"] } });
        const response = await new PaymentRequest([ours], details(id)).show();
        await response.complete("success");
        return response.details.paymentNetworkId;
      }, nextOrder(), BANKNET);
      t.assert.deepEqual(await tab.ended(), { value: BANKNET });
    },
  },
  {
    name: "one show at a time in a tab: the second is an AbortError, the first goes on",
    run: async (t) => {
      t.person.begin("wait");
      const tab = await t.tab();
      await tab.act(pageShow, nextOrder());
      await t.person.sees("authorize");
      await tab.evaluate(() => { window.first = window.outcome; });
      await tab.act(pagePay, nextOrder());
      await endsWith(t, tab, "AbortError");
      t.person.answer("yes");
      t.assert.deepEqual(await tab.evaluate(() => window.first), { value: "fido-web-pay/v1" });
      t.assert.equal(t.person.of("authorize").length, 1);
    },
  },
  {
    name: "complete(fail) ends it, and the next payment goes",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id) => {
        const response = await new PaymentRequest([method()], details(id)).show();
        await response.complete("fail");
        const twice = await response.complete("fail").then(() => "resolved", (error) => error.name);
        return twice;
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: "InvalidStateError" });
      await paysIn(t, tab);
    },
  },
  {
    name: "10 MB of networkOptions are a TypeError, and everything goes on",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act((id) => {
        const request = new PaymentRequest([method(undefined, { networkOptions: "x".repeat(10 * 1024 * 1024) })], details(id));
        return request.show();
      }, nextOrder());
      await endsWith(t, tab, "TypeError");
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
  {
    name: "10 MB of networkOptions in pieces, each below the limit of one method: refused, and everything goes on",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act((id) => {
        const ours = method();
        for (let n = 0; n < 11; n += 1)
          ours.data.networks.push({ id: `https://n${n}.example`, networkOptions: "x".repeat(1000 * 1000) });
        return new PaymentRequest([ours], details(id)).show();
      }, nextOrder());
      await endsWith(t, tab, "TypeError");
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
];
