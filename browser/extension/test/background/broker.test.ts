import assert from "node:assert/strict";
import { test } from "node:test";
import { Broker, type FramePort, type Host } from "../../src/background/broker";
import { Failure } from "../../src/shared/errors";
import type { Json } from "../../src/shared/json";
import { DEFAULTS, type Settings } from "../../src/shared/settings";

type Sent = [string, Readonly<Record<string, unknown>>];

/** A host that names payments and enrollments as the real one does. */
class TestHost implements Host {
  connected = true;
  readonly sent: Sent[] = [];
  fail: Failure | null = null;
  hold: Promise<void> | null = null;
  #next = 40;

  async request(method: string, params: unknown): Promise<Json> {
    this.sent.push([method, params as Sent[1]]);
    if (this.hold !== null) await this.hold;
    if (this.fail !== null && method !== "forget") throw this.fail;
    this.#next += 1;
    if (method === "createPayment" || method === "createMozPayment") return { payment: `p${this.#next}` };
    if (method === "beginEnrollment") return { enrollment: `e${this.#next}` };
    return method === "canMakePayment" ? true : null;
  }

  settle(): void {
    // The link's own tests are about this.
  }

  of(method: string): Sent[1][] {
    return this.sent.filter(([sent]) => sent === method).map(([, params]) => params);
  }
}

class Frame implements FramePort {
  readonly said: unknown[] = [];
  readonly host: string;
  /** When the person clicked in it: in the tests always anew. */
  gesture: number | null = Number.MAX_SAFE_INTEGER;
  #nextId = 1;

  constructor(
    readonly broker: Broker,
    readonly tab = 1,
    readonly origin = "https://shop.example",
  ) {
    this.host = new URL(origin).hostname;
    broker.connected(this);
  }

  send(message: unknown): void {
    this.said.push(message);
  }

  async ask(method: string, params: object): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#nextId;
    this.#nextId += 1;
    await this.broker.received(this, { id, method, params, gesture: this.gesture });
    return this.said.find((one) => (one as { id?: number }).id === id) as Readonly<Record<string, unknown>>;
  }

  create(): Promise<Readonly<Record<string, unknown>>> {
    return this.ask("createPayment", { methodData: "[]", details: "{}" });
  }
}

function errorName(answer: Readonly<Record<string, unknown>>): string {
  return (answer["error"] as { name: string } | undefined)?.name ?? "no error";
}

function start(settings: Partial<Settings> = {}, answer = (): Response => new Response("{}"), trusted = true): { host: TestHost; broker: Broker } {
  const host = new TestHost();
  const network = { fetch: () => Promise.resolve(answer()), sleep: () => Promise.resolve() };
  const broker = new Broker(host, network, () => Promise.resolve({ ...DEFAULTS, ...settings }), () => Promise.resolve(trusted));
  return { host, broker };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("the origin that the host hears is the browser's", async () => {
  const { host, broker } = start();
  await new Frame(broker).create();
  assert.deepEqual(host.of("createPayment"), [{ methodData: "[]", details: "{}", origin: "https://shop.example" }]);
});

test("each frame has names of its own, and can't name another's payment", async () => {
  const { host, broker } = start();
  const one = new Frame(broker, 1);
  const other = new Frame(broker, 2, "https://other.example");
  assert.deepEqual((await one.create())["result"], { payment: "p1" });
  assert.deepEqual((await other.create())["result"], { payment: "p1" });
  await other.ask("abort", { payment: "p1" });
  assert.deepEqual(host.of("abort"), [{ payment: "p42" }]);
  for (const name of ["p41", "p42", "p2", "e1"]) {
    assert.equal(errorName(await other.ask("show", { payment: name })), "fwp-host.Unknown");
  }
});

test("events go to the frame whose payment it is, under its name", async () => {
  const { broker } = start();
  const one = new Frame(broker, 1);
  const other = new Frame(broker, 2);
  await one.create();
  await other.create();
  broker.event({ event: "response", payment: "p42", details: { issuerId: "i" } });
  assert.equal(one.said.length, 1);
  assert.deepEqual(other.said[1], { event: "response", payment: "p1", details: { issuerId: "i" } });
  broker.event({ event: "closed", payment: "p99", reason: "completed", message: "" });
  assert.equal(one.said.length + other.said.length, 3);
});

test("one payment at a time in a tab, over all its frames, and another one after it has closed", async () => {
  const { broker } = start();
  const top = new Frame(broker, 1);
  const inner = new Frame(broker, 1);
  const elsewhere = new Frame(broker, 2);
  await top.create();
  assert.equal(errorName(await inner.create()), "fwp-host.Showing");
  assert.equal(errorName(await top.create()), "fwp-host.Showing");
  assert.equal(errorName(await elsewhere.create()), "no error");
  broker.event({ event: "closed", payment: "p41", reason: "completed", message: "" });
  assert.equal(errorName(await inner.create()), "no error");
});

test("a tab is free when its page hears that complete() is done, and what closes then leaves the next payment its tab", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  await frame.create();
  await frame.ask("complete", { payment: "p1", result: "success" });
  assert.equal(errorName(await frame.create()), "no error");
  broker.event({ event: "closed", payment: "p41", reason: "completed", message: "" });
  assert.equal(errorName(await frame.create()), "fwp-host.Showing");
  assert.equal(host.of("createPayment").length, 2);
});

test("a click that was used in a frame is used in all frames of its tab, and in no other tab", async () => {
  const { broker } = start();
  const frames = [1, 1, 1, 2].map((tab) => Object.assign(new Frame(broker, tab), { gesture: null as number | null }));
  const [top, inner, reloaded, elsewhere] = frames as [Frame, Frame, Frame, Frame];
  await top.create();
  broker.event({ event: "closed", payment: "p41", reason: "completed", message: "" });
  assert.equal(errorName(await inner.create()), "fwp-host.Refused");
  assert.equal(errorName(await inner.ask("beginEnrollment", { offer: "{}" })), "fwp-host.Refused");
  assert.equal(errorName(await elsewhere.create()), "no error");
  inner.gesture = Date.now() - 10_000;
  assert.equal(errorName(await inner.create()), "fwp-host.Refused");
  reloaded.gesture = Date.now() + 1;
  assert.equal(errorName(await reloaded.create()), "no error");
});

test("a payment that the host refuses leaves the tab free", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  host.fail = new Failure("io.github.fwpd.Error.InvalidRequest", "no");
  assert.equal(errorName(await frame.create()), "io.github.fwpd.Error.InvalidRequest");
  host.fail = null;
  assert.equal(errorName(await frame.create()), "no error");
});

test("a payment that can't be shown is over and forgotten", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  await frame.create();
  host.fail = new Failure("io.github.fwpd.Error.NoAgent", "no dialog");
  assert.equal(errorName(await frame.ask("show", { payment: "p1" })), "io.github.fwpd.Error.NoAgent");
  assert.deepEqual(host.of("forget"), [{ payments: ["p41"], enrollments: [] }]);
  assert.equal(broker.busy, false);
});

test("a page that goes has its payments and enrollments forgotten", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  await frame.create();
  await frame.ask("beginEnrollment", { offer: "{}" });
  broker.disconnected(frame);
  assert.deepEqual(host.of("forget"), [{ payments: ["p41"], enrollments: ["e42"] }]);
  assert.equal(broker.busy, false);
});

test("a page that goes while its payment is being made: the payment is forgotten when its name is known", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  let go: () => void = () => undefined;
  host.hold = new Promise((resolve) => (go = resolve));
  const create = frame.create();
  await turns();
  broker.disconnected(frame);
  go();
  await create;
  assert.deepEqual(host.of("forget"), [{ payments: ["p41"], enrollments: [] }]);
  assert.deepEqual([broker.busy, frame.said], [false, []]);
});

test("a page is told nothing of what the wallet told the person", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  await frame.create();
  broker.event({ event: "closed", payment: "p41", reason: "io.github.fwpd.Error.LimitReached", message: "EUR 437.50 are left" });
  host.fail = new Failure("fwp-host.NotRunning", "unix:path=/run/user/1000/bus");
  await frame.create();
  assert.doesNotMatch(JSON.stringify(frame.said), /437|unix/);
  assert.match(JSON.stringify(frame.said), /LimitReached.*NotRunning/);
});

test("when the host goes, every payment ends, the tab is free, and nothing is sent to start another host", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  await frame.create();
  host.connected = false;
  const sent = host.sent.length;
  broker.gone({ name: "fwp-host.Gone", message: "gone" });
  assert.deepEqual(frame.said[1], { event: "closed", payment: "p1", reason: "fwp-host.Gone", message: "the wallet has ended, or does not answer any more" });
  broker.disconnected(frame);
  assert.deepEqual([host.sent.length, broker.busy], [sent, false]);
});

test("what is switched off is refused, though a page may still have the script", async () => {
  for (const settings of [{ enabled: false }, { offHosts: ["shop.example"] }]) {
    const { host, broker } = start(settings);
    const frame = new Frame(broker);
    assert.equal(errorName(await frame.create()), "fwp-host.Refused");
    assert.equal(errorName(await frame.ask("canMakePayment", {})), "fwp-host.Refused");
    assert.equal(errorName(await frame.ask("beginEnrollment", { offer: "{}" })), "fwp-host.Refused");
    assert.equal(host.sent.length, 0);
  }
});

test("mozPay is refused unless the person switched it on", async () => {
  const { host, broker } = start();
  assert.equal(errorName(await new Frame(broker).ask("createMozPayment", { requests: ["a.b.c"] })), "fwp-host.Refused");
  assert.equal(host.sent.length, 0);
});

test("a site with a wrong certificate is refused, and its tab is left free", async () => {
  const { host, broker } = start({}, undefined, false);
  const frame = new Frame(broker);
  assert.equal(errorName(await frame.create()), "fwp-host.Refused");
  assert.equal(errorName(await frame.ask("beginEnrollment", { offer: "{}" })), "fwp-host.Refused");
  assert.deepEqual([host.sent.length, broker.busy], [0, false]);
});

const RESPONSE = {
  event: "response",
  payment: "p41",
  details: { issuerId: "i" },
  delivery: { url: "https://psp.example/", typ: "t", request: "a.b.c" },
} as const;

test("a mozPay authorization goes to the provider, not to the page, which hears the transaction only", async () => {
  const booked = (): Response => new Response('{"status": "booked", "transactionID": "t-1"}');
  const { host, broker } = start({ mozPay: true }, booked);
  const frame = new Frame(broker);
  await frame.ask("createMozPayment", { requests: ["a.b.c"] });
  broker.event(RESPONSE);
  await turns();
  assert.deepEqual(frame.said.slice(1), [{ event: "delivered", payment: "p1", result: { transactionID: "t-1" } }]);
  assert.deepEqual(host.of("complete"), [{ payment: "p41", result: "success" }]);
  broker.event({ event: "closed", payment: "p41", reason: "completed", message: "" });
  assert.deepEqual([frame.said.length, broker.busy], [2, false]);
});

test("a provider's refusal closes the payment with its reason, and the wallet hears that it failed", async () => {
  const refused = (): Response => new Response('{"error": "expired", "message": "too old"}', { status: 400 });
  const { host, broker } = start({ mozPay: true }, refused);
  const frame = new Frame(broker);
  await frame.ask("createMozPayment", { requests: ["a.b.c"] });
  broker.event(RESPONSE);
  await turns();
  const closed = { event: "closed", payment: "p1", reason: "fwp-provider.Refused", message: "expired: too old" };
  assert.deepEqual(frame.said.slice(1), [closed]);
  assert.deepEqual(host.of("complete"), [{ payment: "p41", result: "fail" }]);
});

test("a provider that was not understood may have booked: the wallet hears that nobody knows", async () => {
  const { host, broker } = start({ mozPay: true }, () => new Response("", { status: 502 }));
  await new Frame(broker).ask("createMozPayment", { requests: ["a.b.c"] });
  broker.event(RESPONSE);
  await turns();
  assert.deepEqual(host.of("complete"), [{ payment: "p41", result: "unknown" }]);
});

test("a delivery that ends after the host went leaves the tab to the payment that has it by then", async () => {
  let answer: (response: Response) => void = () => undefined;
  const host = new TestHost();
  const network = { fetch: () => new Promise<Response>((resolve) => (answer = resolve)), sleep: () => Promise.resolve() };
  const broker = new Broker(host, network, () => Promise.resolve({ ...DEFAULTS, mozPay: true }), () => Promise.resolve(true));
  const frame = new Frame(broker);
  await frame.ask("createMozPayment", { requests: ["a.b.c"] });
  broker.event(RESPONSE);
  broker.gone({ name: "fwp-host.Gone", message: "gone" });
  assert.equal(errorName(await frame.create()), "no error");
  answer(new Response('{"status": "booked", "transactionID": "t-1"}'));
  await turns();
  assert.equal(errorName(await frame.create()), "fwp-host.Showing");
});

test("a page that goes while its authorization is on the way: the person has authorized, so it is delivered", async () => {
  let fetched = 0;
  const booked = (): Response => {
    fetched += 1;
    return new Response('{"status": "booked", "transactionID": "t-1"}');
  };
  const { host, broker } = start({ mozPay: true }, booked);
  const frame = new Frame(broker);
  await frame.ask("createMozPayment", { requests: ["a.b.c"] });
  broker.event(RESPONSE);
  broker.disconnected(frame);
  await turns();
  assert.deepEqual([fetched, host.of("forget"), host.of("complete")], [1, [], [{ payment: "p41", result: "success" }]]);
  assert.equal(broker.busy, false);
});

test("hostile messages are answered with an error or not at all, and nothing reaches the host", async () => {
  const { host, broker } = start();
  const frame = new Frame(broker);
  for (const message of [null, 1, "x", [], {}, { id: 0 }, { method: "show" }]) await broker.received(frame, message);
  assert.deepEqual(frame.said, []);
  assert.equal(errorName(await frame.ask("forget", { payments: ["p41"], enrollments: [] })), "fwp-host.InvalidMessage");
  assert.equal(errorName(await frame.ask("hello", {})), "fwp-host.InvalidMessage");
  assert.equal(host.sent.length, 0);
});
