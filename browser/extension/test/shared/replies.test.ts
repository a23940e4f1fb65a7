import assert from "node:assert/strict";
import { test } from "node:test";
import { Malformed } from "../../src/shared/json";
import { parseAnswer, parseHostEvent, parsePageEvent } from "../../src/shared/replies";

test("answers are read", () => {
  assert.deepEqual(parseAnswer({ id: 1, result: null }), { id: 1, result: null });
  const error = { name: "io.github.fwpd.Error.Declined", message: "" };
  assert.deepEqual(parseAnswer({ id: 2, error }), { id: 2, error });
});

const ANSWERS: [string, unknown][] = [
  ["neither result nor error", { id: 1 }],
  ["both", { id: 1, result: 1, error: { name: "x", message: "" } }],
  ["no id", { id: null, error: { name: "x", message: "" } }],
  ["an error without a name", { id: 1, error: { message: "" } }],
  ["a message of 5000 characters", { id: 1, error: { name: "x", message: "m".repeat(5000) } }],
  ["an attribute more", { id: 1, result: 1, event: "closed" }],
];
for (const [what, message] of ANSWERS) {
  test(`a malformed answer is refused: ${what}`, () => {
    assert.throws(() => parseAnswer(message), Malformed);
  });
}

test("events of the host are read", () => {
  const response = { event: "response", payment: "p1", details: { issuerId: "x" } };
  assert.deepEqual(parseHostEvent(response), response);
  const delivery = { url: "https://psp.example/", typ: "sandbox/payments/pay/v1", request: "a.b.c" };
  assert.deepEqual(parseHostEvent({ ...response, delivery }), { ...response, delivery });
  const closed = { event: "closed", enrollment: "e1", reason: "completed", message: "" };
  assert.deepEqual(parseHostEvent(closed), closed);
  const attestation = { event: "attestation", enrollment: "e1", attestation: {} };
  assert.deepEqual(parseHostEvent(attestation), attestation);
});

const EVENTS: [string, unknown][] = [
  ["unknown", { event: "paid", payment: "p1" }],
  ["closed without a name", { event: "closed", reason: "completed", message: "" }],
  ["closed with two names", { event: "closed", payment: "p1", enrollment: "e1", reason: "completed", message: "" }],
  ["closed without a reason", { event: "closed", payment: "p1", reason: "", message: "" }],
  ["details as text", { event: "response", payment: "p1", details: "x" }],
  ["a delivery without a request", { event: "response", payment: "p1", details: {}, delivery: { url: "https://x/", typ: "t" } }],
];
for (const [what, message] of EVENTS) {
  test(`a malformed event of the host is refused: ${what}`, () => {
    assert.throws(() => parseHostEvent(message), Malformed);
  });
}

test("a delivery never goes to a page", () => {
  const delivery = { url: "https://psp.example/", typ: "t", request: "a.b.c" };
  assert.throws(() => parsePageEvent({ event: "response", payment: "p1", details: {}, delivery }), Malformed);
  const delivered = { event: "delivered", payment: "p1", result: { transactionID: "t1" } };
  assert.deepEqual(parsePageEvent(delivered), delivered);
});
