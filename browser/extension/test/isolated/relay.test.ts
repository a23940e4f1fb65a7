import assert from "node:assert/strict";
import { test } from "node:test";
import { Relay, type Surroundings } from "../../src/isolated/relay";

class Stage implements Surroundings {
  readonly said: unknown[] = [];
  readonly sent: unknown[] = [];
  connections = 0;
  refusal: string | null = null;
  certified: Promise<boolean> | null = null;
  extensionGone = false;
  received: (message: unknown) => void = () => undefined;
  closed: () => void = () => undefined;
  closedByUs = 0;
  readonly relay = new Relay(this);

  toPage(text: string): void {
    this.said.push(JSON.parse(text));
  }

  connect(received: (message: unknown) => void, closed: () => void): { send(message: unknown): void; close(): void } {
    if (this.extensionGone) throw new Error("Extension context invalidated.");
    this.connections += 1;
    this.received = received;
    this.closed = closed;
    return { send: (message) => this.sent.push(message), close: () => (this.closedByUs += 1) };
  }

  refuse(): string | null {
    return this.refusal;
  }

  gesture(): number | null {
    return 1234;
  }

  certificate(method: string): Promise<boolean> | null {
    return method === "createPayment" ? this.certified : null;
  }

  page(message: unknown): void {
    this.relay.fromPage(JSON.stringify(message));
  }
}

const CREATE = { id: 1, method: "createPayment", params: { methodData: "[]", details: "{}" } };

test("no port is opened before the first request", () => {
  const stage = new Stage();
  assert.equal(stage.connections, 0);
  stage.page({ id: 1, method: "canMakePayment", params: {} });
  stage.page({ id: 2, method: "canMakePayment", params: {} });
  assert.equal(stage.connections, 1);
  assert.equal(stage.sent.length, 2);
});

test("what is not JSON text of a request is dropped, and malformed requests are answered", () => {
  const stage = new Stage();
  for (const data of [null, 1, {}, "x", "[]", "{}", '{"id":0}', `"${"x".repeat(4 * 1024 * 1024)}"`]) stage.relay.fromPage(data);
  assert.deepEqual([stage.said, stage.sent, stage.connections], [[], [], 0]);
  stage.page({ id: 1, method: "hello" });
  assert.deepEqual(stage.said, [{ id: 1, error: { name: "fwp-host.InvalidMessage", message: "method is unknown" } }]);
});

test("what begins something goes on with the time of the last click or key, which a page can't name itself", () => {
  const stage = new Stage();
  stage.page({ ...CREATE, gesture: 9999 });
  stage.page({ ...CREATE, id: 2 });
  stage.page({ id: 3, method: "canMakePayment", params: {} });
  assert.equal((stage.said[0] as { error: { name: string } }).error.name, "fwp-host.InvalidMessage");
  assert.deepEqual(stage.sent, [{ ...CREATE, id: 2, gesture: 1234 }, { id: 3, method: "canMakePayment", params: {} }]);
});

test("a request that the checks refuse never leaves the page", () => {
  const stage = new Stage();
  stage.refusal = "the page is not visible";
  stage.page(CREATE);
  assert.deepEqual(stage.said, [{ id: 1, error: { name: "fwp-host.Refused", message: "the page is not visible" } }]);
  assert.equal(stage.connections, 0);
});

test("a page with a wrong certificate is refused, and its request never leaves it", async () => {
  const stage = new Stage();
  stage.certified = Promise.resolve(false);
  stage.page(CREATE);
  await stage.certified;
  await Promise.resolve();
  assert.deepEqual(stage.said, [{ id: 1, error: { name: "fwp-host.Refused", message: "the page's certificate is not valid" } }]);
  assert.equal(stage.connections, 0);
});

test("a page that was left while its certificate was looked at sends nothing", async () => {
  const stage = new Stage();
  stage.certified = Promise.resolve(true);
  stage.page(CREATE);
  stage.relay.end();
  await stage.certified;
  await Promise.resolve();
  assert.equal(stage.connections, 0);
  assert.equal(stage.said.length, 1);
});

test("an id in use is not taken twice, and the first request keeps its answer", () => {
  const stage = new Stage();
  stage.page({ id: 1, method: "canMakePayment", params: {} });
  stage.page({ id: 1, method: "show", params: { payment: "p1" } });
  stage.received({ id: 1, result: true });
  stage.received({ id: 1, result: false });
  assert.deepEqual(stage.said, [{ id: 1, result: true }]);
  assert.equal(stage.sent.length, 1);
});

test("at most 64 requests wait at a time", () => {
  const stage = new Stage();
  for (let id = 1; id <= 65; id += 1) stage.page({ id, method: "canMakePayment", params: {} });
  assert.equal(stage.sent.length, 64);
  assert.equal(stage.said.length, 1);
});

test("leaving the page closes the port and ends what is open", () => {
  const stage = new Stage();
  stage.page(CREATE);
  stage.received({ id: 1, result: { payment: "p1" } });
  stage.page({ id: 2, method: "show", params: { payment: "p1" } });
  stage.relay.end();
  assert.equal(stage.closedByUs, 1);
  const error = { name: "io.github.fwpd.Error.Aborted", message: "the page was left" };
  assert.deepEqual(stage.said.slice(1), [
    { id: 2, error },
    { event: "closed", payment: "p1", reason: error.name, message: error.message },
  ]);
});

test("when the background goes, what is open ends as Gone, and the next request connects anew", () => {
  const stage = new Stage();
  stage.page(CREATE);
  stage.received({ id: 1, result: { payment: "p1" } });
  stage.closed();
  assert.deepEqual((stage.said[1] as { reason: string }).reason, "fwp-host.Gone");
  stage.page({ id: 2, method: "canMakePayment", params: {} });
  assert.equal(stage.connections, 2);
});

test("a background that goes while nothing is open is no news to the page", () => {
  const stage = new Stage();
  stage.page({ id: 1, method: "canMakePayment", params: {} });
  stage.received({ id: 1, result: true });
  stage.closed();
  assert.equal(stage.said.length, 1);
});

test("an extension that was removed is told as Gone", () => {
  const stage = new Stage();
  stage.extensionGone = true;
  stage.page({ id: 1, method: "canMakePayment", params: {} });
  assert.equal((stage.said[0] as { error: { name: string } }).error.name, "fwp-host.Gone");
});

test("nonsense from the background ends everything instead of reaching the page", () => {
  const stage = new Stage();
  stage.page({ id: 1, method: "canMakePayment", params: {} });
  stage.received({ event: "paid", payment: "p1" });
  assert.equal((stage.said[0] as { error: { name: string } }).error.name, "fwp-host.Gone");
  assert.equal(stage.closedByUs, 1);
});
