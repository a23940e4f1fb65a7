// Pages that want what is not theirs: patched prototypes, forged messages, spoofed ports, a false origin.

import { BUTTON } from "../lib/pages.mjs";
import { endsWith, nextOrder, nothingSeen, pagePay, paysIn } from "./common.mjs";

/** A page that patches whatever a script could use, notes what its patches get, and then pays like anybody. */
const patches = `
<script>
  window.caught = [];
  const { apply, getOwnPropertyDescriptor: describe, defineProperty: define } = Reflect;
  // No patched function is used in here, and what a patch causes itself is not noted.
  let inside = false;
  const note = (text) => { window.caught[window.caught.length] = text; };
  const catching = (owner, name) => {
    const described = describe(owner, name);
    if (!described || !described.configurable || typeof described.value !== "function") return;
    const original = described.value;
    define(owner, name, { ...described, value: function (...args) {
      if (window.watching && !inside) {
        inside = true;
        try {
          note(String(name) + ":");
          for (let at = -1; at < args.length; at += 1) {
            const arg = at < 0 ? this : args[at];
            if (typeof arg === "string") note(arg);
            if (arg instanceof MessagePort) window.stolen = true;
          }
        } finally { inside = false; }
      }
      return apply(original, this, args);
    } });
  };
  for (const name of ["then", "catch", "finally"]) catching(Promise.prototype, name);
  for (const name of ["resolve", "reject", "all"]) catching(Promise, name);
  for (const name of ["stringify", "parse"]) catching(JSON, name);
  for (const name of ["push", "map", "forEach", "filter", "join", "slice", "indexOf", "includes", "some"]) catching(Array.prototype, name);
  for (const name of ["get", "set", "has", "delete", "forEach"]) { catching(Map.prototype, name); catching(WeakMap.prototype, name); }
  for (const name of ["call", "apply", "bind"]) catching(Function.prototype, name);
  for (const name of ["test", "exec"]) catching(RegExp.prototype, name);
  for (const name of ["toUpperCase", "toLowerCase", "slice", "charCodeAt", "match", "replace"]) catching(String.prototype, name);
  for (const name of ["keys", "entries", "defineProperty", "getOwnPropertyDescriptor", "assign", "freeze", "create"]) catching(Object, name);
  for (const name of ["postMessage", "start", "close"]) catching(MessagePort.prototype, name);
  for (const name of ["addEventListener", "dispatchEvent", "removeEventListener"]) catching(EventTarget.prototype, name);
  catching(Array.prototype, Symbol.iterator);
  for (const name of ["id", "event", "result", "error", "payment", "method", "params", "supportedMethods"])
    Object.defineProperty(Object.prototype, name, { configurable: true, set(value) {
      if (window.watching) note("set " + name);
      define(this, name, { value, writable: true, enumerable: true, configurable: true });
    }, get() { if (window.watching) note("get " + name); return undefined; } });
</script>`;

/** A page that asks for the bridge's port in the ways that the extension's own scripts might. */
async function pageGrab() {
  const got = [];
  const take = (event) => {
    got.push(event.type);
    for (const port of event.ports ?? []) {
      got.push("a port");
      port.onmessage = (message) => got.push(message.data);
      port.postMessage(JSON.stringify({ id: 1, method: "canMakePayment", params: {} }));
    }
  };
  for (const where of [window, document, document.documentElement]) {
    for (const type of ["fwp-bridge", "message"]) {
      where.addEventListener(type, take, true);
      where.addEventListener(type, take);
    }
  }
  window.dispatchEvent(new Event("fwp-bridge-ready"));
  // With it, the extension's script is told again that there is somebody to hand its port to.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const request = new PaymentRequest([method()], details("1"));
  await request.canMakePayment();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return got;
}

export const cases = [
  {
    name: "patched prototypes see nothing of a payment, and don't change it",
    run: async (t) => {
      t.pages.set("/patched", `${patches}${BUTTON}`);
      const id = nextOrder();
      const tab = await t.tab("/patched");
      // The patches note from the click to the end; only the page's own script and the extension's run in between.
      await tab.evaluate((id) => {
        const data = [method()];
        const order = details(id);
        window.onGo = () => {
          window.watching = true;
          const shown = new PaymentRequest(data, order).show();
          (async () => {
            window.response = await shown;
            window.watching = false;
          })();
        };
      }, id);
      await tab.evaluate(() => document.querySelector("#go").scrollIntoView());
      await tab.click("#go");
      await t.person.sees("pin");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await tab.evaluate("window.watching = false");
      t.assert.ok(await tab.evaluate("window.response?.details?.userAuthorization?.length > 100"), "not paid");
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-host"]} ${request.amount} ${request["request-id"]}`, `spaceshop.com 435.00 ${id}`);
      // Of the page's own objects it may see whatever it likes; of the bridge's messages and ports nothing.
      const caught = await tab.evaluate(() => [
        window.caught.filter((text) => /methodData|createPayment|canMakePayment|fwp-bridge|userAuthorization|"id":/.test(text)),
        window.stolen === true,
      ]);
      t.assert.deepEqual(caught, [[], false]);
    },
  },
  {
    name: "what a page sets on Object.prototype is not taken for its words",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act((id) => {
        const [methods, order] = [[method()], details(id)];
        // As JSON.stringify has it, this rules what the data is: no payeeName, so it is refused.
        Object.prototype.toJSON = () => ({ networks: "none" });
        try {
          return new PaymentRequest(methods, order).show();
        } finally {
          delete Object.prototype.toJSON;
        }
      }, nextOrder());
      await endsWith(t, tab, "TypeError");
      await tab.act((id) => {
        const [methods, order] = [[method()], details(id)];
        for (const [name, value] of Object.entries({ displayItems: [], modifiers: [], payment: "p1", origin: "https://other.example" }))
          Object.defineProperty(Object.prototype, name, { configurable: true, get: () => value });
        try {
          return new PaymentRequest(methods, order).show();
        } finally {
          for (const name of ["displayItems", "modifiers", "payment", "origin"]) delete Object.prototype[name];
        }
      }, nextOrder());
      // The standard reads its dictionaries through the prototype, so these are the page's own items: refused for our method.
      await endsWith(t, tab, "TypeError", /displayItems|modifiers/);
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
  {
    name: "the bridge's port is not to be had by asking for it",
    run: async (t) => {
      const tab = await t.tab();
      const got = await tab.evaluate(pageGrab);
      t.assert.ok(!got.includes("a port"), JSON.stringify(got));
      t.assert.ok(!got.some((text) => /result|error/.test(text)), JSON.stringify(got));
      await paysIn(t, tab);
    },
  },
  {
    name: "the bridge's port is not to be had from the first script of a page, or from a fresh frame",
    run: async (t) => {
      t.pages.set("/first", `<script>
        window.got = [];
        for (const type of ["fwp-bridge", "fwp-bridge-ready", "message"])
          addEventListener(type, (event) => { window.got.push(type); for (const port of event.ports ?? []) window.got.push("a port"); }, true);
        const frame = document.createElement("iframe");
        document.documentElement.append(frame);
        for (const type of ["fwp-bridge", "message"])
          frame.contentWindow.addEventListener(type, (event) => { for (const port of event.ports ?? []) window.got.push("a port of the frame"); }, true);
        frame.contentWindow.dispatchEvent(new Event("fwp-bridge-ready"));
        dispatchEvent(new Event("fwp-bridge-ready"));
      </script>${BUTTON}`);
      const tab = await t.tab("/first");
      t.assert.deepEqual((await tab.evaluate(() => window.got)).filter((text) => text.startsWith("a port")), []);
      await paysIn(t, tab);
    },
  },
  {
    name: "a spoofed port is not served: after the handshake, and posted to the window",
    run: async (t) => {
      const tab = await t.tab();
      await tab.act(async (id) => {
        const answers = [];
        const send = (dispatch) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = (event) => answers.push(event.data);
          dispatch(port2);
          const params = { methodData: JSON.stringify([method()]), details: JSON.stringify(details(id)) };
          for (const message of [{ id: 1, method: "canMakePayment", params: {} }, { id: 2, method: "createPayment", params }]) {
            port1.postMessage(JSON.stringify(message));
            port1.postMessage(message);
          }
        };
        send((port) => window.dispatchEvent(new MessageEvent("fwp-bridge", { cancelable: true, ports: [port] })));
        send((port) => document.dispatchEvent(new MessageEvent("fwp-bridge", { cancelable: true, bubbles: true, ports: [port] })));
        send((port) => window.postMessage({ event: "fwp-bridge" }, location.origin, [port]));
        window.postMessage({ event: "response", payment: "p1", details: {} }, location.origin);
        await new Promise((resolve) => setTimeout(resolve, 500));
        return answers;
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: [] });
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
  {
    name: "forged answers: a page can't tell itself, or another frame, that it was paid",
    run: async (t) => {
      t.person.begin("wait");
      const tab = await t.tab();
      await tab.act((id) => {
        const shown = new PaymentRequest([method()], details(id)).show().then((response) => response.details.userAuthorization);
        const forged = { event: "response", payment: "p1", details: { paymentNetworkId: "x", issuerId: "y", userAuthorization: "forged" } };
        for (const data of [forged, JSON.stringify(forged), { id: 1, result: { payment: "p1" } }]) {
          window.postMessage(data, "*");
          window.dispatchEvent(new MessageEvent("message", { data }));
          window.dispatchEvent(new MessageEvent("fwp-bridge", { data, cancelable: true }));
        }
        return shown;
      }, nextOrder());
      await t.person.sees("authorize");
      t.assert.equal(await tab.evaluate(() => window.ended), undefined);
      t.person.answer("yes");
      const { value } = await tab.ended();
      t.assert.ok(value.length > 100 && value !== "forged", value);
    },
  },
  {
    name: "a false origin: whatever a page says of itself, the person sees its host",
    run: async (t) => {
      const tab = await t.tab(t.pages.on("other.example"));
      await tab.act((id) => {
        history.replaceState({}, "", "/?https://spaceshop.com");
        const base = document.createElement("base");
        base.href = "https://spaceshop.com/";
        document.head.append(base);
        const define = (owner, name, value) => {
          try { Object.defineProperty(owner, name, { configurable: true, get: () => value }); } catch { /* not to be had */ }
        };
        define(window, "origin", "https://spaceshop.com");
        define(document, "domain", "spaceshop.com");
        define(document, "URL", "https://spaceshop.com/");
        define(document, "baseURI", "https://spaceshop.com/");
        define(Location.prototype, "href", "https://spaceshop.com/");
        define(Location.prototype, "origin", "https://spaceshop.com");
        const ours = method();
        ours.origin = "https://spaceshop.com";
        const order = { ...details(id), origin: "https://spaceshop.com", payeeHost: "spaceshop.com" };
        return new PaymentRequest([ours], order).show().then(() => "paid");
      }, nextOrder());
      t.assert.deepEqual(await tab.ended(), { value: "paid" });
      const { request } = t.person.of("authorize")[0];
      t.assert.equal(`${request["payee-name"]} of ${request["payee-host"]}`, "Space Shop of other.example");
    },
  },
  {
    name: "a site that is paid doesn't learn which installation of the extension it is",
    run: async (t) => {
      await paysIn(t, await t.tab());
      t.assert.deepEqual(t.pages.named, []);
    },
  },
  {
    name: "a page that makes up its own leaving still gets its answers",
    run: async (t) => {
      const tab = await t.tab();
      await tab.evaluate(() => window.dispatchEvent(new Event("pagehide")) && undefined);
      t.assert.equal(await tab.evaluate(() => new PaymentRequest([method()], details("1")).canMakePayment()), true);
      await paysIn(t, tab);
    },
  },
  {
    name: "a page can't talk to the extension, and finds nothing of it",
    run: async (t) => {
      const tab = await t.tab();
      const found = await tab.evaluate(async (popup) => {
        const api = globalThis.chrome?.runtime ?? globalThis.browser?.runtime;
        const fetched = await fetch(popup).then(() => true, () => false);
        const names = Object.getOwnPropertyNames(window).filter((name) => /fwp|fido|wallet/i.test(name));
        return [typeof api?.connect, typeof api?.sendMessage, fetched, names];
      }, t.browser.popup);
      t.assert.deepEqual(found, ["undefined", "undefined", false, []]);
    },
  },
  {
    name: "details that change while they are read are read once",
    run: async (t) => {
      const id = nextOrder();
      const tab = await t.tab();
      await tab.act((id) => {
        let reads = 0;
        const order = details(id);
        Object.defineProperty(order.total.amount, "value", { enumerable: true, get: () => ((reads += 1) === 1 ? "435.00" : "0.01") });
        return new PaymentRequest([method()], order).show().then(() => reads);
      }, id);
      t.assert.deepEqual(await tab.ended(), { value: 1 });
      t.assert.equal(t.person.of("authorize")[0].request.amount, "435.00");
    },
  },
  {
    name: "networkOptions nested too deep, and with a cycle: TypeError, and everything goes on",
    run: async (t) => {
      const tab = await t.tab();
      for (const kind of ["deep", "cycle"]) {
        await tab.act((id, kind) => {
          let options = {};
          if (kind === "cycle") options.itself = options;
          else for (let n = 0; n < 5000; n += 1) options = [options];
          return new PaymentRequest([method(undefined, { networkOptions: options })], details(id)).show();
        }, nextOrder(), kind);
        const { error } = await tab.ended();
        // What JSON.stringify throws is thrown on; Firefox's says of nesting that it recursed too often.
        t.assert.ok(["TypeError", ...(kind === "deep" ? ["InternalError"] : [])].includes(error?.name), `${kind}: ${JSON.stringify(error)}`);
      }
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
  {
    name: "a thousand requests and a thousand canMakePayment at once leave the wallet well",
    run: async (t) => {
      const tab = await t.tab();
      const ended = await tab.evaluate(async () => {
        const asked = Array.from({ length: 1000 }, (_, n) =>
          new PaymentRequest([method()], details(`many-${n}`)).canMakePayment().then(String, (error) => error.name));
        return [...new Set(await Promise.all(asked))].sort();
      });
      for (const end of ended) t.assert.ok(["true", "false", "NotAllowedError"].includes(end), end);
      nothingSeen(t);
      await paysIn(t, tab);
    },
  },
];
