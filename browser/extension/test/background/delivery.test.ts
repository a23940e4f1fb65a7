import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWER_LIMIT, deliver, type Network } from "../../src/background/delivery";
import { Failure } from "../../src/shared/errors";

const DELIVERY = { url: "https://psp.example/mozpay", typ: "sandbox/payments/pay/v1", request: "a.b.c" };
const ASSERTION = { issuerId: "https://bank.example" };

class Provider implements Network {
  readonly requests: [string, RequestInit][] = [];
  readonly pauses: number[] = [];
  readonly #answers: (() => Response)[];

  constructor(...answers: (() => Response)[]) {
    this.#answers = answers;
  }

  fetch(url: string, init: RequestInit): Promise<Response> {
    this.requests.push([url, init]);
    const answer = this.#answers[Math.min(this.requests.length, this.#answers.length) - 1];
    return answer === undefined ? Promise.reject(new TypeError("NetworkError")) : Promise.resolve(answer());
  }

  sleep(milliseconds: number): Promise<void> {
    this.pauses.push(milliseconds);
    return Promise.resolve();
  }
}

function json(status: number, body: unknown): () => Response {
  return () => new Response(JSON.stringify(body), { status });
}

async function fails(provider: Provider, delivery = DELIVERY): Promise<Failure> {
  try {
    await deliver(provider, delivery, ASSERTION);
  } catch (error) {
    assert.ok(error instanceof Failure);
    return error;
  }
  assert.fail("it was delivered");
}

test("request and assertion go to the provider, without cookies and redirects, and its transaction comes back", async () => {
  const provider = new Provider(json(200, { status: "booked", transactionID: "t-1" }));
  assert.equal(await deliver(provider, DELIVERY, ASSERTION), "t-1");
  const [[url, init]] = provider.requests as [[string, RequestInit]];
  assert.equal(url, DELIVERY.url);
  assert.deepEqual(JSON.parse(init.body as string), { request: "a.b.c", fwpAssertion: ASSERTION });
  assert.deepEqual([init.method, init.credentials, init.redirect, init.referrerPolicy], ["POST", "omit", "error", "no-referrer"]);
});

test("a refusal is the provider's, with its reason, and is not tried again", async () => {
  const provider = new Provider(json(400, { error: "expired", message: "the request is too old" }));
  const failure = await fails(provider);
  assert.deepEqual([failure.name, failure.message], ["fwp-provider.Refused", "expired: the request is too old"]);
  assert.equal(provider.requests.length, 1);
});

test("a provider that is not reached is tried three times with growing pauses, the same body each time", async () => {
  const provider = new Provider();
  assert.equal((await fails(provider)).name, "fwp-provider.Unavailable");
  assert.deepEqual(provider.pauses, [1000, 2000]);
  assert.equal(new Set(provider.requests.map(([, init]) => init.body)).size, 1);
});

test("a provider that stumbles once books at the second attempt", async () => {
  const provider = new Provider(json(503, {}), json(200, { status: "booked", transactionID: "t-2" }));
  assert.equal(await deliver(provider, DELIVERY, ASSERTION), "t-2");
});

test("an answer beyond 64 KiB is not read on", async () => {
  let pulled = 0;
  const endless = (): Response =>
    new Response(
      new ReadableStream({
        pull(controller) {
          pulled += 1;
          controller.enqueue(new Uint8Array(16 * 1024).fill(0x20));
        },
      }),
    );
  assert.match((await fails(new Provider(endless))).message, new RegExp(String(ANSWER_LIMIT)));
  assert.ok(pulled < 30, `${pulled} pieces were pulled`);
});

for (const [what, answer] of [
  ["not JSON", () => new Response("booked")],
  ["a list", json(200, [])],
  ["not UTF-8", () => new Response(new Uint8Array([0x22, 0xff, 0x22]))],
  ["no transaction", json(200, { status: "booked" })],
  ["a transaction that is a number", json(200, { status: "booked", transactionID: 7 })],
  ["an error without a code", json(400, {})],
] as const) {
  test(`nonsense is no booking: ${what}`, async () => {
    assert.equal((await fails(new Provider(answer))).name, "fwp-provider.Unavailable");
  });
}

test("200 with another status is no booking", async () => {
  assert.equal((await fails(new Provider(json(200, { status: "pending", transactionID: "t" })))).name, "fwp-provider.Refused");
});

for (const url of ["http://psp.example/", "file:///etc/passwd", "javascript:1", "https://user@psp.example/", "nonsense"]) {
  test(`nothing is sent to ${url}`, async () => {
    const provider = new Provider(json(200, { status: "booked", transactionID: "t" }));
    await fails(provider, { ...DELIVERY, url });
    assert.equal(provider.requests.length, 0);
  });
}

test("a provider on this computer may be reached by plain HTTP, for the sandbox", async () => {
  const provider = new Provider(json(200, { status: "booked", transactionID: "t" }));
  assert.equal(await deliver(provider, { ...DELIVERY, url: "http://127.0.0.1:8080/psp/mozpay" }, ASSERTION), "t");
});
