// What cases share. Functions named `page...` run in the page: they know nothing but their arguments and the page's `method` and
// `details` (see lib/pages.mjs).

let last = 0;

/** An order's number that no other case has: the wallet remembers them. */
export const nextOrder = () => `order-${process.pid}-${(last += 1)}`;

/** Pays and completes; gives the attributes of `response.details`. */
export async function pagePay(id, network) {
  const request = new PaymentRequest([method(network)], details(id));
  const response = await request.show();
  await response.complete("success");
  return Object.keys(response.details).sort();
}

/** Shows, and keeps the request for later. */
export async function pageShow(id) {
  window.request = new PaymentRequest([method()], details(id));
  const response = await window.request.show();
  return response.methodName;
}

/** Pays in this tab, and checks that it works: the way to show that something else left nothing broken. */
export async function paysIn(stage, tab) {
  stage.person.begin("yes");
  await tab.act(pagePay, nextOrder());
  stage.assert.deepEqual(await tab.ended(), { value: ["issuerId", "paymentNetworkId", "userAuthorization"] });
}

/** That it ended with this DOMException (or TypeError); `says` is looked for in its message. */
export async function endsWith(stage, tab, name, says = /./) {
  const { value, error } = await tab.ended();
  stage.assert.equal(error?.name, name, `not ${name}: ${JSON.stringify({ value, error })}`);
  stage.assert.equal(error.is, name === "TypeError" ? "TypeError" : "DOMException");
  stage.assert.match(error.message, says);
}

/** That the person was asked nothing. */
export function nothingSeen(stage) {
  stage.assert.deepEqual(stage.person.seen.filter(({ prompt }) => !["status", "withdrawn"].includes(prompt)), []);
}

/** The extension's popup in a tab, once it has heard of the wallet: nothing in it moves any more. */
export async function popup(stage) {
  const tab = await stage.tab(stage.browser.popup);
  await tab.waitFor(() => document.body.dataset.ready === "true" && !document.querySelector("#findings").textContent.includes("Asking"));
  return tab;
}
