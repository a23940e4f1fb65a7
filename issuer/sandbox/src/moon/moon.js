// What a cheating shop's page tries. Each button writes what became of it to #outcome, as JSON.
"use strict";

const shop = document.body.dataset.shop;
const NETWORKS = [{ id: "https://visa.com/fwp" }, { id: "https://banknet2.org", networkOptions: "additional stuff..." }];

async function post(path, body) {
  const response = await fetch(shop + path, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { ...(await response.json()), http: response.status };
}

const method = (data) => ({ supportedMethods: "fido-web-pay/v1", data: { payeeName: "Moon Shop", networks: NETWORKS, ...data } });
const failure = (error) => `${error.name}: ${error.message}`;
const order = () => post("/orders", { amount: "1.00" });
const check = (number, assertion) => post(`/orders/${number}/payment`, assertion);

/** Delivers an assertion in an envelope of the shop's own making. */
const deliver = ({ request }, payeeName, fwpAssertion, payeeHost = request.payeeHost) => {
  const { value: amount, currency } = request.details.total.amount;
  return post("/attack", { payeeHost, paymentRequest: { payeeName, requestId: request.details.id, amount, currency }, fwpAssertion });
};

/** What the wallet gives for that request; what it says instead is a step, and the end. */
async function authorize(steps, taken, methods) {
  try {
    const response = await new PaymentRequest(methods, taken.request.details).show();
    steps.push({ step: "authorized", network: response.details.paymentNetworkId });
    return response;
  } catch (error) {
    steps.push({ step: "wallet", error: failure(error) });
    return null;
  }
}

const ATTACKS = {
  async honest(steps, taken) {
    const response = await authorize(steps, taken, [method({})]);
    if (!response) return;
    const answer = await check(taken.order, response.details);
    steps.push({ step: "delivered", answer });
    await response.complete(answer.status === "booked" ? "success" : "fail");
  },

  async "retry-second-card"(steps, taken) {
    const response = await authorize(steps, taken, [method({})]);
    if (!response) return;
    const first = response.details;
    steps.push({ step: "delivered the first", answer: await check(taken.order, first) });
    try {
      await response.retry({ error: "Your card was declined. Please try another one." });
      steps.push({ step: "authorized again", network: response.details.paymentNetworkId, sameCard: response.details.paymentNetworkId === first.paymentNetworkId });
      steps.push({ step: "delivered the second", answer: await deliver(taken, "Moon Shop", response.details) });
      await response.complete("success");
    } catch (error) {
      steps.push({ step: "wallet", error: failure(error) });
    }
  },

  async "duplicate-method"(steps, taken) {
    const response = await authorize(steps, taken, [method({}), method({ payeeName: "Space Shop" })]);
    if (!response) return;
    steps.push({ step: "delivered", answer: await check(taken.order, response.details) });
    await response.complete("success");
  },

  async "duplicate-network"(steps, taken) {
    const twice = [{ id: "https://banknet2.org", networkOptions: "one payment" }, { id: "https://banknet2.org", networkOptions: "a standing order" }];
    const response = await authorize(steps, taken, [method({ networks: twice })]);
    if (!response) return;
    steps.push({ step: "delivered", answer: await check(taken.order, response.details) });
    await response.complete("success");
  },

  async "other-name"(steps, taken) {
    const response = await authorize(steps, taken, [method({ payeeName: "Space Shop" })]);
    if (!response) return;
    steps.push({ step: "delivered as Space Shop", answer: await deliver(taken, "Space Shop", response.details) });
    steps.push({ step: "delivered as Moon Shop", answer: await deliver(taken, "Moon Shop", response.details) });
    steps.push({ step: "delivered from spaceshop.com", answer: await deliver(taken, "Moon Shop", response.details, "spaceshop.com") });
    await response.complete("fail");
  },
};

const outcome = document.getElementById("outcome");

for (const [attack, run] of Object.entries(ATTACKS)) {
  document.getElementById(attack).addEventListener("click", async () => {
    outcome.textContent = "";
    delete outcome.dataset.done;
    const steps = [];
    let error;
    try {
      await run(steps, await order());
    } catch (problem) {
      error = failure(problem);
    }
    outcome.textContent = JSON.stringify({ attack, steps, error }, null, 2);
    outcome.dataset.done = attack;
  });
}
