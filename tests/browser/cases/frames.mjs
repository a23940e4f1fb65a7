// Where payments are not allowed: frames, policies, no gesture, pages that are not secure.

import { BUTTON } from "../lib/pages.mjs";
import { endsWith, nextOrder, nothingSeen, pagePay, paysIn } from "./common.mjs";

/** A page with one frame, and the frame. */
async function framed(t, attributes, headers = {}) {
  const path = `/framed-${nextOrder()}`;
  t.pages.set(path, `<!doctype html><title>Around a frame</title><iframe ${attributes} width="600" height="300"></iframe>`, headers);
  const tab = await t.tab(path);
  return { tab, frame: await tab.frame("/inside") };
}

/** That a payment of this page or frame is refused as not allowed, and nobody was asked. */
async function isRefused(t, where) {
  await where.act(pagePay, nextOrder());
  await endsWith(t, where, "SecurityError");
  nothingSeen(t);
}

export async function before(t) {
  t.pages.set("/inside", BUTTON);
}

export const cases = [
  {
    name: "a frame of the same origin pays, and the person sees the page's host",
    run: async (t) => {
      const { frame } = await framed(t, `src="/inside"`);
      await paysIn(t, frame);
      t.assert.equal(t.person.of("authorize")[0].request["payee-host"], "spaceshop.com");
    },
  },
  {
    name: "a cross-origin frame is refused",
    run: async (t) => isRefused(t, (await framed(t, `src="${t.pages.on("other.example", "/inside")}"`)).frame),
  },
  {
    name: "a cross-origin frame that the page allows to pay is refused, for now",
    run: async (t) => isRefused(t, (await framed(t, `allow="payment" src="${t.pages.on("other.example", "/inside")}"`)).frame),
  },
  {
    name: "a frame of the same host on another port is another origin: refused",
    run: async (t) => isRefused(t, (await framed(t, `src="${t.pages.onNeighbour("spaceshop.com", "/inside")}"`)).frame),
  },
  {
    name: "a sandboxed frame, whose origin is null, is refused",
    run: async (t) => isRefused(t, (await framed(t, `sandbox="allow-scripts" src="/inside"`)).frame),
  },
  {
    name: "a sandboxed frame that the page allows to pay is refused",
    run: async (t) => isRefused(t, (await framed(t, `sandbox="allow-scripts" allow="payment" src="/inside"`)).frame),
  },
  {
    name: "a page that its server sandboxes, whose origin is null, is refused",
    run: async (t) => {
      t.pages.set("/sandboxed", BUTTON, { "content-security-policy": "sandbox allow-scripts" });
      await isRefused(t, await t.tab("/sandboxed"));
    },
  },
  {
    name: "permission policy: a page whose server forbids payments is refused",
    run: async (t) => {
      t.pages.set("/forbidden", BUTTON, { "permissions-policy": "payment=()" });
      await isRefused(t, await t.tab("/forbidden"));
    },
  },
  {
    name: "permission policy: a frame that the page forbids payments is refused",
    run: async (t) => isRefused(t, (await framed(t, `allow="payment 'none'" src="/inside"`)).frame),
  },
  {
    name: "permission policy: a server that allows itself is no obstacle",
    run: async (t) => {
      t.pages.set("/allowed", BUTTON, { "permissions-policy": "payment=(self)" });
      await paysIn(t, await t.tab("/allowed"));
    },
  },
  {
    name: "no gesture: SecurityError",
    run: async (t) => {
      const tab = await t.tab();
      const ended = await tab.evaluate(async (id) => {
        const request = new PaymentRequest([method()], details(id));
        return request.show().then(() => "shown", (error) => error.name);
      }, nextOrder());
      t.assert.equal(ended, "SecurityError");
      nothingSeen(t);
    },
  },
  {
    name: "one gesture is for one payment: the next without another click is a SecurityError",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id, next) => {
        const response = await new PaymentRequest([method()], details(id)).show();
        await response.complete("success");
        return new PaymentRequest([method()], details(next)).show();
      }, nextOrder(), nextOrder());
      await endsWith(t, tab, "SecurityError");
      t.assert.equal(t.person.of("authorize").length, 1);
    },
  },
  {
    name: "one gesture is for one payment over all frames of a tab: a frame can't use the page's click again",
    run: async (t) => {
      t.pages.set("/around", `${BUTTON}<iframe src="/inside"></iframe>`);
      const tab = await t.tab("/around");
      await tab.frame("/inside");
      await tab.act(async (id, next) => {
        const response = await new PaymentRequest([method()], details(id)).show();
        await response.complete("success");
        const inFrame = frames[0].eval("(id) => new PaymentRequest([method()], details(id)).show()");
        return inFrame(next).catch(({ name, message }) => Promise.reject(new DOMException(message, name)));
      }, nextOrder(), nextOrder());
      await endsWith(t, tab, "SecurityError");
      t.assert.equal(t.person.of("authorize").length, 1);
    },
  },
  {
    name: "a click that a script made up is no gesture",
    run: async (t) => {
      const tab = await t.tab();
      const ended = await tab.evaluate((id) => new Promise((resolve) => {
        window.onGo = () => new PaymentRequest([method()], details(id)).show().then(() => resolve("shown"), (error) => resolve(error.name));
        document.querySelector("#go").click();
      }), nextOrder());
      t.assert.equal(ended, "SecurityError");
      nothingSeen(t);
    },
  },
  {
    name: "plain HTTP: there is no PaymentRequest",
    run: async (t) => {
      const tab = await t.tab(t.pages.onPlain("shop.example"));
      t.assert.deepEqual(await tab.evaluate(() => [isSecureContext, typeof PaymentRequest, typeof navigator.fidoWebPay]),
        [false, "undefined", "undefined"]);
    },
  },
  {
    name: "plain HTTP on localhost pays: it is this computer",
    run: async (t) => {
      await paysIn(t, await t.tab(t.pages.onPlain("localhost")));
      t.assert.equal(t.person.of("authorize")[0].request["payee-host"], "localhost");
    },
  },
  {
    name: "a certificate that nobody vouches for: refused, however much the person insisted on the page",
    run: async (t) => {
      const tab = await t.tab("/elsewhere");
      await tab.insist(t.pages.onUntrusted());
      await tab.act(pagePay, nextOrder());
      await endsWith(t, tab, "SecurityError");
      nothingSeen(t);
    },
  },
];
