import assert from "node:assert/strict";
import { test } from "node:test";
import { isAsWanted, wanted } from "../../src/shared/registration";
import { DEFAULTS, hostName, parseSettings, switchedOff, typedHost, withHost } from "../../src/shared/settings";

test("settings that were never switched, or are broken, are the defaults: on, mozPay off", () => {
  for (const stored of [undefined, null, 1, "x", {}, { enabled: "no", offHosts: "x", mozPay: 1 }]) {
    assert.deepEqual(parseSettings(stored), DEFAULTS);
  }
  assert.deepEqual(DEFAULTS, { enabled: true, offHosts: [], mozPay: false });
});

test("hosts are kept once and sorted, and what is no host is dropped", () => {
  const { offHosts } = parseSettings({ offHosts: ["b.example", "a.example", "b.example", "*", "x/y", "A.example", "*.example", 3] });
  assert.deepEqual(offHosts, ["a.example", "b.example"]);
});

test("a host may be a name, an IPv4 address or a bracketed IPv6 one", () => {
  for (const host of ["localhost", "shop.example", "xn--bcher-kva.example", "127.0.0.1", "[::1]"]) assert.equal(hostName(host), host);
  for (const host of ["", "shop.example.", "*.example", "a b", "shop.example:80", "<all_urls>", "x".repeat(256)]) assert.equal(hostName(host), null);
});

test("a person may type a host in any spelling, or paste an address", () => {
  assert.equal(typedHost(" Shop.Example "), "shop.example");
  assert.equal(typedHost("https://bücher.example/cart?x=1"), "xn--bcher-kva.example");
  assert.equal(typedHost("shop.example:8443"), "shop.example");
  for (const typed of ["", "  ", "a b", "https://", "*"]) assert.equal(typedHost(typed), null);
});

test("a site or everything can be switched off, and on again", () => {
  const off = withHost(DEFAULTS, "shop.example", false);
  assert.match(switchedOff(off, "shop.example") ?? "", /for this site/);
  assert.equal(switchedOff(off, "www.shop.example"), null);
  assert.deepEqual(withHost(off, "shop.example", true), DEFAULTS);
  assert.match(switchedOff({ ...DEFAULTS, enabled: false }, "shop.example") ?? "", /in this browser/);
});

test("scripts are registered as the switches say", () => {
  assert.deepEqual(wanted({ ...DEFAULTS, enabled: false }, ["https://*/*"]), []);
  const [isolated, page] = wanted(withHost(DEFAULTS, "shop.example", false), ["https://*/*"]);
  assert.equal(isolated?.world, "ISOLATED");
  assert.deepEqual(page?.js, ["page.js"]);
  assert.deepEqual(page.excludeMatches, ["*://shop.example/*"]);
  assert.deepEqual(wanted({ ...DEFAULTS, mozPay: true }, []).at(1)?.js, ["page-mozpay.js"]);
});

test("a registration is recognised however the browser writes it, and a stale one is not taken", () => {
  const want = wanted(withHost(DEFAULTS, "shop.example", false), ["https://*/*", "http://localhost/*"]);
  const asWritten = want.map((one) => ({ ...one, js: one.js.map((path) => `/${path}`), matches: [...one.matches].reverse() }));
  assert.equal(isAsWanted(asWritten, want), true);
  assert.equal(isAsWanted(want.slice(1), want), false);
  assert.equal(isAsWanted(want.map((one) => ({ ...one, excludeMatches: undefined })), want), false);
  assert.equal(isAsWanted(wanted({ ...DEFAULTS, mozPay: true }, ["https://*/*"]), wanted(DEFAULTS, ["https://*/*"])), false);
});
