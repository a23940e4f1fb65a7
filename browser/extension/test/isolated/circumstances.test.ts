import assert from "node:assert/strict";
import { test } from "node:test";
import { whenShown } from "../../src/isolated/circumstances";

test("a shown document is served at once, a prerendered one when it is shown and once only", () => {
  let runs = 0;
  const run = (): void => {
    runs += 1;
  };
  whenShown(new EventTarget(), run);
  assert.equal(runs, 1);
  const prerendered = Object.assign(new EventTarget(), { prerendering: true });
  whenShown(prerendered, run);
  // A page may make up the event: it is still prerendered.
  prerendered.dispatchEvent(new Event("prerenderingchange"));
  assert.equal(runs, 1);
  prerendered.prerendering = false;
  prerendered.dispatchEvent(new Event("prerenderingchange"));
  prerendered.dispatchEvent(new Event("prerenderingchange"));
  assert.equal(runs, 2);
});
