// Enrollment by navigator.fidoWebPay.enroll(): an offer, the attestation of a new key, the cards for it.
"use strict";

const element = (id) => document.getElementById(id);

async function ask(path, options) {
  const response = await fetch(path, { headers: { accept: "application/json" }, ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${answer.error}: ${answer.message}`);
  return answer;
}

function show(state, text) {
  element("state").textContent = text;
  element("state").dataset.state = state;
}

async function enroll() {
  const { fidoWebPay } = navigator;
  if (!fidoWebPay) throw new DOMException("this browser has no wallet for FIDO Web Pay", "NotSupportedError");
  const offer = await ask("/bank/offer");
  show("asking", "Please follow your wallet …");
  const options = element("replace").checked ? { replace: true } : {};
  const enrollment = await fidoWebPay.enroll(offer, options);
  show("checking", "We check your new key …");
  let cards;
  try {
    cards = await ask("/bank/attestation", {
      method: "POST",
      headers: { accept: "application/json", "content-type": "application/json" },
      body: JSON.stringify(enrollment.attestation),
    });
  } catch (error) {
    await enrollment.cancel();
    throw error;
  }
  const stored = await enrollment.storeCards(cards);
  show("enrolled", `Done: ${stored} cards are in your wallet.`);
}

element("enroll").addEventListener("click", async () => {
  element("enroll").disabled = true;
  element("error").textContent = "";
  try {
    await enroll();
  } catch (error) {
    show("failed", "");
    element("error").textContent = `${error.name}: ${error.message}`;
  } finally {
    element("enroll").disabled = false;
  }
});
