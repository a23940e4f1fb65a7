import assert from "node:assert/strict";
import { test } from "node:test";
import { Gestures, isGuarded, refusal, type Circumstances } from "../../src/isolated/checks";

const FINE: Circumstances = {
  secure: true,
  origin: "https://shop.example",
  sameOriginAncestors: true,
  policy: true,
  activated: true,
  used: false,
  visible: true,
  active: true,
};

test("a visible, secure page of its own origin may begin a payment after a click", () => {
  assert.equal(refusal(FINE), null);
  assert.equal(refusal({ ...FINE, policy: null }), null);
});

const REFUSED: [Partial<Circumstances>, RegExp][] = [
  [{ secure: false }, /secure connection/],
  [{ origin: "null" }, /no origin/],
  [{ origin: "" }, /no origin/],
  [{ sameOriginAncestors: false }, /frames of another origin/],
  [{ policy: false }, /permission policy/],
  [{ activated: false }, /clicked or typed/],
  [{ used: true }, /already/],
  [{ visible: false }, /not visible/],
  [{ active: false }, /not active/],
];
for (const [change, reason] of REFUSED) {
  test(`refused: ${JSON.stringify(change)}`, () => {
    assert.match(refusal({ ...FINE, ...change }) ?? "", reason);
  });
}

test("what begins something is guarded, what goes on with it is not", () => {
  assert.deepEqual(
    ["createPayment", "createMozPayment", "beginEnrollment", "show", "abort", "canMakePayment", "storeCards"].filter(isGuarded),
    ["createPayment", "createMozPayment", "beginEnrollment"],
  );
});

test("an activation allows one request", () => {
  const gestures = new Gestures();
  assert.equal(gestures.last, null);
  gestures.seen(7000);
  assert.equal(gestures.last, 7000);
  assert.equal(gestures.used(100), false);
  gestures.use(100);
  assert.equal(gestures.used(101), true);
  assert.equal(gestures.used(5099), true);
  gestures.seen(11_999);
  assert.equal(gestures.used(5099), false);
});

test("an activation that is there after the last one's life is a newer one, though no event told so", () => {
  const gestures = new Gestures();
  gestures.use(100);
  assert.equal(gestures.used(5100), false);
});
