// navigator.fidoWebPay.enroll() and navigator.mozPay(), against an isolated world that the test plays.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { installEnrollment } from "../../src/page/enrollment";
import { installMozPay } from "../../src/page/moz-pay";
import { FakeBridge, FakeSurroundings, paymentsOf, rejection, thrown } from "./support";

interface Enrolled {
  readonly attestation: unknown;
  readonly storeCards: (cards: unknown) => Promise<number>;
  readonly cancel: () => Promise<unknown>;
}

interface DomRequest extends EventTarget {
  readonly readyState: string;
  readonly result: unknown;
  readonly error: { name: string; message: string } | null;
  onsuccess: ((event: Event) => void) | null;
  onerror: ((event: Event) => void) | null;
}

interface Wallet {
  readonly fidoWebPay: { enroll(offer?: unknown, options?: unknown): Promise<Enrolled> };
  mozPay(requests?: unknown): DomRequest;
}

let bridge: FakeBridge;
let surroundings: FakeSurroundings;
let navigator: Wallet;

beforeEach(() => {
  bridge = new FakeBridge();
  surroundings = new FakeSurroundings();
  const prototype = {};
  navigator = Object.create(prototype) as Wallet;
  const window = { navigator, Navigator: { prototype } } as never;
  installEnrollment(window, bridge.asBridge, surroundings);
  installMozPay(window, paymentsOf(bridge, surroundings, () => assert.fail("no PaymentResponse here")).shared);
});

const closed = (kind: string, name: string, reason: string): void => {
  bridge.listeners.get(`${kind}:${name}`)?.("closed", { reason, message: `because ${reason}` });
};

async function enrolled(): Promise<Enrolled> {
  const promise = navigator.fidoWebPay.enroll({ rp: 1 });
  bridge.last("beginEnrollment").succeed({ enrollment: "e1" });
  bridge.listeners.get("enrollment:e1")?.("attestation", { attestation: { credentialId: "c" } });
  return promise;
}

test("enroll() sends the offer as JSON text, with the options that are given", () => {
  void navigator.fidoWebPay.enroll({ challenge: "x" });
  assert.deepEqual(bridge.last("beginEnrollment").params, { offer: '{"challenge":"x"}' });
  void navigator.fidoWebPay.enroll({ challenge: "x" }, { attachment: "cross-platform", replace: true });
  const { params } = bridge.last("beginEnrollment");
  assert.deepEqual(params, { offer: '{"challenge":"x"}', attachment: "cross-platform", replace: true });
});

test("enroll() gives the attestation, stores cards, and cancels", async () => {
  const { attestation, storeCards, cancel } = await enrolled();
  assert.deepEqual(attestation, { credentialId: "c" });
  const stored = storeCards([{ credentialId: "c" }]);
  assert.deepEqual(bridge.last("storeCards").params, { enrollment: "e1", cards: '[{"credentialId":"c"}]' });
  bridge.last("storeCards").succeed({ stored: 2 });
  assert.equal(await stored, 2);
  const cancelled = cancel();
  bridge.last("cancelEnrollment").fail({ name: "fwp-host.Unknown", message: "it is over" });
  assert.equal(await cancelled, undefined);
});

test("enroll() rejects what is no offer, unknown options and a document or moment that won't do", async () => {
  for (const offer of [undefined, null, "offer", 1]) {
    assert.equal(await rejection(navigator.fidoWebPay.enroll(offer)), "TypeError");
  }
  assert.equal(await rejection(navigator.fidoWebPay.enroll()), "TypeError");
  assert.equal(await rejection(navigator.fidoWebPay.enroll({}, { attachment: "usb" })), "TypeError");
  surroundings.activated = false;
  assert.equal(await rejection(navigator.fidoWebPay.enroll({})), "SecurityError");
  surroundings.allowed = false;
  assert.equal(await rejection(navigator.fidoWebPay.enroll({})), "SecurityError");
  assert.deepEqual(bridge.methods, []);
});

test("an enrollment that the wallet ends rejects, before the attestation and after it", async () => {
  const refused = navigator.fidoWebPay.enroll({});
  bridge.last("beginEnrollment").fail({ name: "fwp-host.NotRunning", message: "no fwpd" });
  assert.equal(await rejection(refused), "NotSupportedError");
  const declined = navigator.fidoWebPay.enroll({});
  bridge.last("beginEnrollment").succeed({ enrollment: "e1" });
  closed("enrollment", "e1", "io.github.fwpd.Error.Declined");
  assert.equal(await rejection(declined), "AbortError");
  const { storeCards } = await enrolled();
  closed("enrollment", "e1", "fwp-host.Gone");
  assert.equal(await rejection(storeCards([])), "OperationError");
});

test("navigator's members are the navigator's alone", () => {
  const prototype = Object.getPrototypeOf(navigator) as Wallet;
  assert.equal(thrown(() => prototype.fidoWebPay), "TypeError");
  assert.equal(thrown(() => navigator.mozPay.call({} as Wallet, "jwt")), "TypeError");
});

test("mozPay() sends one or several requests and shows the payment", () => {
  const request = navigator.mozPay("jwt");
  assert.deepEqual(bridge.last("createMozPayment").params, { requests: ["jwt"] });
  assert.equal(request.readyState, "pending");
  bridge.last("createMozPayment").succeed({ payment: "p1" });
  assert.deepEqual(bridge.last("show").params, { payment: "p1" });
});

test("mozPay() succeeds once the provider has booked, and then another can begin", () => {
  const request = navigator.mozPay(["jwt1", "jwt2"]);
  assert.deepEqual(bridge.last("createMozPayment").params, { requests: ["jwt1", "jwt2"] });
  const events: string[] = [];
  request.onsuccess = ({ type }) => events.push(type);
  request.onerror = ({ type }) => events.push(type);
  bridge.last("createMozPayment").succeed({ payment: "p1" });
  bridge.event("delivered", "p1", { result: { transactionID: "t1" } });
  closed("payment", "p1", "completed");
  assert.deepEqual(events, ["success"]);
  assert.deepEqual([request.readyState, request.result, request.error], ["done", { transactionID: "t1" }, null]);
  navigator.mozPay("jwt3");
  assert.equal(bridge.methods.at(-1), "createMozPayment");
});

const ENDS: readonly (readonly [name: string, reasons: readonly string[]])[] = [
  ["USER_CANCELLED", ["Declined", "Aborted", "Timeout"].map((reason) => `io.github.fwpd.Error.${reason}`)],
  ["INVALID_REQUEST", ["io.github.fwpd.Error.InvalidRequest"]],
  ["REFUSED", ["io.github.fwpd.Error.NoMatchingCard", "fwp-host.Refused", "fwp-host.Showing", "fwp-provider.Refused"]],
  ["UNAVAILABLE", ["io.github.fwpd.Error.NoAgent", "io.github.fwpd.Error.StoreLocked", "fwp-host.NotInstalled"]],
  ["UNAVAILABLE", ["fwp-host.Gone", "fwp-provider.Unavailable"]],
];
for (const [name, reasons] of ENDS) {
  for (const reason of reasons) {
    test(`mozPay() that ends with ${reason} has the error ${name}, with the message`, () => {
      const request = navigator.mozPay("jwt");
      let errors = 0;
      request.addEventListener("error", () => (errors += 1));
      bridge.last("createMozPayment").succeed({ payment: "p1" });
      closed("payment", "p1", reason);
      assert.equal(errors, 1);
      assert.deepEqual({ ...request.error }, { name, message: `because ${reason}` });
    });
  }
}

test("mozPay() refuses what it can't send, after the page has the object", async () => {
  const refusals: [unknown, string][] = [
    [[], "INVALID_REQUEST"],
    [Array(9).fill("jwt"), "INVALID_REQUEST"],
    ["x".repeat(16 * 1024 + 1), "INVALID_REQUEST"],
  ];
  for (const [requests, name] of refusals) {
    const request = navigator.mozPay(requests);
    assert.equal(request.readyState, "pending");
    await new Promise((resolve) => (request.onerror = resolve));
    assert.equal(request.error?.name, name);
  }
  assert.equal(thrown(() => navigator.mozPay()), "TypeError");
  assert.equal(thrown(() => navigator.mozPay({})), "TypeError");
  assert.deepEqual(bridge.methods, []);
});

test("mozPay() without a gesture, or while another payment is showing, is REFUSED", async () => {
  surroundings.activated = false;
  const early = navigator.mozPay("jwt");
  await new Promise((resolve) => (early.onerror = resolve));
  assert.equal(early.error?.name, "REFUSED");
  surroundings.activated = true;
  navigator.mozPay("jwt");
  const second = navigator.mozPay("jwt");
  await new Promise((resolve) => (second.onerror = resolve));
  assert.equal(second.error?.name, "REFUSED");
  assert.deepEqual(bridge.methods, ["createMozPayment"]);
});
