// The handshake in both orders of arrival, and what goes over the port.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Bridge as BridgeType } from "../../src/page/bridge";
import type { Failure } from "../../src/page/errors";

// In a browser port1 and port2 are getters on the prototype; Node has them as own properties.
const NodeChannel = MessageChannel;
const ports: MessagePort[] = [];
class BrowserChannel {
  readonly #channel = new NodeChannel();
  constructor() {
    ports.push(this.#channel.port1); // an open port keeps Node alive
  }
  get port1(): MessagePort {
    return this.#channel.port1;
  }
  get port2(): MessagePort {
    return this.#channel.port2;
  }
}

// Node's MessageEvent cannot be cancelled; that of a browser can.
const nodeData = Object.getOwnPropertyDescriptor(MessageEvent.prototype, "data") as { get: (this: unknown) => unknown };
class BrowserMessageEvent extends Event {
  readonly ports: readonly MessagePort[];
  constructor(type: string, { cancelable = false, ports = [] }: MessageEventInit) {
    super(type, { cancelable });
    this.ports = ports;
  }
  get data(): unknown {
    return nodeData.get.call(this);
  }
}

let Bridge: new (target: EventTarget) => BridgeType;

before(async () => {
  Object.defineProperty(globalThis, "MessageChannel", { value: BrowserChannel, configurable: true, writable: true });
  Object.defineProperty(globalThis, "MessageEvent", { value: BrowserMessageEvent, configurable: true, writable: true });
  ({ Bridge } = await import("../../src/page/bridge"));
});

after(() => {
  ports.forEach((port) => {
    port.close();
  });
});

/** The isolated world: takes the first port, as its script does, and answers what `answer` says. */
function isolated(window: EventTarget, answer: (message: Record<string, unknown>, port: MessagePort) => void): () => number {
  let offers = 0;
  let port: MessagePort | undefined;
  const listen = (event: Event): void => {
    offers += 1;
    if (port !== undefined) {
      return;
    }
    event.stopImmediatePropagation();
    event.preventDefault();
    const taken = (event as MessageEvent).ports[0] as MessagePort;
    port = taken;
    taken.onmessage = ({ data }) => {
      assert.equal(typeof data, "string");
      answer(JSON.parse(data as string) as Record<string, unknown>, taken);
    };
  };
  window.addEventListener("fwp-bridge", listen, true);
  return () => offers;
}

const call = (bridge: BridgeType, ...params: [string, string][]): Promise<unknown> =>
  new Promise((resolve, reject) => {
    bridge.request("canMakePayment", params, resolve, (failure: Failure) => {
      reject(new Error(failure.name));
    });
  });

const echo = (message: Record<string, unknown>, port: MessagePort): void => {
  port.postMessage(JSON.stringify({ id: message["id"], result: message }));
};

test("the isolated world first: the port is taken in the constructor, and no one else sees the event", async () => {
  const window = new EventTarget();
  isolated(window, echo);
  let seen = 0;
  window.addEventListener("fwp-bridge", () => (seen += 1));
  const bridge = new Bridge(window);
  assert.equal(seen, 0);
  const expected = { id: 1, method: "canMakePayment", params: { a: 'x"y' } };
  assert.deepEqual(await call(bridge, ["a", JSON.stringify('x"y')], ["left out", ""]), expected);
});

test("the page first: the port is offered again when the isolated world says that it listens, and never after that", async () => {
  const window = new EventTarget();
  const bridge = new Bridge(window);
  const offers = isolated(window, echo);
  let leaked = 0;
  window.addEventListener("fwp-bridge-ready", () => (leaked += 1));
  window.dispatchEvent(new Event("fwp-bridge-ready"));
  assert.equal(leaked, 0);
  let later = 0;
  window.addEventListener("fwp-bridge", () => (later += 1));
  window.dispatchEvent(new Event("fwp-bridge-ready"));
  assert.equal(offers(), 1);
  assert.equal(later, 0);
  assert.deepEqual(await call(bridge), { id: 1, method: "canMakePayment", params: {} });
});

test("without an isolated world a request fails, after its asker went on", async () => {
  let failed = 0;
  new Bridge(new EventTarget()).request("show", [], () => undefined, () => (failed += 1));
  assert.equal(failed, 0);
  await Promise.resolve();
  assert.equal(failed, 1);
  await assert.rejects(call(new Bridge(new EventTarget())), { message: "fwp-host.NotInstalled" });
});

test("answers find their requests whatever their order, an unknown or second one is dropped", async () => {
  const window = new EventTarget();
  const waiting: [Record<string, unknown>, MessagePort][] = [];
  isolated(window, (message, port) => {
    waiting.push([message, port]);
    if (waiting.length === 2) {
      port.postMessage(JSON.stringify({ id: 99, result: "nobody's" }));
      port.postMessage("{ no JSON");
      port.postMessage(JSON.stringify([1]));
      port.postMessage(JSON.stringify({ id: 2, error: { name: "fwp-host.Refused", message: "no" } }));
      port.postMessage(JSON.stringify({ id: 2, result: "too late" }));
      port.postMessage(JSON.stringify({ id: 1, result: false }));
    }
  });
  const bridge = new Bridge(window);
  const [one, two] = [call(bridge), call(bridge)];
  await assert.rejects(two, { message: "fwp-host.Refused" });
  assert.equal(await one, false);
});

test("events go to who listens for that payment or enrollment, until it is forgotten", async () => {
  const window = new EventTarget();
  isolated(window, (message, port) => {
    for (const name of [{ payment: "x1" }, { enrollment: "x1" }, { payment: "x2" }]) {
      port.postMessage(JSON.stringify({ event: "closed", ...name }));
    }
    echo(message, port);
  });
  const bridge = new Bridge(window);
  const heard: string[] = [];
  bridge.listen("payment", "x1", (event) => heard.push(`payment ${event}`));
  bridge.listen("enrollment", "x1", (event) => heard.push(`enrollment ${event}`));
  await call(bridge);
  assert.deepEqual(heard, ["payment closed", "enrollment closed"]);
  bridge.forget("payment", "x1");
  await call(bridge);
  assert.deepEqual(heard, ["payment closed", "enrollment closed", "enrollment closed"]);
});
