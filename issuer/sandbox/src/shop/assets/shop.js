// The checkout of the shop's page, after FIDO Web Pay 0.32 (sections 6.1, 6.5) and the W3C's Payment Request.
"use strict";

const shop = document.body.dataset.shop;
const element = (id) => document.getElementById(id);

/** Asks the shop's server; what it says, with the HTTP status as `http`. */
async function ask(path, options = {}) {
  const response = await fetch(shop + path, { headers: { accept: "application/json" }, ...options });
  return { ...(await response.json()), http: response.status };
}

const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { accept: "application/json", "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** A new order, for which the shop answers 201. */
async function order(path, body) {
  const answer = await post(path, body);
  if (answer.http !== 201) throw new Error(answer.message ?? "the shop has a problem");
  return answer;
}

/** The document's doPaymentRequest(); the shop's server is asked before the wallet is told how it went. */
async function doPaymentRequest(request, number) {
  const response = await request.show();
  const paid = await post(`/orders/${number}/payment`, response.details);
  await response.complete(paid.status === "booked" ? "success" : "fail");
  return response.details;
}

async function buy() {
  const { order: number, request } = await order("/orders", {});
  await doPaymentRequest(new PaymentRequest(request.methodData, request.details), number);
  location.assign(`${shop}/orders/${number}`);
}

/** Mozilla's navigator.mozPay() as a promise. */
function mozPay(requests) {
  return new Promise((resolve, reject) => {
    if (typeof navigator.mozPay !== "function") {
      throw new DOMException("this browser has no navigator.mozPay", "NotSupportedError");
    }
    const asked = navigator.mozPay(requests);
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

/** Buys with a request of that type, and waits until the provider's notice has come to the shop's server. */
async function buyByMozPay(typ) {
  const { order: number, jwt } = await order("/mozpay", { typ });
  await mozPay([jwt]);
  for (let tries = 0; tries < 120; tries++) {
    element("progress").textContent = "Paid. Waiting for the provider to tell the shop …";
    const { state } = await ask(`/orders/${number}`);
    if (state !== "open") break;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  location.assign(`${shop}/orders/${number}`);
}

function button(id, action) {
  element(id).addEventListener("click", async () => {
    const buttons = document.querySelectorAll("button");
    element("error").textContent = "";
    element("progress").textContent = "";
    for (const each of buttons) each.disabled = true;
    try {
      await action();
    } catch (error) {
      element("error").textContent = `${error.name}: ${error.message}`;
    } finally {
      for (const each of buttons) each.disabled = false;
    }
  });
}

button("buy", buy);
button("mozpay", () => buyByMozPay("sandbox/payments/pay/v1"));
button("mozpay-signed", () => buyByMozPay("sandbox/signed/pay/v1"));
