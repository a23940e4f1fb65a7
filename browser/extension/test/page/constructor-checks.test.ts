// What the constructor checks, and what it makes to be sent. The table of the W3C's cases runs in real browsers
// (tests/browser/cases/w3c-table.mjs); here is what a page can't see.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkRequest, checkUpdate, parseMethodIdentifier } from "../../src/page/constructor-checks";
import { toDetailsInit, toDetailsUpdate, toMethodDataList } from "../../src/page/dictionaries";
import { DATA, DETAILS, METHODS, thrown } from "./support";

function check(methods: unknown = METHODS, details: unknown = DETAILS): ReturnType<typeof checkRequest> {
  return checkRequest(toMethodDataList(methods), toDetailsInit(details), () => "made-up");
}

const withData = (data: unknown): string => thrown(() => check([{ supportedMethods: "fido-web-pay/v1", data }]));

test("what is sent is the id, the amount as written and the currency in upper case, nothing else of details", () => {
  const details = { ...DETAILS, shippingOptions: [1], more: { secret: 1 } };
  assert.deepEqual(JSON.parse(check(METHODS, details).details), {
    id: "7040566321",
    total: { label: null, amount: { currency: "EUR", value: "435.00" } },
  });
});

test("what is sent of methodData is our data, word for word, and of other methods the name alone", () => {
  const methods = [{ supportedMethods: "https://pay.example/x", data: { token: "theirs" } }, ...METHODS];
  assert.equal(
    check(methods).methodData,
    `[{"supportedMethods":"https://pay.example/x"},{"supportedMethods":"fido-web-pay/v1","data":${JSON.stringify(DATA)}}]`,
  );
});

test("a request without our method has nothing to send, and an id of its own", () => {
  const checked = check([{ supportedMethods: "https://pay.example/x" }], { total: { ...DETAILS.total, label: "Total" } });
  assert.deepEqual(checked, { id: "made-up", ours: false, methodData: "", details: "" });
});

test("the data that are checked are the ones that are sent, however often toJSON changes its mind", () => {
  let calls = 0;
  const data = { toJSON: () => (++calls === 1 ? DATA : { payeeName: "Moon Shop", networks: "none" }) };
  const checked = check([{ supportedMethods: "fido-web-pay/v1", data }]);
  assert.equal(calls, 1);
  assert.ok(checked.methodData.includes("Space Shop"));
});

test("an amount whose toString changes its mind is read once", () => {
  let calls = 0;
  const value = { toString: () => (++calls === 1 ? "1.00" : "9999") };
  const checked = check(METHODS, { id: "1", total: { label: null, amount: { currency: "EUR", value } } });
  assert.equal(calls, 1);
  assert.ok(checked.details.includes('"1.00"'));
});

test("limits: 64 networks are fine and 65 are not, 256 characters of payeeName are and 257 are not", () => {
  const networks = (count: number): object[] => Array.from({ length: count }, (_, i) => ({ id: `n${i}` }));
  assert.equal(withData({ ...DATA, networks: networks(64) }), "");
  assert.equal(withData({ ...DATA, networks: networks(65) }), "TypeError");
  assert.equal(withData({ ...DATA, payeeName: "x".repeat(256) }), "");
  assert.equal(withData({ ...DATA, payeeName: "x".repeat(257) }), "TypeError");
});

test("limits: networkOptions of 256 KiB as CBOR are fine, one byte more is not", () => {
  const options = (size: number): object => ({ ...DATA, networks: [{ id: "n", networkOptions: "x".repeat(size) }] });
  assert.equal(withData(options(262144 - 5)), ""); // a text of this length has a head of 5 bytes
  assert.equal(withData(options(262144 - 4)), "TypeError");
});

test("limits: sizes count bytes of UTF-8, not characters", () => {
  const options = (size: number): object => ({ ...DATA, networks: [{ id: "n", networkOptions: "€".repeat(size) }] });
  assert.equal(withData(options(87379)), "");
  assert.equal(withData(options(87380)), "TypeError");
});

test("limits: a list that would not fit into one message is refused, although each text in it is short enough", () => {
  assert.equal(withData({ ...DATA, more: "x".repeat(1_000_000) }), "");
  assert.equal(withData({ ...DATA, more: "€".repeat(350_000) }), "TypeError");
  const others = (count: number): object[] =>
    Array.from({ length: count }, (_, i) => ({ supportedMethods: `https://pay.example/${"x".repeat(10_000)}${i}` }));
  assert.equal(thrown(() => check([...METHODS, ...others(90)])), "");
  assert.equal(thrown(() => check([...METHODS, ...others(110)])), "TypeError");
});

test("what is sent of the largest list is a message that the host takes", () => {
  const data = { ...DATA, more: '"'.repeat(515_000) }; // each is four characters in JSON within JSON
  const { methodData } = check([{ supportedMethods: "fido-web-pay/v1", data }]);
  assert.ok(methodData.length > 1_030_000);
  assert.ok(JSON.stringify({ methodData }).length < 2 * 1024 * 1024 - 4096);
});

test("data that nest too deep are a TypeError and no stack overflow", () => {
  const deep = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));
  assert.equal(withData({ ...DATA, more: deep(90) }), "");
  assert.equal(withData({ ...DATA, more: deep(200) }), "TypeError");
});

test("a network's attribute named __proto__ is an unknown attribute", () => {
  const data: unknown = JSON.parse('{"payeeName":"S","networks":[{"id":"n","__proto__":{"networkOptions":1.5}}]}');
  assert.equal(withData(data), "TypeError");
});

test("every control and bidirectional character of the wallet's list is refused in what people see", () => {
  for (const code of [0, 0x1b, 0x7f, 0x9b, 0x061c, 0x200e, 0x200f, 0x2028, 0x202e, 0x2066, 0x2069]) {
    const character = String.fromCharCode(code);
    assert.equal(withData({ ...DATA, payeeName: `a${character}b` }), "TypeError", `payeeName U+${code.toString(16)}`);
    assert.equal(withData({ ...DATA, networks: [{ id: `a${character}b` }] }), "TypeError", `id U+${code.toString(16)}`);
    assert.equal(thrown(() => check(METHODS, { ...DETAILS, id: `a${character}b` })), "TypeError");
  }
});

test("an update sends its total, or nothing if it has none", () => {
  const total = { label: null, amount: { currency: "usd", value: "2" } };
  assert.equal(checkUpdate(toDetailsUpdate({}), true), undefined);
  assert.equal(checkUpdate(toDetailsUpdate(undefined), true), undefined);
  assert.equal(
    checkUpdate(toDetailsUpdate({ total }), true),
    '{"total":{"label":null,"amount":{"currency":"USD","value":"2"}}}',
  );
});

test("an update keeps the rules of the constructor", () => {
  const update = (details: object): string => thrown(() => checkUpdate(toDetailsUpdate(details), true));
  const amount = { currency: "EUR", value: "1" };
  assert.equal(update({ total: { label: "Total", amount } }), "TypeError");
  assert.equal(update({ total: { label: null, amount: { ...amount, value: "-1" } } }), "TypeError");
  assert.equal(update({ total: { label: null, amount: { ...amount, currency: "x" } } }), "RangeError");
  assert.equal(update({ displayItems: [] }), "TypeError");
  assert.equal(update({ modifiers: [] }), "TypeError");
});

test("URLs are compared as they are parsed", () => {
  assert.equal(parseMethodIdentifier("https://PAY.example:443/x/../y"), "https://pay.example/y");
  const same = [{ supportedMethods: "https://pay.example/y" }, { supportedMethods: "https://PAY.example:443/x/../y" }];
  assert.equal(thrown(() => check([...METHODS, ...same])), "RangeError");
});
