import assert from "node:assert/strict";
import { test } from "node:test";
import { receivePort } from "../../src/isolated/handshake";

/** Offers as the page's script does; whether it was taken. Node's MessageEvent is never cancelable, browsers' is. */
function offer(target: EventTarget, port: MessagePort): boolean {
  const event = new MessageEvent("fwp-bridge", { cancelable: true, ports: [port] });
  let taken = false;
  event.preventDefault = () => {
    taken = true;
  };
  target.dispatchEvent(event);
  return taken;
}

function withPorts(run: (one: MessagePort, other: MessagePort) => void): void {
  const one = new MessageChannel();
  const other = new MessageChannel();
  run(one.port1, other.port1);
  for (const port of [one.port1, one.port2, other.port1, other.port2]) port.close();
}

test("the first port is taken, and nobody behind sees its event", () => {
  withPorts((port) => {
    const target = new EventTarget();
    const taken: MessagePort[] = [];
    receivePort(target, (one) => taken.push(one));
    let seen = 0;
    target.addEventListener("fwp-bridge", () => (seen += 1), true);
    assert.equal(offer(target, port), true);
    assert.deepEqual([taken.length, taken[0] === port, seen], [1, true, 0]);
  });
});

test("a second port, a page's own, is not taken", () => {
  withPorts((port, forged) => {
    const target = new EventTarget();
    const taken: MessagePort[] = [];
    receivePort(target, (one) => taken.push(one));
    offer(target, port);
    assert.equal(offer(target, forged), false);
    assert.equal(taken.length, 1);
  });
});

test("where the page's script came first, it is asked to offer again", () => {
  withPorts((port) => {
    const target = new EventTarget();
    assert.equal(offer(target, port), false);
    target.addEventListener("fwp-bridge-ready", () => offer(target, port), { once: true });
    let taken = 0;
    receivePort(target, () => (taken += 1));
    assert.equal(taken, 1);
  });
});

test("an event of that name without a port is not the offer", () => {
  withPorts((port) => {
    const target = new EventTarget();
    let taken = 0;
    receivePort(target, () => (taken += 1));
    target.dispatchEvent(new Event("fwp-bridge", { cancelable: true }));
    target.dispatchEvent(new MessageEvent("fwp-bridge", { cancelable: true }));
    assert.equal(taken, 0);
    assert.equal(offer(target, port), true);
    assert.equal(taken, 1);
  });
});
