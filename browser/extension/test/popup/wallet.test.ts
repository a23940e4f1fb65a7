import assert from "node:assert/strict";
import { test } from "node:test";
import { diagnose, diagnoseError, imageUrl, parseCards } from "../../src/popup/wallet";
import { Malformed } from "../../src/shared/json";

const CARD = {
  card: "6f3a",
  paymentNetworkId: "https://banknet2.org",
  issuerId: "https://mybank.com",
  accountId: "DE45",
  serialNumber: "1",
  rpId: "mybank.com",
  authenticator: "usb",
  created: "2026-01-01T00:00:00Z",
};

test("cards are read, what isn't shown is left", () => {
  const [card] = parseCards([CARD]);
  assert.deepEqual(card, { card: "6f3a", paymentNetworkId: CARD.paymentNetworkId, issuerId: CARD.issuerId, accountId: "DE45", serialNumber: "1" });
});

for (const [what, cards] of [
  ["no list", {}],
  ["a card that is none", [null]],
  ["no issuer", [{ ...CARD, issuerId: undefined }]],
  ["a name that is a path", [{ ...CARD, card: "../x" }]],
  ["more than 100", Array<typeof CARD>(101).fill(CARD)],
] as const) {
  test(`cards that are refused: ${what}`, () => {
    assert.throws(() => parseCards(cards as never), Malformed);
  });
}

test("a card's face is a data URL with nothing but escaped text", () => {
  const url = imageUrl('<svg onload="x">#"</svg>');
  assert.match(url, /^data:image\/svg\+xml;charset=utf-8,[A-Za-z0-9%._~!*'()-]+$/);
  assert.throws(() => imageUrl("x".repeat(512 * 1024 + 1)), Malformed);
});

test("a wallet in order is one line", () => {
  assert.deepEqual(diagnose({ store: "open", agent: true, usb: "ready", keys: "allowed" }), [{ health: "ok", text: "The wallet is ready." }]);
});

for (const [status, words] of [
  [{ store: "locked", "store-reason": "the keyring is locked", agent: true }, /locked \(the keyring is locked\): .*fwpctl unlock/],
  [{ store: "rolled-back", "store-reason": "an old copy", agent: true }, /an old copy/],
  [{ store: "unusable", agent: true }, /no reason was said/],
  [{ store: "open", agent: false }, /fwpctl agent/],
  [{ store: "open", agent: true, keys: "not-allowed", "keys-problem": "not at this seat" }, /not at this seat/],
  [{ store: "open", agent: true, usb: "unavailable", "usb-problem": "no rule for udev" }, /no rule for udev/],
] as const) {
  test(`what is missing is said with the remedy: ${JSON.stringify(status)}`, () => {
    const [finding] = diagnose(status);
    assert.notEqual(finding?.health, "ok");
    assert.match(finding?.text ?? "", words);
  });
}

test("a host that is not there, or a daemon that is not running, is said with the remedy", () => {
  assert.match(diagnoseError({ name: "fwp-host.NotInstalled", message: "" }).text, /fwpctl browser install/);
  assert.match(diagnoseError({ name: "fwp-host.NotRunning", message: "no bus" }).text, /fwpctl doctor/);
});
