// A page that patched everything it can reach sees nothing of ours and bends nothing that is sent.
import assert from "node:assert/strict";
import { test } from "node:test";
import { supply } from "../../src/page/supplied";
import { DETAILS, FakeBridge, FakeSurroundings, METHODS, type Request, type Response, paymentsOf, rejection } from "./support";

/* eslint-disable @typescript-eslint/unbound-method -- methods are exchanged, not called */

type Holder = Record<PropertyKey, unknown>;

/** Replaces properties while `run` runs, which must not wait for anything. */
function patched<T>(patches: readonly (readonly [holder: object, name: PropertyKey, property: PropertyDescriptor])[], run: () => T): T {
  const before = patches.map(([holder, name]) => Object.getOwnPropertyDescriptor(holder, name));
  const restore = Reflect.deleteProperty;
  const define = Object.defineProperty;
  const count = patches.length;
  try {
    for (let i = 0; i < count; i++) {
      const patch = patches[i] as (typeof patches)[number]; // by index: iteration may be patched already
      define(patch[0], patch[1], { configurable: true, ...patch[2] });
    }
    return run();
  } finally {
    for (let i = count - 1; i >= 0; i--) {
      const { 0: holder, 1: name } = patches[i] as (typeof patches)[number];
      const old = before[i];
      if (old === undefined) {
        restore(holder, name);
      } else {
        define(holder, name, old);
      }
    }
  }
}

/** Every function of these prototypes and objects, replaced by one that notes that it was called. */
function spies(log: string[], holders: readonly (readonly [string, object])[]): [object, PropertyKey, PropertyDescriptor][] {
  const own = Reflect.ownKeys;
  return holders.flatMap(([label, holder]) =>
    own(holder).flatMap((name): [object, PropertyKey, PropertyDescriptor][] => {
      const property = Object.getOwnPropertyDescriptor(holder, name);
      if (property?.configurable !== true || name === "constructor") {
        return [];
      }
      const original: unknown = property.value;
      const spy = function (this: unknown, ...args: unknown[]): unknown {
        log[log.length] = `${label}.${typeof name === "symbol" ? "symbol" : name}`;
        return (original as (...args: unknown[]) => unknown).apply(this, args);
      };
      return typeof original === "function" ? [[holder, name, { value: spy, writable: true }]] : [];
    }),
  );
}

function world(): { bridge: FakeBridge; PaymentRequest: new (methods: unknown, details: unknown) => Request } {
  const bridge = new FakeBridge();
  const target = {} as Holder;
  supply(target, (responseClass) => paymentsOf(bridge, new FakeSurroundings(), responseClass as () => never));
  return { bridge, PaymentRequest: target["PaymentRequest"] as never };
}

/** A bridge that only keeps what it gets, so that it calls nothing that is patched itself. */
class Silent extends FakeBridge {
  readonly texts = Object.assign(Object.create(null) as Record<number, string>, { length: 0 });
  created: ((result: unknown) => void) | undefined;
  listener: ((event: string, message: unknown) => void) | undefined;

  override request(method: string, params: readonly (readonly [string, string])[], succeed: (result: unknown) => void): void {
    let text = method;
    for (let i = 0; i < params.length; i++) {
      text += ` ${params[i]?.[0] ?? ""}=${params[i]?.[1] ?? ""}`;
    }
    this.texts[this.texts.length++] = text;
    if (method === "createPayment") {
      this.created = succeed;
    }
  }

  override listen(_kind: string, _name: string, listener: (event: string, message: unknown) => void): void {
    this.listener = listener;
  }
}

function silentWorld(): { bridge: Silent; make: () => Request } {
  const bridge = new Silent();
  const target = {} as Holder;
  supply(target, (responseClass) => paymentsOf(bridge, new FakeSurroundings(), responseClass as () => never));
  const PaymentRequest = target["PaymentRequest"] as new (methods: unknown, details: unknown) => Request;
  return { bridge, make: () => new PaymentRequest(METHODS, DETAILS) };
}

const HOLDERS: readonly (readonly [string, object])[] = [
  ["Array.prototype", Array.prototype],
  ["String.prototype", String.prototype],
  ["RegExp.prototype", RegExp.prototype],
  ["Map.prototype", Map.prototype],
  ["Set.prototype", Set.prototype],
  ["WeakMap.prototype", WeakMap.prototype],
  ["Promise.prototype", Promise.prototype],
  ["Promise", Promise],
  ["JSON", JSON],
  ["Object", Object],
  ["Number", Number],
  ["Array", Array],
  ["Reflect", Reflect],
  ["EventTarget.prototype", EventTarget.prototype],
];

test("from the constructor to the response, patched built-ins are called by Web IDL's reading of the page's list alone", () => {
  const { bridge, make } = silentWorld();
  const log: string[] = [];
  let request: Request | undefined;
  patched(spies(log, HOLDERS), () => {
    request = make();
    const shown = request.show();
    void shown;
    bridge.created?.({ payment: "p1" });
    bridge.listener?.("response", { details: { userAuthorization: "u" } });
    assert.equal(request.id, "7040566321");
  });
  // `methodData` is a sequence: its iterator is the page's by right, and a native class calls it, too.
  assert.deepEqual(log, ["Array.prototype.symbol"]);
  assert.equal(bridge.texts.length, 2);
  assert.equal(bridge.texts[1], 'show payment="p1"');
});

test("a patched JSON.stringify, String and Array cannot bend what is sent", () => {
  const honest = silentWorld();
  void honest.make().show();
  const { bridge, make } = silentWorld();
  const evil = (): string => '"Moon Shop"';
  patched(
    [
      [JSON, "stringify", { value: evil, writable: true }],
      [JSON, "parse", { value: () => ({ payeeName: "x" }), writable: true }],
      [String.prototype, "toUpperCase", { value: () => "XXX", writable: true }],
      [String.prototype, "charCodeAt", { value: () => 65, writable: true }],
      [RegExp.prototype, "exec", { value: () => ["9999"], writable: true }],
      [RegExp.prototype, "test", { value: () => true, writable: true }],
      [Array.prototype, "join", { value: evil, writable: true }],
      [String.prototype, "concat", { value: evil, writable: true }],
    ],
    () => {
      void make().show();
    },
  );
  assert.equal(bridge.texts[0], honest.bridge.texts[0]);
  assert.ok(bridge.texts[0]?.includes("Space Shop") === true && bridge.texts[0].includes("435.00"));
});

test("setters and values on Object.prototype and Array.prototype neither see nor add anything", () => {
  let seen = "";
  const trap = (name: PropertyKey, value: unknown): [object, PropertyKey, PropertyDescriptor] => [
    Object.prototype,
    name,
    {
      get: () => value,
      set(this: unknown) {
        seen += ` ${String(name)}`;
      },
    },
  ];
  const { bridge, make } = silentWorld();
  const names = ["payment", "details", "error", "name", "id", "total", "ours", "promise", "resolve", "toJSON", "done", "0", "1"];
  patched([...names.map((name) => trap(name, name === "toJSON" ? undefined : "evil")), [Array.prototype, "2", { set: () => (seen += " 2") }]], () => {
    void make().show();
    bridge.created?.({ payment: "p1" });
  });
  assert.equal(seen, "");
  assert.equal(bridge.texts[1], 'show payment="p1"');
  assert.ok(bridge.texts[0]?.includes("evil") === false);
});

test("an answer that lacks something does not take it from Object.prototype", async () => {
  const { bridge, make } = silentWorld();
  const shown = make().show();
  patched([[Object.prototype, "payment", { value: "p9", writable: true }]], () => {
    bridge.created?.({});
  });
  assert.equal(await rejection(shown), "OperationError");
  assert.equal(bridge.texts.length, 1);
});

test("a patched Promise.prototype.constructor cannot get hold of the promise of details", async () => {
  const { bridge, PaymentRequest } = world();
  let taken = 0;
  class Thief extends Promise<unknown> {
    constructor(executor: (resolve: (value: unknown) => void, reject: (reason: unknown) => void) => void) {
      taken += 1;
      super(executor);
    }
  }
  const details = Promise.resolve({});
  patched([[Promise.prototype, "constructor", { value: { [Symbol.species]: Thief } }]], () => {
    void new PaymentRequest(METHODS, DETAILS).show(details);
  });
  bridge.last("createPayment").succeed({ payment: "p1" });
  await new Promise(setImmediate);
  assert.equal(taken, 0);
  assert.deepEqual(bridge.methods, ["createPayment", "show"]);
});

test("slots are neither visible nor forgeable", async () => {
  const { bridge, PaymentRequest } = world();
  const request = new PaymentRequest(METHODS, DETAILS);
  assert.deepEqual(Reflect.ownKeys(request), Reflect.ownKeys(new EventTarget())); // Node's own ones, none in a browser
  const show = (Object.getPrototypeOf(request) as Request).show;
  for (const forged of [Object.create(request) as object, new Proxy(request, {}), { __proto__: Object.getPrototypeOf(request) as object }]) {
    assert.equal(await rejection(show.call(forged as Request)), "TypeError");
  }
  assert.deepEqual(bridge.methods, []);
});

test("another parent of PaymentRequest does not get at new objects", () => {
  const { PaymentRequest } = world();
  let called = 0;
  Object.setPrototypeOf(PaymentRequest, function Evil() {
    called += 1;
  });
  assert.equal(new PaymentRequest(METHODS, DETAILS).id, "7040566321");
  assert.equal(called, 0);
});

test("details of a response are the page's own object: changing it changes nothing that was sent", async () => {
  const { bridge, PaymentRequest } = world();
  const shown = new PaymentRequest(METHODS, DETAILS).show();
  bridge.last("createPayment").succeed({ payment: "p1" });
  bridge.event("response", "p1", { details: { userAuthorization: "u" } });
  const response: Response = await shown;
  response.details["userAuthorization"] = "changed";
  void response.complete("success");
  assert.deepEqual(bridge.last("complete").params, { payment: "p1", result: "success" });
});
