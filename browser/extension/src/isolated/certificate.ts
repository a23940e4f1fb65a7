// Whether the page's TLS certificate holds. A person may insist on a page with a wrong one: the browser shows it then as
// any other and calls it a secure context, but a payment there could be anybody's.
// Chromium tells by its own PaymentRequest, which refuses such pages: canMakePayment() rejects there, while elsewhere it
// resolves (with false, for a method that nobody has; its name is none that is looked up in the network). Firefox has no such
// sign in a page; there the background looks (background/certificate.ts).

/** A method identifier of the W3C's form that no payment handler has. */
const NOBODYS_METHOD = "fwpd-certificate-check";

let verdict: Promise<boolean> | null = null;

/** Whether the certificate of this document holds, as far as this world can tell. Asked once: a document keeps its own. */
export function certificateHolds(): Promise<boolean> {
  verdict ??= ask();
  return verdict;
}

async function ask(): Promise<boolean> {
  if (__BROWSER__ !== "chromium" || window.location.protocol !== "https:") return true;
  const total = { label: "", amount: { currency: "EUR", value: "0" } };
  try {
    await new PaymentRequest([{ supportedMethods: NOBODYS_METHOD }], { total }).canMakePayment();
    return true;
  } catch {
    return false;
  }
}
