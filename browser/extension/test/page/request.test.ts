// The state machine against a wallet that the test plays: what is sent when, and what comes of every end.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { supply } from "../../src/page/supplied";
import {
  DETAILS,
  FakeBridge,
  FakeSurroundings,
  METHODS,
  type Request,
  type Response,
  paymentsOf,
  rejection,
  thrown,
} from "./support";

type Make = new (methods: unknown, details: unknown) => Request;

let bridge: FakeBridge;
let surroundings: FakeSurroundings;
let world: { PaymentRequest: Make; PaymentResponse: new () => Response };

beforeEach(() => {
  bridge = new FakeBridge();
  surroundings = new FakeSurroundings();
  const target = {};
  supply(target, (responseClass) => paymentsOf(bridge, surroundings, responseClass as () => never));
  world = target as typeof world;
});

const make = (): Request => new world.PaymentRequest(METHODS, DETAILS);
const ASSERTION = { paymentNetworkId: "https://banknet2.org", issuerId: "i", userAuthorization: "u" };
const TOTAL = { label: null, amount: { currency: "EUR", value: "2.00" } };
const closed = (reason: string): object => ({ reason, message: `because ${reason}` });

/** A request that was shown and authorized. */
async function authorized(): Promise<Response> {
  const shown = make().show();
  bridge.last("createPayment").succeed({ payment: "p1" });
  bridge.last("show").succeed(null);
  bridge.event("response", "p1", { details: { ...ASSERTION } });
  return shown;
}

test("nothing is sent before show() or canMakePayment()", () => {
  make();
  assert.deepEqual(bridge.methods, []);
});

test("show() creates the payment at once and shows it when the wallet has it", async () => {
  const shown = make().show();
  assert.deepEqual(bridge.methods, ["createPayment"]);
  bridge.last("createPayment").succeed({ payment: "p1" });
  assert.deepEqual(bridge.methods, ["createPayment", "show"]);
  assert.deepEqual(bridge.last("show").params, { payment: "p1" });
  bridge.event("response", "p1", { details: { ...ASSERTION } });
  const response = await shown;
  assert.ok(response instanceof world.PaymentResponse);
  assert.deepEqual(response.toJSON(), { requestId: "7040566321", methodName: "fido-web-pay/v1", details: ASSERTION });
});

test("show(details) creates at once, updates, and shows after that only", async () => {
  const shown = make().show(Promise.resolve({ total: TOTAL }));
  bridge.last("createPayment").succeed({ payment: "p1" });
  assert.deepEqual(bridge.methods, ["createPayment"]);
  await new Promise(setImmediate);
  assert.deepEqual(bridge.methods, ["createPayment", "update", "show"]);
  assert.deepEqual(bridge.last("update").params, { payment: "p1", details: JSON.stringify({ total: TOTAL }) });
  bridge.event("response", "p1", { details: ASSERTION });
  await shown;
});

test("a response before the details have settled is no response", async () => {
  const shown = make().show(new Promise(() => undefined));
  bridge.last("createPayment").succeed({ payment: "p1" });
  bridge.event("response", "p1", { details: ASSERTION });
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Declined"));
  assert.equal(await rejection(shown), "AbortError");
});

test("details that fail abort the payment, also if the wallet names it later only", async () => {
  const shown = make().show(Promise.reject(new Error("no price")));
  assert.equal(await rejection(shown), "AbortError");
  assert.deepEqual(bridge.methods, ["createPayment"]);
  bridge.last("createPayment").succeed({ payment: "p1" });
  assert.deepEqual(bridge.methods, ["createPayment", "abort"]);
});

test("an update that the wallet refuses is what the page gets, and the payment is aborted", async () => {
  const shown = make().show(Promise.resolve({ total: TOTAL }));
  bridge.last("createPayment").succeed({ payment: "p1" });
  await new Promise(setImmediate);
  bridge.last("update").fail({ name: "io.github.fwpd.Error.InvalidRequest", message: "no" });
  assert.equal(await rejection(shown), "TypeError");
  assert.equal(bridge.methods.at(-1), "abort");
});

test("abort() before the wallet has named the payment aborts it when it has, and it is never shown", async () => {
  const request = make();
  const shown = request.show();
  const aborted = request.abort();
  bridge.last("createPayment").succeed({ payment: "p1" });
  assert.deepEqual(bridge.methods, ["createPayment", "abort"]);
  bridge.last("abort").succeed(null);
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Aborted"));
  assert.equal(await aborted, undefined);
  assert.equal(await rejection(shown), "AbortError");
});

test("abort() resolves if the wallet is gone in the meantime", async () => {
  const request = make();
  const shown = request.show();
  bridge.last("createPayment").succeed({ payment: "p1" });
  const aborted = request.abort();
  bridge.last("abort").fail({ name: "fwp-host.Gone", message: "gone" });
  assert.equal(await aborted, undefined);
  assert.equal(await rejection(shown), "AbortError");
});

test("a response that crosses abort() on its way is dropped: the page was told that there is none", async () => {
  const request = make();
  const shown = request.show();
  bridge.last("createPayment").succeed({ payment: "p1" });
  const aborted = request.abort();
  bridge.event("response", "p1", { details: ASSERTION });
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Aborted"));
  assert.equal(await aborted, undefined);
  assert.equal(await rejection(shown), "AbortError");
});

test("a refusal of createPayment or show ends the request", async () => {
  const one = make().show();
  bridge.last("createPayment").fail({ name: "fwp-host.NotRunning", message: "no fwpd" });
  assert.equal(await rejection(one), "NotSupportedError");
  const two = make().show();
  bridge.last("createPayment").succeed({ payment: "p2" });
  bridge.last("show").fail({ name: "io.github.fwpd.Error.NoAgent", message: "nobody" });
  assert.equal(await rejection(two), "AbortError");
  assert.equal(bridge.listeners.size, 0);
});

test("one at a time: the second show() is an AbortError until the first has ended", async () => {
  const first = make().show();
  const other = make();
  assert.equal(await rejection(other.show()), "AbortError");
  assert.equal(await rejection(other.show()), "InvalidStateError");
  bridge.last("createPayment").succeed({ payment: "p1" });
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Declined"));
  assert.equal(await rejection(first), "AbortError");
  const third = make().show();
  assert.equal(bridge.methods.filter((method) => method === "createPayment").length, 2);
  third.catch(() => undefined);
});

test("the late end of an earlier payment does not free the way beside the one that is showing", async () => {
  const first = make().show(Promise.reject(new Error("no price")));
  assert.equal(await rejection(first), "AbortError");
  const created = bridge.last("createPayment");
  make().show().catch(() => undefined);
  created.succeed({ payment: "p1" });
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Aborted"));
  assert.equal(await rejection(make().show()), "AbortError");
});

test("complete() tells the result, frees the way, and resolves whatever becomes of it", async () => {
  const response = await authorized();
  const done = response.complete("fail");
  assert.deepEqual(bridge.last("complete").params, { payment: "p1", result: "fail" });
  bridge.last("complete").fail({ name: "fwp-host.Gone", message: "gone" });
  assert.equal(await done, undefined);
  make().show().catch(() => undefined);
  assert.equal(bridge.methods.at(-1), "createPayment");
});

test("a payment that the wallet closed after the response can be neither completed nor retried", async () => {
  const response = await authorized();
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Timeout"));
  assert.equal(await rejection(response.complete("success")), "InvalidStateError");
  assert.equal(await rejection(response.retry()), "InvalidStateError");
});

test("retry() sends what the wallet has a use for, and renews the details", async () => {
  const response = await authorized();
  const retry = response.retry({ error: "again", payer: { name: "x" }, paymentMethod: { code: 1 } });
  const { params } = bridge.last("retry");
  assert.deepEqual(params, { payment: "p1", errorFields: '{"error":"again","paymentMethod":{"code":1}}' });
  bridge.last("retry").succeed(null);
  bridge.event("response", "p1", { details: { ...ASSERTION, userAuthorization: "u2" } });
  assert.equal(await retry, undefined);
  assert.equal(response.details["userAuthorization"], "u2");
});

test("retry() with fields that the wallet refuses can be mended", async () => {
  const response = await authorized();
  const retry = response.retry({ error: "a\u202eb" });
  bridge.last("retry").fail({ name: "io.github.fwpd.Error.InvalidRequest", message: "errorFields.error" });
  assert.equal(await rejection(retry), "TypeError");
  const again = response.retry({ error: "ab" });
  bridge.event("response", "p1", { details: { ...ASSERTION } });
  assert.equal(await again, undefined);
});

test("retry() with fields that would not get through is a TypeError, and the payment is where it was", async () => {
  const response = await authorized();
  assert.equal(await rejection(response.retry({ paymentMethod: { text: "x".repeat(1 << 18) } })), "TypeError");
  assert.ok(!bridge.methods.includes("retry"));
  const again = response.retry();
  bridge.event("response", "p1", { details: { ...ASSERTION } });
  assert.equal(await again, undefined);
});

test("retry() that the wallet won't do ends the payment on both sides", async () => {
  const response = await authorized();
  const retry = response.retry();
  bridge.last("retry").fail({ name: "io.github.fwpd.Error.Busy", message: "busy" });
  assert.equal(await rejection(retry), "AbortError");
  assert.equal(bridge.methods.at(-1), "abort");
  assert.equal(await rejection(response.complete()), "InvalidStateError");
});

test("retry() declined is an AbortError and completes the response", async () => {
  const response = await authorized();
  const retry = response.retry();
  bridge.event("closed", "p1", closed("io.github.fwpd.Error.Declined"));
  assert.equal(await rejection(retry), "AbortError");
  assert.equal(await rejection(response.complete()), "InvalidStateError");
});

test("canMakePayment() is what the wallet says, and false if there is none", async () => {
  const yes = make().canMakePayment();
  bridge.last("canMakePayment").succeed(true);
  assert.equal(await yes, true);
  const none = make().canMakePayment();
  bridge.last("canMakePayment").fail({ name: "fwp-host.NotInstalled", message: "no host" });
  assert.equal(await none, false);
});

test("show() asks for a gesture, a visible and a fully active document, in this order", async () => {
  surroundings.activated = surroundings.active = surroundings.visible = false;
  const request = make();
  assert.equal(await rejection(request.show()), "SecurityError");
  surroundings.activated = true;
  assert.equal(await rejection(request.show()), "AbortError");
  surroundings.active = true;
  assert.equal(await rejection(request.show()), "AbortError");
  surroundings.visible = true;
  request.show().catch(() => undefined);
  assert.deepEqual(bridge.methods, ["createPayment"]);
});

test("a document that may not pay gets a SecurityError from the constructor, after the conversions and before the checks", () => {
  surroundings.allowed = false;
  assert.equal(thrown(() => new world.PaymentRequest([{}], DETAILS)), "TypeError");
  assert.equal(thrown(() => new world.PaymentRequest([], DETAILS)), "SecurityError");
});
