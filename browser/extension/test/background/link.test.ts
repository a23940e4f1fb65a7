import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_LIMIT, HostLink, IDLE_LIMIT, type Native, type NativePort } from "../../src/background/link";
import { Failure, type WireError } from "../../src/shared/errors";
import type { HostEvent } from "../../src/shared/replies";

interface Sent {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

const HELLO = { host: "0.1.0", protocol: 1, wallet: "0.1.0" };

/** A browser with a host that greets by itself and leaves the rest to the test. */
class Browser implements Native {
  starts = 0;
  closedByUs = 0;
  readonly sent: Sent[] = [];
  readonly events: HostEvent[] = [];
  readonly ends: WireError[] = [];
  readonly timers = new Map<number, { readonly milliseconds: number; readonly task: () => void }>();
  hello: unknown = HELLO;
  greets = true;
  busy = false;
  receive: (message: unknown) => void = () => undefined;
  end: (why: string) => void = () => undefined;
  #nextTimer = 1;
  readonly link = new HostLink(this, () => Promise.resolve({ name: "Chromium", version: "156" }), {
    event: (event) => this.events.push(event),
    gone: (error) => this.ends.push(error),
    busy: () => this.busy,
  });

  connect(received: (message: unknown) => void, closed: (why: string) => void): NativePort {
    this.starts += 1;
    this.receive = received;
    this.end = closed;
    return {
      send: (message) => {
        const sent = message as Sent;
        this.sent.push(sent);
        if (sent.method === "hello" && this.greets) received({ id: sent.id, result: this.hello });
      },
      close: () => (this.closedByUs += 1),
    };
  }

  later(milliseconds: number, task: () => void): () => void {
    const timer = this.#nextTimer;
    this.#nextTimer += 1;
    this.timers.set(timer, { milliseconds, task });
    return () => this.timers.delete(timer);
  }

  /** Lets the timers of this length run out. */
  pass(milliseconds: number): void {
    for (const [timer, one] of [...this.timers]) {
      if (one.milliseconds !== milliseconds) continue;
      this.timers.delete(timer);
      one.task();
    }
  }

  /** The request of this method, once it was sent. */
  async find(method: string): Promise<Sent> {
    for (let turn = 0; turn < 20; turn += 1) {
      const found = this.sent.find((one) => one.method === method);
      if (found !== undefined) return found;
      await Promise.resolve();
    }
    assert.fail(`${method} was not sent`);
  }
}

async function fails(promise: Promise<unknown>, name: string, message = /./): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof Failure && error.name === name && message.test(error.message));
}

test("the host is started by the first request, greeted first, and kept", async () => {
  const browser = new Browser();
  assert.equal(browser.starts, 0);
  const first = browser.link.request("canMakePayment", { origin: "https://a.example" });
  const { id } = await browser.find("canMakePayment");
  browser.receive({ id, result: true });
  assert.equal(await first, true);
  assert.deepEqual(browser.sent[0]?.params, { protocol: 1, browser: { name: "Chromium", version: "156" } });
  void browser.link.request("status", {});
  await browser.find("status");
  assert.equal(browser.starts, 1);
});

test("an idle host is ended after a while, a busy one is not", async () => {
  const browser = new Browser();
  const request = browser.link.request("canMakePayment", {});
  browser.receive({ id: (await browser.find("canMakePayment")).id, result: true });
  await request;
  browser.busy = true;
  browser.pass(IDLE_LIMIT);
  assert.equal(browser.closedByUs, 0);
  browser.busy = false;
  browser.link.settle();
  browser.pass(IDLE_LIMIT);
  assert.equal(browser.closedByUs, 1);
  assert.equal(browser.link.connected, false);
});

for (const why of ["Specified native messaging host not found.", "No such native application io.github.fwpd", "Access to the specified native messaging host is forbidden.", "Failed to start native messaging host."]) {
  test(`a host that is not there is told with the remedy: ${why}`, async () => {
    const browser = new Browser();
    browser.greets = false;
    const request = browser.link.request("status", {});
    await browser.find("hello");
    browser.end(why);
    await fails(request, "fwp-host.NotInstalled", /fwpctl browser install/);
  });
}

test("a host that crashes ends what waits, tells its owner, and the next request starts another", async () => {
  const browser = new Browser();
  const request = browser.link.request("show", {});
  await browser.find("show");
  browser.end("Native host has exited.");
  await fails(request, "fwp-host.Gone", /has ended/);
  assert.equal(browser.ends.length, 1);
  void browser.link.request("status", {}).catch(() => undefined);
  await browser.find("status");
  assert.equal(browser.starts, 2);
});

test("a host that ends before it greets is Gone, and no request hangs", async () => {
  const browser = new Browser();
  const request = browser.link.request("status", {});
  browser.end("Native host has exited.");
  await fails(request, "fwp-host.Gone");
});

test("a host of another protocol is left, and both versions are named", async () => {
  const browser = new Browser();
  browser.hello = { ...HELLO, protocol: 2 };
  await fails(browser.link.request("status", {}), "fwp-host.Gone", /protocol 2, this extension 1/);
  assert.equal(browser.closedByUs, 1);
});

test("a host that does not greet in time is left", async () => {
  const browser = new Browser();
  browser.greets = false;
  const request = browser.link.request("status", {});
  await browser.find("hello");
  browser.pass(30_000);
  await fails(request, "fwp-host.Gone", /does not answer/);
});

test("the host's errors keep their names", async () => {
  const browser = new Browser();
  const request = browser.link.request("show", {});
  const { id } = await browser.find("show");
  browser.receive({ id, error: { name: "io.github.fwpd.Error.Busy", message: "busy" } });
  await fails(request, "io.github.fwpd.Error.Busy");
});

for (const [what, message] of [
  ["no object", 7],
  ["an answer that nobody waits for", { id: 99, result: null }],
  ["an unknown event", { event: "paid", payment: "p1" }],
  ["id null", { id: null, error: { name: "fwp-host.TooLarge", message: "" } }],
] as const) {
  test(`a host that sends nonsense is left: ${what}`, async () => {
    const browser = new Browser();
    const request = browser.link.request("show", {});
    await browser.find("show");
    browser.receive(message);
    await fails(request, "fwp-host.Gone", /nonsense/);
    assert.deepEqual([browser.closedByUs, browser.link.connected], [1, false]);
  });
}

test("a frame that the host would not take is never sent: 2 MiB in bytes, not in characters", async () => {
  const browser = new Browser();
  const details = "ü".repeat(FRAME_LIMIT / 2);
  await fails(browser.link.request("createPayment", { details }), "fwp-host.TooLarge");
  assert.deepEqual(browser.sent.map(({ method }) => method), ["hello"]);
});
