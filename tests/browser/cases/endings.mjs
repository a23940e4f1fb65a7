// What ends a payment from outside: the page, the tab, the history, and programs that die.

import { until } from "../lib/processes.mjs";
import { endsWith, nextOrder, nothingSeen, pagePay, pageShow, paysIn } from "./common.mjs";

/** A tab whose payment is before the person, who doesn't answer. */
async function waiting(t) {
  t.person.begin("never");
  const tab = await t.tab();
  await tab.act(pageShow, nextOrder());
  await t.person.sees("authorize");
  return tab;
}

/** The one host that runs, once there is one. */
const hostOf = (t) => until("a native host", () => t.host.running(t.browser.pid)[0]);

export const cases = [
  {
    name: "a tab that nobody sees can't ask",
    run: async (t) => {
      const tab = await t.tab();
      const ready = tab.evaluate(() => document.visibilityState);
      t.assert.equal(await ready, "visible");
      // The click is there, but by the time the page uses it another tab is in front.
      await tab.act(async (id) => {
        while (document.visibilityState === "visible") await new Promise((resolve) => setTimeout(resolve, 20));
        return new PaymentRequest([method()], details(id)).show();
      }, nextOrder());
      await (await t.tab("/elsewhere")).front();
      await endsWith(t, tab, "AbortError", /visible/i);
      nothingSeen(t);
    },
  },
  {
    name: "abort() withdraws the prompt: it resolves, and show() is an AbortError",
    run: async (t) => {
      const tab = await waiting(t);
      t.assert.equal(await tab.evaluate(() => window.request.abort().then(() => "resolved")), "resolved");
      await endsWith(t, tab, "AbortError");
      await t.person.sees("withdrawn");
      await paysIn(t, tab);
    },
  },
  {
    name: "the tab is closed while the person is asked: the prompt goes",
    run: async (t) => {
      const tab = await waiting(t);
      await tab.close();
      await t.person.sees("withdrawn");
      await paysIn(t, await t.tab());
    },
  },
  {
    name: "navigation while the person is asked: the prompt goes",
    run: async (t) => {
      const tab = await waiting(t);
      await tab.goto(t.pages.on("other.example", "/elsewhere"));
      await t.person.sees("withdrawn");
    },
  },
  {
    name: "a reload while the person is asked: the prompt goes, and the page can pay again",
    run: async (t) => {
      const tab = await waiting(t);
      await tab.reload();
      await t.person.sees("withdrawn");
      await paysIn(t, tab);
    },
  },
  {
    name: "navigation within the page leaves the prompt alone",
    run: async (t) => {
      t.person.begin("wait");
      const tab = await t.tab();
      await tab.act(pageShow, nextOrder());
      await t.person.sees("authorize");
      await tab.evaluate(() => {
        location.hash = "further";
        history.pushState({}, "", "/?somewhere");
      });
      t.person.answer("yes");
      t.assert.deepEqual(await tab.ended(), { value: "fido-web-pay/v1" });
      t.assert.equal(t.person.of("withdrawn").length, 0);
    },
  },
  {
    name: "a page that comes back from the back-forward cache pays",
    run: async (t) => {
      const tab = await t.tab();
      await paysIn(t, tab);
      await tab.evaluate(() => {
        window.mark = "the same page";
      });
      await tab.goto(t.pages.on("spaceshop.com", "/elsewhere"));
      await tab.back();
      t.assert.equal(await tab.evaluate(() => window.mark), "the same page", "the page was not in the cache");
      await paysIn(t, tab);
    },
  },
  {
    name: "a page left while the person is asked: the prompt goes, and where the page comes back its show() has ended",
    run: async (t) => {
      const tab = await waiting(t);
      await tab.goto(t.pages.on("spaceshop.com", "/elsewhere"));
      await t.person.sees("withdrawn");
      await tab.back();
      // From the cache, or loaded anew: either way the page can pay.
      if (await tab.evaluate(() => window.request !== undefined)) {
        await endsWith(t, tab, "AbortError");
      }
      await paysIn(t, tab);
    },
  },
  {
    name: "two tabs at once: one is asked, the other one is told that the wallet is busy, and can pay afterwards",
    run: async (t) => {
      t.person.begin("wait");
      const [first, second] = [await t.tab(), await t.tab(t.pages.on("shop.example"))];
      await first.front();
      await first.act(pageShow, nextOrder());
      await t.person.sees("authorize");
      await second.front();
      await second.act(pagePay, nextOrder());
      await endsWith(t, second, "AbortError");
      t.person.answer("yes");
      t.assert.deepEqual(await first.ended(), { value: "fido-web-pay/v1" });
      t.assert.deepEqual(t.person.of("authorize").map(({ request }) => request["payee-host"]), ["spaceshop.com"]);
      await paysIn(t, second);
      t.assert.equal(t.person.of("authorize")[0].request["payee-host"], "shop.example");
    },
  },
  {
    name: "two tabs whose payments are both open: each gets its own authorization",
    run: async (t) => {
      const pay = async (id) => {
        const response = await new PaymentRequest([method()], details(id)).show();
        window.complete = () => response.complete("success").then(() => response.requestId);
        return response.requestId;
      };
      const ids = [nextOrder(), nextOrder()];
      const tabs = [await t.tab(), await t.tab(t.pages.on("shop.example"))];
      for (const [at, tab] of tabs.entries()) {
        await tab.front();
        await tab.act(pay, ids[at]);
        t.assert.deepEqual(await tab.ended(), { value: ids[at] });
      }
      for (const at of [1, 0]) t.assert.equal(await tabs[at].evaluate(() => window.complete()), ids[at]);
    },
  },
  {
    name: "the host is killed while the person is asked: OperationError, the prompt goes, and the next payment has a new host",
    run: async (t) => {
      const tab = await waiting(t);
      const host = await hostOf(t);
      process.kill(host, "SIGKILL");
      await endsWith(t, tab, "OperationError");
      await t.person.sees("withdrawn");
      await paysIn(t, tab);
      t.assert.notEqual(await hostOf(t), host);
    },
  },
  {
    name: "the host is killed between payments: the next one has a new host",
    run: async (t) => {
      const tab = await t.tab();
      await paysIn(t, tab);
      process.kill(await hostOf(t), "SIGKILL");
      await paysIn(t, tab);
    },
  },
  {
    name: "the host is not installed: NotSupportedError says so, canMakePayment is false, and where it comes back all is well",
    run: async (t) => {
      const tab = await t.tab();
      t.host.hide(true);
      try {
        for (const host of t.host.running(t.browser.pid)) process.kill(host, "SIGKILL");
        await until("no host", () => t.host.running(t.browser.pid).length === 0);
        await tab.act(pagePay, nextOrder());
        await endsWith(t, tab, "NotSupportedError", /host|install/i);
        t.assert.equal(await tab.evaluate(() => new PaymentRequest([method()], details("1")).canMakePayment()), false);
      } finally {
        t.host.hide(false);
      }
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
  {
    name: "the wallet is killed while the person is asked: OperationError, and once it is back the next payment goes",
    run: async (t) => {
      const tab = await waiting(t);
      const lost = t.person.lost;
      await t.world.endWallet("SIGKILL");
      try {
        await endsWith(t, tab, "OperationError");
      } finally {
        await t.world.startWallet();
        await t.person.ready(lost + 2);
      }
      await paysIn(t, tab);
    },
  },
  {
    name: "the wallet is not running: NotSupportedError says so, and once it is back the same page pays",
    run: async (t) => {
      const tab = await t.tab();
      const lost = t.person.lost;
      await t.world.endWallet("SIGTERM");
      try {
        await tab.act(pagePay, nextOrder());
        await endsWith(t, tab, "NotSupportedError", /wallet|fwpd/i);
      } finally {
        await t.world.startWallet();
        await t.person.ready(lost + 2);
      }
      await paysIn(t, tab);
    },
  },
];
