// Which lists are ours, as far as it can be seen without running code of the page. The wrapper itself runs in Chromium,
// against the native class (tests/browser/cases/w3c-table.mjs).
import assert from "node:assert/strict";
import { test } from "node:test";
import { peek } from "../../src/page/native";

const OURS = { supportedMethods: "fido-web-pay/v1" };
const OTHER = { supportedMethods: "https://pay.example/x" };

test("plain lists are seen through", () => {
  assert.equal(peek([OURS]), "ours");
  assert.equal(peek([OTHER, OURS]), "ours");
  assert.equal(peek([OTHER]), "native");
  assert.equal(peek([]), "native");
  assert.equal(peek([{ ...OTHER, data: OURS }]), "native");
});

test("what the native class refuses anyway goes to it", () => {
  for (const value of [undefined, null, 1, "fido-web-pay/v1", Symbol("x")]) {
    assert.equal(peek(value), "native");
  }
});

test("nothing of the page runs: getters, iterators and conversions are left for the one real reading", () => {
  const run = (): never => assert.fail("code of the page ran");
  const getter = Object.defineProperty({}, "supportedMethods", { get: run });
  class Page extends Array<unknown> {}
  const iterated = Object.assign([OTHER], { [Symbol.iterator]: run });
  for (const value of [[getter], [{ supportedMethods: { toString: run } }], { [Symbol.iterator]: run }, iterated]) {
    assert.equal(peek(value), "unknown");
  }
  assert.equal(peek(Page.from([OURS])), "unknown");
  assert.equal(peek(new Set([OURS])), "unknown");
  assert.equal(peek([Object.create(OURS)]), "unknown");
  assert.equal(peek(Array(1)), "unknown");
});

test("a patched array iterator makes every list one that only a real reading can tell", () => {
  const original = Object.getOwnPropertyDescriptor(Array.prototype, Symbol.iterator) as PropertyDescriptor;
  let verdict: string;
  Object.defineProperty(Array.prototype, Symbol.iterator, { ...original, value: () => assert.fail("code of the page ran") });
  try {
    verdict = peek([OURS]);
  } finally {
    Object.defineProperty(Array.prototype, Symbol.iterator, original);
  }
  assert.equal(verdict, "unknown");
});
