import assert from "node:assert/strict";
import { test } from "node:test";
import { askerOf, isLoopback, type Sender } from "../../src/background/origin";
import { isOwnPage } from "../../src/background/popup";
import { Failure } from "../../src/shared/errors";

const OWN = "own-id";
const FINE: Sender = { id: OWN, origin: "https://shop.example:8443", tab: { id: 4 }, documentLifecycle: "active" };

test("the asker's origin, host and tab are the browser's word", () => {
  assert.deepEqual(askerOf(FINE, OWN), { origin: "https://shop.example:8443", host: "shop.example", tab: 4 });
});

for (const origin of ["http://localhost:8080", "http://shop.localhost", "http://127.1.2.3:1", "http://[::1]:9"]) {
  test(`plain HTTP on this computer may ask: ${origin}`, () => {
    assert.equal(askerOf({ ...FINE, origin }, OWN).origin, origin);
  });
}

const REFUSED: [string, Partial<Sender>][] = [
  ["another extension", { id: "other" }],
  ["no extension", { id: undefined }],
  ["no origin", { origin: undefined }],
  ["a sandboxed frame", { origin: "null" }],
  ["plain HTTP", { origin: "http://shop.example" }],
  ["plain HTTP on a name that only looks like this computer", { origin: "http://localhost.shop.example" }],
  ["plain HTTP on another private address", { origin: "http://10.0.0.1" }],
  ["a file", { origin: "file://" }],
  ["another extension's page", { origin: "chrome-extension://abcdefgh" }],
  ["an address instead of an origin", { origin: "https://shop.example/path" }],
  ["user information", { origin: "https://a@shop.example" }],
  ["nonsense", { origin: "shop.example" }],
  ["an upper-case host", { origin: "https://SHOP.example" }],
  ["no tab", { tab: undefined }],
  ["tab -1", { tab: { id: -1 } }],
  ["a prerendered page", { documentLifecycle: "prerender" }],
  ["a page in the back-forward cache", { documentLifecycle: "cached" }],
];
for (const [what, change] of REFUSED) {
  test(`refused as asker: ${what}`, () => {
    assert.throws(() => askerOf({ ...FINE, ...change }, OWN), (error) => error instanceof Failure && error.name === "fwp-host.Refused");
  });
}

test("a sender that is missing is refused", () => {
  assert.throws(() => askerOf(undefined, OWN), Failure);
});

test("only names of this computer are loopback", () => {
  for (const host of ["localhost", "a.b.localhost", "127.0.0.1", "127.255.0.9", "[::1]"]) assert.equal(isLoopback(host), true);
  for (const host of ["notlocalhost", "localhost.", "128.0.0.1", "127.0.0.1.example", "[::2]", ""]) assert.equal(isLoopback(host), false);
});

test("only the extension's own pages may speak as the popup: a content script has its page's origin", () => {
  const own = { id: OWN, origin: "chrome-extension://own-id" };
  assert.equal(isOwnPage({ id: OWN, origin: "chrome-extension://own-id" }, own), true);
  assert.equal(isOwnPage({ id: OWN, origin: "https://shop.example" }, own), false);
  assert.equal(isOwnPage({ id: OWN }, own), false);
  assert.equal(isOwnPage(undefined, own), false);
});
