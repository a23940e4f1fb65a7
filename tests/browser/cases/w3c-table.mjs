// Payment Request as pages see it: named cases, each run in the page's world of both browsers.
//
// A case is { name, needs, run, expect, nativeComparable }. `run` is the source of a function that gets `context(which)` and gives
// a verdict that is JSON; `expect` is that verdict. "fwp" is our method; "native" a URL method, which Chromium's own class
// serves there (and the supplied interface in Firefox): where `nativeComparable` is true, the verdict has to be the same.
// `needs`: "gesture" (runs in a click), and what the agent says, prompt by prompt: "approve", "decline", "hold" (nothing).

/** What a case works with. Self-contained: its source goes to the page. */
export function context(which) {
  const ours = which === "fwp";
  const method = ours ? "fido-web-pay/v1" : "https://pay.invalid/method";
  const label = ours ? null : "Total";
  const nameOf = (error) => {
    if (error instanceof DOMException) {
      return `DOMException ${error.name}`;
    }
    for (const type of [TypeError, RangeError]) {
      if (Object.getPrototypeOf(error ?? {}) === type.prototype) {
        return type.name;
      }
    }
    return `other ${String(error)}`;
  };
  const t = {
    ours,
    method,
    label,
    nameOf,
    PaymentRequest: window.PaymentRequest,
    data: (more) => ({ payeeName: "Space Shop", networks: [{ id: "https://banknet2.org" }], ...more }),
    entry: (more) => ({ supportedMethods: method, data: t.data(), ...more }),
    methods: (...more) => [t.entry(), ...more],
    url: () => [{ supportedMethods: "https://pay.invalid/other" }],
    amount: (value = "1.00", currency = "EUR") => ({ currency, value }),
    item: (value, currency) => ({ label: "Item", amount: t.amount(value, currency) }),
    total: (more) => ({ label, amount: t.amount(), ...more }),
    details: (more) => ({ id: "7040566321", total: t.total(), ...more }),
    plain: (more) => ({ id: "1", total: { label: "Total", amount: t.amount() }, ...more }),
    make: (methods = t.methods(), details = t.details()) => new t.PaymentRequest(methods, details),
    thrown: (run) => {
      try {
        run();
        return "no exception";
      } catch (error) {
        return nameOf(error);
      }
    },
    rejected: (promise) => Promise.resolve(promise).then(() => "fulfilled", nameOf),
    forData: (data) => t.thrown(() => t.make([t.entry({ data })])),
    forTotal: (value, currency) => t.thrown(() => t.make(t.methods(), t.details({ total: t.total({ amount: t.amount(value, currency) }) }))),
    settled: async (promise) => {
      const pending = Symbol("pending");
      const first = await Promise.race([promise.then(() => "fulfilled", nameOf), new Promise((resolve) => setTimeout(resolve, 100, pending))]);
      return first === pending ? "pending" : first;
    },
  };
  return t;
}

/** A case that needs nothing and is the same for every method. */
const both = (name, run, expect) => ({ name, needs: [], run, expect, nativeComparable: true });
/** A case about our method alone. */
const fwp = (name, run, expect) => ({ name, needs: [], run, expect, nativeComparable: false });
/** A case in a click. */
const click = (name, run, expect, nativeComparable = false) => ({ name, needs: ["gesture"], run, expect, nativeComparable });
/** A case in a click, with what the agent says. */
const wallet = (name, says, run, expect) => ({ name, needs: ["gesture", ...says], run, expect, nativeComparable: false });

const source = (run, ...values) => `(t) => (${run})(t, ${values.map((value) => JSON.stringify(value)).join(", ")})`;
const table = (rows, toCase) => rows.map((row) => toCase(...row));

const args = [
  both("constructor: without new it is a TypeError", (t) => t.thrown(() => t.PaymentRequest(t.methods(), t.details())), "TypeError"),
  both("constructor: no arguments are a TypeError", (t) => t.thrown(() => new t.PaymentRequest()), "TypeError"),
  both("constructor: one argument is a TypeError", (t) => t.thrown(() => new t.PaymentRequest(t.methods())), "TypeError"),
  both("constructor: details null is a TypeError", (t) => t.thrown(() => new t.PaymentRequest(t.methods(), null)), "TypeError"),
  both("constructor: details that are a string are a TypeError", (t) => t.thrown(() => t.make(t.methods(), "details")), "TypeError"),
  both("constructor: details without a total are a TypeError", (t) => t.thrown(() => t.make(t.methods(), { id: "1" })), "TypeError"),
  both("constructor: a good request is made", (t) => t.thrown(() => t.make()), "no exception"),
  both("constructor: attributes that the standard doesn't know are nothing to it", (t) => t.thrown(() => t.make([t.entry({ more: 1 })], t.details({ more: 1, total: t.total({ more: 1 }) }))), "no exception"),
];

const methodData = [
  ...table(
    [["undefined", "undefined"], ["null", "null"], ["a number", "1"], ["a string", '"methods"'], ["an object without an iterator", "({})"], ["an object whose iterator is no function", "({ [Symbol.iterator]: 1 })"]],
    (what, value) => both(`methodData: ${what} is a TypeError`, `(t) => t.thrown(() => t.make(${value === "undefined" ? "void 0" : value}, t.details()))`.replace("t.make(void 0,", "new t.PaymentRequest(void 0,"), "TypeError"),
  ),
  both("methodData: an empty list is a TypeError", (t) => t.thrown(() => t.make([])), "TypeError"),
  both("methodData: an entry that is no object is a TypeError", (t) => t.thrown(() => t.make(["fido-web-pay/v1"])), "TypeError"),
  both("methodData: an entry that is null has no supportedMethods, a TypeError", (t) => t.thrown(() => t.make([null])), "TypeError"),
  both("methodData: an entry without supportedMethods is a TypeError", (t) => t.thrown(() => t.make([{}])), "TypeError"),
  both("methodData: a symbol as supportedMethods is a TypeError", (t) => t.thrown(() => t.make([{ supportedMethods: Symbol("x") }])), "TypeError"),
  both("methodData: any iterable will do", (t) => t.thrown(() => t.make(new Set(t.methods()))), "no exception"),
  both(
    "methodData: a generator is run once",
    (t) => {
      let runs = 0;
      const generator = function* () {
        runs += 1;
        yield* t.methods();
      };
      t.make(generator());
      return runs;
    },
    1,
  ),
  both("methodData: supportedMethods is converted to a string", (t) => t.thrown(() => t.make([t.entry({ supportedMethods: { toString: () => t.method } })])), "no exception"),
  both(
    "methodData: what its iterator throws comes through",
    (t) => {
      const thrown = new Error("page's own");
      try {
        t.make({ [Symbol.iterator]: () => { throw thrown; } });
        return "no exception";
      } catch (error) {
        return error === thrown;
      }
    },
    true,
  ),
  both(
    "methodData: what a getter throws comes through",
    (t) => {
      const thrown = new Error("page's own");
      try {
        t.make([{ get supportedMethods() { throw thrown; } }]);
        return "no exception";
      } catch (error) {
        return error === thrown;
      }
    },
    true,
  ),
  both(
    "methodData: data is read before supportedMethods, and each once",
    (t) => {
      const log = [];
      t.make([{ get supportedMethods() { log.push("supportedMethods"); return t.method; }, get data() { log.push("data"); return t.data(); } }]);
      return log;
    },
    ["data", "supportedMethods"],
  ),
  both(
    "methodData: is converted before details",
    (t) => {
      const log = [];
      t.make([{ get supportedMethods() { log.push("methodData"); return t.method; }, data: t.data() }], { get id() { log.push("details"); return "1"; }, total: t.total() });
      return log;
    },
    ["methodData", "details"],
  ),
  both(
    "details: members are read in the order of Web IDL",
    (t) => {
      const log = [];
      const details = new Proxy(t.details(), { get: (target, name) => (log.push(name), target[name]) });
      t.make(t.methods(), details);
      return log.filter((name) => name !== "shippingOptions");
    },
    ["displayItems", "modifiers", "id", "total"],
  ),
  both(
    "details: members of the total are read in the order of Web IDL",
    (t) => {
      const log = [];
      const note = (object, prefix) => new Proxy(object, { get: (target, name) => (log.push(prefix + name), target[name]) });
      t.make(t.methods(), t.details({ total: note({ label: t.label, amount: note(t.amount(), "amount.") }, "") }));
      return log;
    },
    ["amount", "amount.currency", "amount.value", "label", "pending"],
  ),
];

const identifiers = [
  ...table(
    [["", "an empty one"], ["basic card", "one with a space"], ["Basic-Card", "upper case"], ["-card", "a hyphen at the start"], ["card-", "a hyphen at the end"], ["1card", "a digit at the start"], ["card/v1", "another one with a slash"], ["fido-web-pay/v2", "a version that is not there"], ["https://:@pay.invalid:password/", "a broken URL"], ["https://user@pay.invalid/", "a URL with a user name"], ["https://user:password@pay.invalid/", "a URL with a password"], ["http://pay.invalid/", "http"], ["ftp://pay.invalid/", "ftp"], ["data:text/plain,pay", "data:"], ["кард", "letters that are not ASCII"]],
    (identifier, what) => both(`method identifier: ${what} is a RangeError (${JSON.stringify(identifier)})`, source((t, supportedMethods) => t.thrown(() => t.make([...t.methods(), { supportedMethods }])), identifier), "RangeError"),
  ),
  ...table(
    [["basic-card"], ["e"], ["n6jzof05mk2g4lhxr-u-q-w1-c-i-pa-ty-bdvs9-ho-ae7-p-md8-s-wq3-h-qd-e-q-sa"], ["https://pay.invalid/a/b?c#d"], ["https://pay.invalid:8443/"]],
    (identifier) => both(`method identifier: ${identifier} may stand beside another`, source((t, supportedMethods) => t.thrown(() => t.make([...t.methods(), { supportedMethods }])), identifier), "no exception"),
  ),
  both("method identifier: twice the same URL is a RangeError", (t) => t.thrown(() => t.make([...t.methods(), ...t.url(), ...t.url()])), "RangeError"),
  both("method identifier: twice the same standard method is a RangeError", (t) => t.thrown(() => t.make([...t.methods(), { supportedMethods: "basic-card" }, { supportedMethods: "basic-card" }])), "RangeError"),
  both("method identifier: twice the case's own method is a RangeError", (t) => t.thrown(() => t.make([t.entry(), t.entry()])), "RangeError"),
];

const data = [
  ...table(
    [["a string", '"data"'], ["a number", "1"], ["null", "null"], ["true", "true"], ["a symbol", 'Symbol("x")'], ["a BigInt", "1n"]],
    (what, value) => both(`data: ${what} is a TypeError`, `(t) => t.forData(${value})`, "TypeError"),
  ),
  both("data: a cycle is a TypeError", (t) => { const data = t.data(); data.self = data; return t.forData(data); }, "TypeError"),
  both("data: a BigInt in it is a TypeError", (t) => t.forData(t.data({ more: 1n })), "TypeError"),
  // Chromium differs from the standard in the next one: it takes a function for no data.
  fwp("data: a function is an object that has no JSON, a TypeError", (t) => t.forData(() => 1), "TypeError"),
  // And here: it throws a TypeError of its own instead.
  fwp("data: what its toJSON throws comes through", (t) => { const thrown = new Error("page's own"); try { t.make([t.entry({ data: { toJSON() { throw thrown; } } })]); return "no exception"; } catch (error) { return error === thrown; } }, true),
  both("data: its toJSON is what counts", (t) => t.forData({ toJSON: () => t.data() }), "no exception"),
  both("data: more than 1 MiB is a TypeError", (t) => t.forData(t.data({ more: "x".repeat(1024 * 1024) })), "TypeError"),
  both("data: 512 KiB are fine", (t) => t.forData(t.data({ more: "x".repeat(512 * 1024) })), "no exception"),
  both("data: of another method it is checked, too", (t) => t.thrown(() => t.make([...t.methods(), { supportedMethods: "basic-card", data: { n: 1n } }])), "TypeError"),
];

const amounts = [
  ...table(
    [["0"], ["0.0"], ["1"], ["1.00"], ["435.00"], ["00.10"], ["123456789012345678901234567890.1234567890"]],
    (value) => both(`amount: ${value} is a value`, source((t, value) => t.forTotal(value), value), "no exception"),
  ),
  ...table(
    [["-"], ["notdigits"], ["ALSONOTDIGITS"], ["10."], [".99"], ["-10."], ["-.99"], ["10-"], ["1-0"], ["1.0.0"], ["1/3"], [""], [" 1.0  "], [" 1.0 "], ["1.0 "], ["USD$1.0"], ["$1.0"], ["1.0$"], ["435,00"], ["1e3"], ["+1"], ["0x10"], ["Infinity"], ["1.0\n"], ["\u0661"]],
    (value) => both(`amount: ${JSON.stringify(value)} is a TypeError`, source((t, value) => t.forTotal(value), value), "TypeError"),
  ),
  ...table([["-1"], ["-1.0"], ["-0"], ["-0.00"]], (value) => both(`total: ${value} is negative, a TypeError`, source((t, value) => t.forTotal(value), value), "TypeError")),
  both("amount: a number is converted to a string", (t) => t.forTotal(10), "no exception"),
  both("amount: null is the string null, a TypeError", (t) => t.forTotal(null), "TypeError"),
  both("amount: without a value it is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: t.total({ amount: { currency: "EUR" } }) }))), "TypeError"),
  both("amount: without a currency it is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: t.total({ amount: { value: "1" } }) }))), "TypeError"),
  both("amount: more than 1024 characters are a TypeError", (t) => t.forTotal("1".repeat(1025)), "TypeError"),
  ...table([["EUR"], ["usd"], ["Gbp"], ["XXX"], ["BTC"]], (currency) => both(`currency: ${currency} is well-formed`, source((t, currency) => t.forTotal("1", currency), currency), "no exception")),
  ...table([[""], ["€"], ["$"], ["USDO"], ["US"], ["US1"], ["U$D"], ["123"], ["\u212au\u212a"], ["EUR "]], (currency) => both(`currency: ${JSON.stringify(currency)} is a RangeError`, source((t, currency) => t.forTotal("1", currency), currency), "RangeError")),
  both("currency: wrong, it counts before a wrong value", (t) => t.forTotal("x", "x"), "RangeError"),
  both("total: null has no amount, a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: null }))), "TypeError"),
  both("total: a string is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: "1.00" }))), "TypeError"),
  both("total: without an amount it is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: { label: t.label } }))), "TypeError"),
  both("total: without a label it is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ total: { amount: t.amount() } }))), "TypeError"),
  both("details: a wrong method counts before a wrong total", (t) => t.thrown(() => t.make([{ supportedMethods: "no method" }], t.details({ total: t.total({ amount: t.amount("x") }) }))), "RangeError"),
  both("id: is kept as it is", (t) => t.make(t.methods(), t.details({ id: "my order" })).id, "my order"),
  both("id: is converted to a string", (t) => t.make(t.methods(), t.details({ id: 42 })).id, "42"),
  both("id: more than 1024 characters are a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ id: "x".repeat(1025) }))), "TypeError"),
  both("id: 1024 characters are fine", (t) => t.make(t.methods(), t.details({ id: "x".repeat(1024) })).id.length, 1024),
];

// Items and modifiers are refused with our method, so these are about a URL method in every context.
const items = [
  both("id: of another method, it is made up if it is missing", (t) => /^[0-9a-f-]{36}$/.test(t.make(t.url(), t.plain({ id: undefined })).id), true),
  both("displayItems: good ones are fine, negative and empty, too", (t) => [t.thrown(() => t.make(t.url(), t.plain({ displayItems: [t.item("-1"), t.item("2")] }))), t.thrown(() => t.make(t.url(), t.plain({ displayItems: [] })))], ["no exception", "no exception"]),
  both("displayItems: no list is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: {} }))), "TypeError"),
  both("displayItems: a wrong value is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: [t.item("x")] }))), "TypeError"),
  both("displayItems: a wrong currency is a RangeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: [t.item("1", "x")] }))), "RangeError"),
  both("displayItems: an item without a label is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: [{ amount: t.amount() }] }))), "TypeError"),
  both("displayItems: more than 1024 are a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: Array(1025).fill(t.item("1")) }))), "TypeError"),
  both("displayItems: a label of more than 1024 characters is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ displayItems: [{ ...t.item("1"), label: "x".repeat(1025) }] }))), "TypeError"),
  both("modifiers: good ones are fine", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ supportedMethods: "basic-card", total: t.item("1"), additionalDisplayItems: [t.item("-1")], data: {} }] }))), "no exception"),
  both("modifiers: a negative total is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ supportedMethods: "basic-card", total: t.item("-1") }] }))), "TypeError"),
  both("modifiers: a wrong additional item is a RangeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ supportedMethods: "basic-card", additionalDisplayItems: [t.item("1", "x")] }] }))), "RangeError"),
  both("modifiers: without a method it is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ total: t.item("1") }] }))), "TypeError"),
  both("modifiers: a wrong method is a RangeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ supportedMethods: "no method" }] }))), "RangeError"),
  both("modifiers: data without JSON is a TypeError", (t) => t.thrown(() => t.make(t.url(), t.plain({ modifiers: [{ supportedMethods: "basic-card", data: { n: 1n } }] }))), "TypeError"),
];

const ours = [
  fwp("FWP: the document's own sample is made", (t) => {
    const methodData = [{ supportedMethods: "fido-web-pay/v1", data: { payeeName: "Space Shop", networks: [{ id: "https://mastercard.com/fwp" }, { id: "https://visa.com/fwp" }, { id: "https://banknet2.org", networkOptions: "additional stuff..." }] } }];
    return t.make(methodData, { id: "7040566321", total: { label: null, amount: { currency: "EUR", value: "435.00" } } }).id;
  }, "7040566321"),
  ...table(
    [["a string", '"Total"'], ['the string "null"', '"null"'], ["empty", '""'], ["0", "0"], ["false", "false"]],
    (what, value) => fwp(`FWP: a label that is ${what} is a TypeError`, `(t) => t.thrown(() => t.make(t.methods(), t.details({ total: t.total({ label: ${value} }) })))`, "TypeError"),
  ),
  fwp("FWP: displayItems are a TypeError, also an empty list", (t) => [t.thrown(() => t.make(t.methods(), t.details({ displayItems: [t.item("1")] }))), t.thrown(() => t.make(t.methods(), t.details({ displayItems: [] })))], ["TypeError", "TypeError"]),
  fwp("FWP: modifiers are a TypeError, also an empty list", (t) => [t.thrown(() => t.make(t.methods(), t.details({ modifiers: [{ supportedMethods: t.method }] }))), t.thrown(() => t.make(t.methods(), t.details({ modifiers: [] })))], ["TypeError", "TypeError"]),
  fwp("FWP: displayItems undefined are as good as none", (t) => t.thrown(() => t.make(t.methods(), t.details({ displayItems: undefined, modifiers: undefined }))), "no exception"),
  fwp("FWP: a missing id is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ id: undefined }))), "TypeError"),
  fwp("FWP: an empty id is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ id: "" }))), "TypeError"),
  fwp("FWP: an id with a line break is a TypeError", (t) => t.thrown(() => t.make(t.methods(), t.details({ id: "1\n2" }))), "TypeError"),
  fwp("FWP: an amount of more than 64 characters is a TypeError", (t) => t.forTotal("9".repeat(65)), "TypeError"),
  fwp("FWP: missing data are a TypeError", (t) => t.thrown(() => t.make([{ supportedMethods: t.method }])), "TypeError"),
  fwp("FWP: data that are an array are a TypeError", (t) => t.forData([t.data()]), "TypeError"),
  fwp("FWP: data whose toJSON gives no object are a TypeError", (t) => t.forData({ toJSON: () => "x" }), "TypeError"),
  ...table(
    [["missing", "undefined"], ["empty", '""'], ["a number", "1"], ["null", "null"], ["too long", '"x".repeat(257)'], ["with a right-to-left override", '"Space\\u202ePohs"'], ["with a control character", '"Space\\u0007Shop"'], ["with a lone surrogate", '"Space\\ud800"']],
    (what, value) => fwp(`FWP: payeeName ${what} is a TypeError`, `(t) => t.forData(t.data({ payeeName: ${value} }))`, "TypeError"),
  ),
  fwp("FWP: payeeName may be in any script", (t) => [t.forData(t.data({ payeeName: "店舗 🛒" })), t.forData(t.data({ payeeName: "متجر" }))], ["no exception", "no exception"]),
  ...table(
    [["missing", "undefined"], ["null", "null"], ["an empty array", "[]"], ["an object", '{ id: "https://banknet2.org" }'], ["a string", '"https://banknet2.org"'], ["an array of strings", '["https://banknet2.org"]'], ["with an array in it", '[["https://banknet2.org"]]'], ["65 of them", "Array.from({ length: 65 }, (_, i) => ({ id: `n${i}` }))"]],
    (what, value) => fwp(`FWP: networks ${what} is a TypeError`, `(t) => t.forData(t.data({ networks: ${value} }))`, "TypeError"),
  ),
  ...table(
    [["without an id", "{}"], ["with an empty id", '{ id: "" }'], ["with an id that is a number", "{ id: 1 }"], ["with an unknown attribute", '{ id: "n", options: 1 }'], ["with a fraction in networkOptions", '{ id: "n", networkOptions: { a: 1.5 } }'], ["with a number above 2^53 in networkOptions", '{ id: "n", networkOptions: [9007199254740994] }'], ["with a number below -2^53 in networkOptions", '{ id: "n", networkOptions: [-9007199254740994] }'], ["with networkOptions too deep", '{ id: "n", networkOptions: JSON.parse("[".repeat(65) + "]".repeat(65)) }'], ["with networkOptions too large", '{ id: "n", networkOptions: "x".repeat(262144) }'], ["with a lone surrogate in networkOptions", '{ id: "n", networkOptions: "\\udc00" }']],
    (what, value) => fwp(`FWP: a network ${what} is a TypeError`, `(t) => t.forData(t.data({ networks: [${value}] }))`, "TypeError"),
  ),
  ...table(
    [["null", "null"], ["true", "true"], ["a string", '"additional stuff..."'], ["2^53", "9007199254740992"], ["-2^53", "-9007199254740992"], ["1.0", "1.0"], ["nested", '{ a: [1, { b: null }], "": "" }'], ["64 levels deep", 'JSON.parse("[".repeat(64) + "]".repeat(64))']],
    (what, value) => fwp(`FWP: networkOptions ${what} is fine`, `(t) => t.forData(t.data({ networks: [{ id: "n", networkOptions: ${value} }] }))`, "no exception"),
  ),
  fwp("FWP: two networks with the same id are a TypeError (the paper's attack B)", (t) => t.forData(t.data({ networks: [{ id: "n", networkOptions: 1 }, { id: "n", networkOptions: 2 }] })), "TypeError"),
  fwp("FWP: our method twice is a RangeError, with different data, too (the paper's attack B)", (t) => t.thrown(() => t.make([t.entry(), t.entry({ data: t.data({ payeeName: "Moon Shop" }) })])), "RangeError"),
  fwp("FWP: our method among others is ours, first or last", (t) => [t.make([...t.methods(), ...t.url()]).id, t.make([...t.url(), ...t.methods()]).id], ["7040566321", "7040566321"]),
  fwp("FWP: among others, too, the label must be null", (t) => t.thrown(() => t.make([...t.methods(), ...t.url()], t.plain())), "TypeError"),
  fwp("FWP: 10 MB of networkOptions are a TypeError", (t) => t.forData(t.data({ networks: [{ id: "n", networkOptions: "x".repeat(10_000_000) }] })), "TypeError"),
];

const shape = [
  both("interface: PaymentRequest is a writable, configurable property of the window that is not enumerable", () => { const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(window, "PaymentRequest"); return [writable, enumerable, configurable]; }, [true, false, true]),
  both("interface: names", () => [PaymentRequest.name, PaymentResponse.name, PaymentRequestUpdateEvent.name, PaymentMethodChangeEvent.name], ["PaymentRequest", "PaymentResponse", "PaymentRequestUpdateEvent", "PaymentMethodChangeEvent"]),
  both("interface: what inherits from what", () => [Object.getPrototypeOf(PaymentRequest) === EventTarget, Object.getPrototypeOf(PaymentRequest.prototype) === EventTarget.prototype, Object.getPrototypeOf(PaymentResponse) === EventTarget, Object.getPrototypeOf(PaymentRequestUpdateEvent) === Event, Object.getPrototypeOf(PaymentMethodChangeEvent) === PaymentRequestUpdateEvent], [true, true, true, true, true]),
  both("interface: prototype can't be replaced", () => { const { writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(PaymentRequest, "prototype"); return [writable, enumerable, configurable]; }, [false, false, false]),
  both("interface: constructor is PaymentRequest", (t) => [PaymentRequest.prototype.constructor === PaymentRequest, t.make().constructor === PaymentRequest, Object.getOwnPropertyDescriptor(PaymentRequest.prototype, "constructor").enumerable], [true, true, false]),
  both("interface: methods are enumerable, writable and configurable", () => ["show", "abort", "canMakePayment"].map((name) => { const { writable, enumerable, configurable, value } = Object.getOwnPropertyDescriptor(PaymentRequest.prototype, name); return [value.name, value.length, writable, enumerable, configurable]; }), [["show", 0, true, true, true], ["abort", 0, true, true, true], ["canMakePayment", 0, true, true, true]]),
  both("interface: id is a getter without a setter", () => { const { get, set, enumerable, configurable } = Object.getOwnPropertyDescriptor(PaymentRequest.prototype, "id"); return [get.name, set === undefined, enumerable, configurable]; }, ["get id", true, true, true]),
  both("interface: onpaymentmethodchange is an accessor", () => { const { get, set, enumerable } = Object.getOwnPropertyDescriptor(PaymentRequest.prototype, "onpaymentmethodchange"); return [get.name, set.name, enumerable]; }, ["get onpaymentmethodchange", "set onpaymentmethodchange", true]),
  both("interface: PaymentResponse's members", () => ["requestId", "methodName", "details", "complete", "retry", "toJSON"].map((name) => name in PaymentResponse.prototype), [true, true, true, true, true, true]),
  both("interface: toString says what it is", (t) => [Object.prototype.toString.call(t.make()), String(PaymentResponse.prototype)], ["[object PaymentRequest]", "[object PaymentResponse]"]),
  both("interface: an object has no own properties", (t) => Reflect.ownKeys(t.make()).length, 0),
  both("interface: instanceof", (t) => [t.make() instanceof PaymentRequest, t.make() instanceof EventTarget, {} instanceof PaymentRequest], [true, true, false]),
  both("interface: methods are no constructors", () => { try { new PaymentRequest.prototype.show(); return "made"; } catch (error) { return error instanceof TypeError; } }, true),
  both("interface: a getter on something else is a TypeError", (t) => [t.thrown(() => PaymentRequest.prototype.id), t.thrown(() => Reflect.get(PaymentRequest.prototype, "id", {})), t.thrown(() => PaymentResponse.prototype.details)], ["TypeError", "TypeError", "TypeError"]),
  both("interface: a method on something else is a promise rejected with a TypeError", async (t) => [await t.rejected(PaymentRequest.prototype.show.call({})), await t.rejected(PaymentRequest.prototype.abort.call(new EventTarget())), await t.rejected(PaymentRequest.prototype.canMakePayment.call(Object.create(t.make())))], ["TypeError", "TypeError", "TypeError"]),
  both("interface: a Proxy around a request is something else", async (t) => t.rejected(PaymentRequest.prototype.abort.call(new Proxy(t.make(), {}))), "TypeError"),
  both("interface: PaymentResponse cannot be constructed", (t) => t.thrown(() => new PaymentResponse()), "TypeError"),
  both("interface: a class can extend it", (t) => { class Shop extends PaymentRequest { name() { return `shop ${this.id}`; } } const shop = new Shop(t.methods(), t.details()); return [shop.name(), shop instanceof Shop, shop instanceof PaymentRequest, Object.getPrototypeOf(shop) === Shop.prototype]; }, ["shop 7040566321", true, true, true]),
  both("interface: Reflect.construct with another newTarget", (t) => { function Other() {} const made = Reflect.construct(PaymentRequest, [t.methods(), t.details()], Other); return [Object.getPrototypeOf(made) === Other.prototype, Reflect.get(PaymentRequest.prototype, "id", made)]; }, [true, "7040566321"]),
  both("interface: promises are the page's", (t) => { const promise = t.make().abort(); promise.catch(() => {}); return [promise instanceof Promise, Object.getPrototypeOf(promise) === Promise.prototype]; }, [true, true]),
  both("interface: each call gives a new promise", (t) => { const request = t.make(); const [one, two] = [request.abort(), request.abort()]; one.catch(() => {}); two.catch(() => {}); return one !== two; }, true),
  both("events: a request is a target for events", (t) => { const request = t.make(); let heard = 0; request.addEventListener("anything", () => { heard += 1; }, { once: true }); request.dispatchEvent(new Event("anything")); request.dispatchEvent(new Event("anything")); return heard; }, 1),
  both("events: onpaymentmethodchange is null at first, and what can't be a handler is null", (t) => { const request = t.make(); const before = request.onpaymentmethodchange; request.onpaymentmethodchange = 5; return [before, request.onpaymentmethodchange]; }, [null, null]),
  both("events: onpaymentmethodchange is called with the event, its this is the request", (t) => { const request = t.make(); const log = []; request.onpaymentmethodchange = function (event) { log.push(this === request, event.type); }; request.dispatchEvent(new PaymentMethodChangeEvent("paymentmethodchange")); return log; }, [true, "paymentmethodchange"]),
  both("events: onpaymentmethodchange keeps its place when it is replaced, and goes with null", (t) => { const request = t.make(); const log = []; request.onpaymentmethodchange = () => log.push("first"); request.addEventListener("paymentmethodchange", () => log.push("listener")); request.onpaymentmethodchange = () => log.push("second"); const event = () => new PaymentMethodChangeEvent("paymentmethodchange"); request.dispatchEvent(event()); request.onpaymentmethodchange = null; request.dispatchEvent(event()); return log; }, ["second", "listener", "listener"]),
  both("events: PaymentRequestUpdateEvent without a type is a TypeError", (t) => t.thrown(() => new PaymentRequestUpdateEvent()), "TypeError"),
  both("events: PaymentRequestUpdateEvent takes EventInit", () => { const event = new PaymentRequestUpdateEvent("test", { bubbles: true, cancelable: true }); return [event.type, event.bubbles, event.cancelable, event.isTrusted, event instanceof Event, String(event)]; }, ["test", true, true, false, true, "[object PaymentRequestUpdateEvent]"]),
  both("events: PaymentMethodChangeEvent has methodName and methodDetails", () => { const details = { a: 1 }; const event = new PaymentMethodChangeEvent("test", { methodName: "basic-card", methodDetails: details }); const empty = new PaymentMethodChangeEvent("test"); return [event.methodName, event.methodDetails === details, empty.methodName, empty.methodDetails, event instanceof PaymentRequestUpdateEvent]; }, ["basic-card", true, "", null, true]),
  both("events: methodDetails that are a string are a TypeError", (t) => t.thrown(() => new PaymentMethodChangeEvent("test", { methodDetails: "x" })), "TypeError"),
  both("events: updateWith() of a page's own event is an InvalidStateError", (t) => t.thrown(() => new PaymentRequestUpdateEvent("test").updateWith(Promise.resolve({}))), "DOMException InvalidStateError"),
  both("events: updateWith() of a page's own event is one while it is dispatched, too", (t) => { const request = t.make(); let verdict; request.onpaymentmethodchange = (event) => { verdict = t.thrown(() => event.updateWith({})); }; request.dispatchEvent(new PaymentMethodChangeEvent("paymentmethodchange")); return verdict; }, "DOMException InvalidStateError"),
  both("events: updateWith() without an argument is a TypeError", (t) => t.thrown(() => new PaymentRequestUpdateEvent("test").updateWith()), "TypeError"),
];

const states = [
  both("abort(): before show() it is an InvalidStateError", (t) => t.rejected(t.make().abort()), "DOMException InvalidStateError"),
  fwp("show(): without a gesture it is a SecurityError", (t) => t.rejected(t.make().show()), "DOMException SecurityError"),
  fwp("show(): refused for want of a gesture, it leaves the request as it was", async (t) => { const request = t.make(); return [await t.rejected(request.show()), await t.rejected(request.show()), await t.rejected(request.abort())]; }, ["DOMException SecurityError", "DOMException SecurityError", "DOMException InvalidStateError"]),
  fwp("canMakePayment(): gives true or false, more than once", async (t) => { const request = t.make(); return [typeof (await request.canMakePayment()), typeof (await request.canMakePayment())]; }, ["boolean", "boolean"]),
  { ...fwp("canMakePayment(): without our method it is false in Firefox", (t) => t.make(t.url(), t.plain()).canMakePayment(), false), only: "firefox", reason: "Chromium's native class answers for a URL method" },
  { ...click("show(): without our method it is a NotSupportedError in Firefox", async (t) => { const request = t.make(t.url(), t.plain()); return [await t.rejected(request.show()), await t.rejected(request.show()), await t.rejected(request.abort()), await t.rejected(request.canMakePayment())]; }, ["DOMException NotSupportedError", "DOMException InvalidStateError", "DOMException InvalidStateError", "DOMException InvalidStateError"]), only: "firefox", reason: "Chromium's native class answers for a URL method" },
  wallet("show(): twice is an InvalidStateError", ["hold"], async (t) => { const request = t.make(); const first = request.show(); const second = await t.rejected(request.show()); await request.abort(); return [second, await t.rejected(first)]; }, ["DOMException InvalidStateError", "DOMException AbortError"]),
  wallet("canMakePayment(): after show() it is an InvalidStateError", ["hold"], async (t) => { const request = t.make(); const shown = request.show(); const verdict = await t.rejected(request.canMakePayment()); await request.abort(); await t.rejected(shown); return [verdict, await t.rejected(request.canMakePayment())]; }, ["DOMException InvalidStateError", "DOMException InvalidStateError"]),
  wallet("show(): another one while one is showing is an AbortError, and closes that request", ["hold"], async (t) => { const one = t.make(); const two = t.make(); const shown = one.show(); const other = [await t.rejected(two.show()), await t.rejected(two.show()), await t.rejected(two.abort())]; await one.abort(); return [...other, await t.rejected(shown)]; }, ["DOMException AbortError", "DOMException InvalidStateError", "DOMException InvalidStateError", "DOMException AbortError"]),
  wallet("abort(): while showing, it resolves with undefined and the other promise is an AbortError", ["hold"], async (t) => { const request = t.make(); const shown = request.show(); const result = await request.abort(); return [result === undefined, await t.rejected(shown), await t.rejected(request.abort())]; }, [true, "DOMException AbortError", "DOMException InvalidStateError"]),
  wallet("abort(): twice at once, both resolve", ["hold"], async (t) => { const request = t.make(); const shown = request.show(); const done = await Promise.all([request.abort(), request.abort()]); return [done.length, await t.rejected(shown)]; }, [2, "DOMException AbortError"]),
  wallet("show(): declined is an AbortError, and the request is closed", ["decline"], async (t) => { const request = t.make(); return [await t.rejected(request.show()), await t.rejected(request.show()), await t.rejected(request.abort()), await t.rejected(request.canMakePayment())]; }, ["DOMException AbortError", "DOMException InvalidStateError", "DOMException InvalidStateError", "DOMException InvalidStateError"]),
  wallet("show(): approved is a PaymentResponse", ["approve"], async (t) => { const response = await t.make().show(); const verdict = [response instanceof PaymentResponse, response.requestId, response.methodName, Object.keys(response.details).sort(), Object.getPrototypeOf(response.details) === Object.prototype, response.details === response.details]; await response.complete("success"); return verdict; }, [true, "7040566321", "fido-web-pay/v1", ["issuerId", "paymentNetworkId", "userAuthorization"], true, true]),
  wallet("response: toJSON has its attributes", ["approve"], async (t) => { const response = await t.make().show(); const json = JSON.parse(JSON.stringify(response)); await response.complete("success"); return [json.requestId, json.methodName, json.details.paymentNetworkId]; }, ["7040566321", "fido-web-pay/v1", "https://banknet2.org"]),
  wallet("complete(): resolves with undefined, once", ["approve"], async (t) => { const response = await t.make().show(); return [(await response.complete("success")) === undefined, await t.rejected(response.complete("success")), await t.rejected(response.retry())]; }, [true, "DOMException InvalidStateError", "DOMException InvalidStateError"]),
  wallet("complete(): needs no argument", ["approve"], async (t) => { const response = await t.make().show(); return t.rejected(response.complete()); }, "fulfilled"),
  wallet("complete(): an unknown result is a TypeError, and changes nothing", ["approve"], async (t) => { const response = await t.make().show(); return [await t.rejected(response.complete("done")), await t.rejected(response.complete("fail"))]; }, ["TypeError", "fulfilled"]),
  wallet("complete(): details that have no JSON are a TypeError, and change nothing", ["approve"], async (t) => { const response = await t.make().show(); return [await t.rejected(response.complete("success", { data: { n: 1n } })), await t.rejected(response.complete("success", { data: { n: 1 } }))]; }, ["TypeError", "fulfilled"]),
  wallet("abort(): after the response it is an InvalidStateError", ["approve"], async (t) => { const request = t.make(); const response = await request.show(); const verdict = await t.rejected(request.abort()); await response.complete("success"); return verdict; }, "DOMException InvalidStateError"),
  wallet("show(): until complete() another one is an AbortError", ["approve"], async (t) => { const response = await t.make().show(); const verdict = await t.rejected(t.make().show()); await response.complete("success"); return ["DOMException AbortError", "DOMException SecurityError"].includes(verdict); }, true),
  wallet("retry(): approved again, it resolves with undefined and there are new details", ["approve", "approve"], async (t) => { const response = await t.make().show(); const before = response.details; const result = await response.retry({ error: "Please try again" }); const verdict = [result === undefined, response.details !== before, response.details.userAuthorization !== before.userAuthorization]; await response.complete("success"); return verdict; }, [true, true, true]),
  wallet("retry(): declined is an AbortError, and the response is complete", ["approve", "decline"], async (t) => { const response = await t.make().show(); return [await t.rejected(response.retry()), await t.rejected(response.complete("fail")), await t.rejected(response.retry())]; }, ["DOMException AbortError", "DOMException InvalidStateError", "DOMException InvalidStateError"]),
  wallet("retry(): while retrying, retry(), complete() and abort() are InvalidStateErrors", ["approve", "approve"], async (t) => { const request = t.make(); const response = await request.show(); const retry = response.retry(); const verdict = [await t.rejected(response.retry()), await t.rejected(response.complete("success")), await t.rejected(request.abort())]; await retry; await response.complete("success"); return verdict; }, ["DOMException InvalidStateError", "DOMException InvalidStateError", "DOMException InvalidStateError"]),
  wallet("retry(): fields that are no object are a TypeError, and change nothing", ["approve"], async (t) => { const response = await t.make().show(); return [await t.rejected(response.retry("again")), await t.rejected(response.retry({ paymentMethod: 1 })), await t.rejected(response.complete("fail"))]; }, ["TypeError", "TypeError", "fulfilled"]),
  wallet("show(details): the promise's total is what is shown and paid", ["approve"], async (t) => { const response = await t.make().show(Promise.resolve({ total: t.total({ amount: t.amount("2.50") }) })); return t.rejected(response.complete("success")); }, "fulfilled"),
  wallet("show(details): an empty object changes nothing", ["approve"], async (t) => { const response = await t.make().show({}); return t.rejected(response.complete("success")); }, "fulfilled"),
  click("show(details): a rejected promise is an AbortError", async (t) => { const request = t.make(); return [await t.rejected(request.show(Promise.reject(new Error("no price")))), await t.rejected(request.abort())]; }, ["DOMException AbortError", "DOMException InvalidStateError"]),
  click("show(details): a wrong total is what its check throws", async (t) => t.rejected(t.make().show(Promise.resolve({ total: t.total({ amount: t.amount("x") }) }))), "TypeError"),
  click("show(details): a wrong currency is a RangeError", async (t) => t.rejected(t.make().show(Promise.resolve({ total: t.total({ amount: t.amount("1", "x") }) }))), "RangeError"),
  click("show(details): a negative total is a TypeError", async (t) => t.rejected(t.make().show(Promise.resolve({ total: t.total({ amount: t.amount("-1") }) }))), "TypeError"),
  click("show(details): no dictionary is a TypeError", async (t) => t.rejected(t.make().show(Promise.resolve("details"))), "TypeError"),
  click("show(details): FWP's label and items count here, too", async (t) => t.rejected(t.make().show(Promise.resolve({ total: { label: "Total", amount: t.amount() } }))), "TypeError"),
  click("abort(): while the details are awaited, it ends the request", async (t) => { const request = t.make(); const shown = request.show(new Promise(() => {})); const before = await t.settled(shown); await request.abort(); return [before, await t.rejected(shown)]; }, ["pending", "DOMException AbortError"]),
];

/** All cases; no two have the same name. */
export const cases = [...args, ...methodData, ...identifiers, ...data, ...amounts, ...items, ...ours, ...shape, ...states];
