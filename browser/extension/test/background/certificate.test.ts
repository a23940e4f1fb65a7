import assert from "node:assert/strict";
import { test } from "node:test";
import { isTrusted } from "../../src/background/certificate";

test("a connection without an exception is trusted", () => {
  assert.equal(isTrusted({ state: "secure", isUntrusted: false, isDomainMismatch: false, isNotValidAtThisTime: false }), true);
});

for (const info of [
  {},
  { state: "insecure" },
  { state: "broken" },
  { state: "secure", isUntrusted: true },
  { state: "secure", isDomainMismatch: true },
  { state: "secure", isNotValidAtThisTime: true },
  { state: "secure", overridableErrorCategory: "trust_error" },
]) {
  test(`not trusted: ${JSON.stringify(info)}`, () => {
    assert.equal(isTrusted(info), false);
  });
}
