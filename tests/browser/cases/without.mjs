// Pages that never name our method: in Chromium they have the native class, in Firefox an interface with no handler.

import { paysIn } from "./common.mjs";

const NATIVE = "Firefox has no PaymentRequest of its own to compare with";

/** What a page can find out about the class without naming our method. */
async function pageLooks() {
  const ends = async (work) => {
    try {
      const value = await work();
      return String(value);
    } catch (error) {
      return `${error.constructor.name} ${error.name}: ${error.message}`;
    }
  };
  const url = [{ supportedMethods: "https://pay.example/method" }];
  const order = { total: { label: "Total", amount: { currency: "EUR", value: "1.00" } } };
  const request = new PaymentRequest(url, order);
  return {
    class: [PaymentRequest.name, PaymentRequest.length, typeof PaymentRequest, Object.prototype.toString.call(request)],
    is: [request instanceof PaymentRequest, request.constructor === PaymentRequest, request instanceof EventTarget,
      Object.getPrototypeOf(request) === PaymentRequest.prototype],
    property: Object.entries(Object.getOwnPropertyDescriptor(window, "PaymentRequest")).filter(([name]) => name !== "value"),
    members: Object.getOwnPropertyNames(PaymentRequest.prototype).sort(),
    statics: Object.getOwnPropertyNames(PaymentRequest).sort(),
    chain: Object.getPrototypeOf(PaymentRequest.prototype) === EventTarget.prototype,
    id: typeof request.id,
    errors: [
      await ends(() => PaymentRequest(url, order)),
      await ends(() => new PaymentRequest()),
      await ends(() => new PaymentRequest(url)),
      await ends(() => new PaymentRequest([], order)),
      await ends(() => new PaymentRequest([{ supportedMethods: "not a method!" }], order)),
      await ends(() => new PaymentRequest(url, { total: { label: "x", amount: { currency: "EURO", value: "1" } } })),
      await ends(() => new PaymentRequest(url, { total: { label: "x", amount: { currency: "EUR", value: "-1" } } })),
      await ends(() => new PaymentRequest([...url, ...url], order)),
    ],
    asks: [await ends(() => request.canMakePayment()), await ends(() => new PaymentRequest(url, order).show()),
      await ends(() => new PaymentRequest(url, order).abort())],
    subclass: (() => {
      class Mine extends PaymentRequest {}
      const mine = new Mine(url, order);
      return [mine instanceof Mine, mine instanceof PaymentRequest, Object.getPrototypeOf(mine) === Mine.prototype];
    })(),
  };
}

export const cases = [
  {
    name: "native class: results, errors, names and instanceof are as without the extension",
    only: "chromium",
    reason: NATIVE,
    run: async (t) => {
      const bare = await (await t.tab("/", await t.bare())).evaluate(pageLooks);
      const ours = await (await t.tab()).evaluate(pageLooks);
      t.assert.deepEqual(ours, bare);
    },
  },
  {
    name: "native class: an iframe's is its own, and its requests are no instances of the page's",
    only: "chromium",
    reason: NATIVE,
    run: async (t) => {
      const look = async () => {
        const frame = document.createElement("iframe");
        document.body.append(frame);
        await new Promise((resolve) => setTimeout(resolve, 100));
        const theirs = frame.contentWindow.PaymentRequest;
        const order = { total: { label: "Total", amount: { currency: "EUR", value: "1.00" } } };
        const request = new theirs([{ supportedMethods: "https://pay.example/method" }], order);
        return [theirs === PaymentRequest, request instanceof PaymentRequest, request instanceof theirs, theirs.name];
      };
      t.assert.deepEqual(await (await t.tab()).evaluate(look), await (await t.tab("/", await t.bare())).evaluate(look));
    },
  },
  {
    name: "without our method nothing handles it: show() is a NotSupportedError, canMakePayment is false",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async () => {
        const url = [{ supportedMethods: "https://pay.example/method" }];
        const order = { total: { label: "Total", amount: { currency: "EUR", value: "1.00" } } };
        const ended = [await new PaymentRequest(url, order).canMakePayment()];
        await new PaymentRequest(url, order).show().catch((error) => ended.push(error.name));
        return ended;
      });
      t.assert.deepEqual(await tab.ended(), { value: [false, "NotSupportedError"] });
    },
  },
  {
    name: "pages may replace PaymentRequest, and delete it: the property is writable and configurable",
    run: async (t) => {
      const tab = await t.tab();
      const ended = await tab.evaluate(() => {
        const { writable, configurable, enumerable } = Object.getOwnPropertyDescriptor(window, "PaymentRequest");
        const original = PaymentRequest;
        window.PaymentRequest = function Mine() {};
        const replaced = PaymentRequest.name;
        delete window.PaymentRequest;
        const deleted = typeof PaymentRequest;
        Object.defineProperty(window, "PaymentRequest", { value: original, writable, configurable, enumerable });
        return [writable, configurable, enumerable, replaced, deleted];
      });
      t.assert.deepEqual(ended, [true, true, false, "Mine", "undefined"]);
      await paysIn(t, tab);
    },
  },
  {
    name: "a page that pays nothing starts no host",
    run: async (t) => {
      for (const host of t.host.running(t.browser.pid)) process.kill(host, "SIGKILL");
      const tab = await t.tab();
      await tab.evaluate(() => new PaymentRequest([method()], details("1")).id);
      for (let n = 0; n < 3; n += 1) await tab.reload();
      await new Promise((resolve) => setTimeout(resolve, 500));
      t.assert.deepEqual(t.host.running(t.browser.pid), []);
    },
  },
];
