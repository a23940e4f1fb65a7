import assert from "node:assert/strict";
import { test } from "node:test";
import { Malformed, parseJson } from "../../src/shared/json";
import { idOf, JWT_COUNT, JWT_LIMIT, parseFrameRequest, parsePageRequest, parsePopupRequest } from "../../src/shared/requests";

const GOOD: [string, unknown][] = [
  ["canMakePayment", {}],
  ["createPayment", { methodData: "[]", details: "{}" }],
  ["createMozPayment", { requests: ["a.b.c"] }],
  ["show", { payment: "p1" }],
  ["abort", { payment: "p12" }],
  ["update", { payment: "p1", details: "{}" }],
  ["retry", { payment: "p1", errorFields: "{}" }],
  ["complete", { payment: "p1", result: "unknown" }],
  ["beginEnrollment", { offer: "{}" }],
  ["beginEnrollment", { offer: "{}", attachment: "platform", replace: true }],
  ["storeCards", { enrollment: "e1", cards: "[]" }],
  ["cancelEnrollment", { enrollment: "e1" }],
];

for (const [method, params] of GOOD) {
  test(`a request is read: ${method} ${JSON.stringify(params)}`, () => {
    assert.deepEqual(parsePageRequest({ id: 7, method, params }), { id: 7, method, params });
  });
}

test("the time of a click comes from the isolated world only", () => {
  const message = { id: 7, method: "canMakePayment", params: {} };
  assert.deepEqual(parseFrameRequest(message), { ...message, gesture: null });
  assert.deepEqual(parseFrameRequest({ ...message, gesture: 5 }), { ...message, gesture: 5 });
  assert.throws(() => parseFrameRequest({ ...message, gesture: "5" }), Malformed);
  assert.throws(() => parsePageRequest({ ...message, gesture: 5 }), Malformed);
});

const HOSTILE: [string, unknown][] = [
  ["not an object", "show"],
  ["null", null],
  ["a list", [1, "show"]],
  ["no id", { method: "canMakePayment", params: {} }],
  ["id 0", { id: 0, method: "canMakePayment", params: {} }],
  ["a fraction as id", { id: 1.5, method: "canMakePayment", params: {} }],
  ["an id beyond 2^53-1", { id: 2 ** 53, method: "canMakePayment", params: {} }],
  ["an id that is text", { id: "1", method: "canMakePayment", params: {} }],
  ["no method", { id: 1, params: {} }],
  ["a method that only the background may use", { id: 1, method: "hello", params: {} }],
  ["the popup's method", { id: 1, method: "listCards", params: {} }],
  ["forget", { id: 1, method: "forget", params: { payments: ["p1"], enrollments: [] } }],
  ["a method of Object.prototype", { id: 1, method: "constructor", params: {} }],
  ["an attribute more", { id: 1, method: "canMakePayment", params: {}, origin: "https://shop.example" }],
  ["an origin from the page", { id: 1, method: "canMakePayment", params: { origin: "https://shop.example" } }],
  ["an origin in createPayment", { id: 1, method: "createPayment", params: { methodData: "[]", details: "{}", origin: "x" } }],
  ["methodData as an object", { id: 1, method: "createPayment", params: { methodData: {}, details: "{}" } }],
  ["details missing", { id: 1, method: "createPayment", params: { methodData: "[]" } }],
  ["a lone surrogate", { id: 1, method: "createPayment", params: { methodData: '"\ud800"', details: "{}" } }],
  ["text beyond 2 MiB", { id: 1, method: "createPayment", params: { methodData: "x".repeat(2 ** 21 + 1), details: "{}" } }],
  ["no JWT", { id: 1, method: "createMozPayment", params: { requests: [] } }],
  ["nine JWTs", { id: 1, method: "createMozPayment", params: { requests: Array(JWT_COUNT + 1).fill("a") } }],
  ["a JWT beyond 16 KiB", { id: 1, method: "createMozPayment", params: { requests: ["x".repeat(JWT_LIMIT + 1)] } }],
  ["a JWT that is a number", { id: 1, method: "createMozPayment", params: { requests: [1] } }],
  ["a payment of no name", { id: 1, method: "show", params: { payment: "" } }],
  ["a payment as a path", { id: 1, method: "show", params: { payment: "/io/github/fwpd/Payment/1" } }],
  ["a payment named __proto__", { id: 1, method: "show", params: { payment: "__proto__" } }],
  ["a result of its own", { id: 1, method: "complete", params: { payment: "p1", result: "paid" } }],
  ["an unknown attachment", { id: 1, method: "beginEnrollment", params: { offer: "{}", attachment: "any" } }],
  ["replace as text", { id: 1, method: "beginEnrollment", params: { offer: "{}", replace: "true" } }],
  ["an rpId from the page", { id: 1, method: "beginEnrollment", params: { offer: "{}", rpId: "bank.example" } }],
];

for (const [what, message] of HOSTILE) {
  test(`a hostile request is refused: ${what}`, () => {
    assert.throws(() => parsePageRequest(message), Malformed);
  });
}

test("a __proto__ attribute in JSON text is an unknown attribute, not a prototype", () => {
  const message = parseJson('{"id": 1, "method": "canMakePayment", "__proto__": {"params": {}}}', 1000);
  assert.throws(() => parsePageRequest(message), /unknown attribute/);
});

test("JSON text is bounded in length and in depth", () => {
  assert.throws(() => parseJson("[".repeat(65) + "]".repeat(65), 1000), /deeper/);
  assert.ok(Array.isArray(parseJson("[".repeat(64) + "]".repeat(64), 1000)));
  assert.throws(() => parseJson('"xxxxxxxxx"', 10), /more than 10/);
  assert.throws(() => parseJson("{", 10), /not JSON/);
});

test("the id of a malformed message is found, so that it can be answered", () => {
  assert.equal(idOf({ id: 3, nonsense: true }), 3);
  for (const message of [null, 3, "x", {}, { id: -1 }, { id: "3" }, { id: Number.NaN }, { id: 2 ** 53 }]) {
    assert.equal(idOf(message), null);
  }
});

test("the popup may ask for state, cards and images only", () => {
  assert.deepEqual(parsePopupRequest({ id: 1, method: "cardImage", params: { card: "6f3a" } }), {
    id: 1,
    method: "cardImage",
    params: { card: "6f3a" },
  });
  for (const method of ["createPayment", "hello", "forget"]) {
    assert.throws(() => parsePopupRequest({ id: 1, method, params: {} }), Malformed);
  }
  assert.throws(() => parsePopupRequest({ id: 1, method: "cardImage", params: { card: "../x" } }), Malformed);
});
