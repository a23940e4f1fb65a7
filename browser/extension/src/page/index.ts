// The page-world script, run at document_start in every document where the wallet is switched on.
import { Bridge } from "./bridge";
import { installEnrollment } from "./enrollment";
import type { InterfaceObject } from "./interfaces";
import { installMozPay } from "./moz-pay";
import { wrapNative } from "./native";
import { Payments } from "./payments";
import { getOwnPropertyDescriptor } from "./primordials";
import { supply } from "./supplied";
import { surroundingsOf } from "./surroundings";

function install(target: Window & typeof globalThis): void {
  const bridge = new Bridge(target);
  const surroundings = surroundingsOf(target);
  const payments = (responseClass: () => InterfaceObject): Payments =>
    new Payments(bridge, surroundings, responseClass);
  const native = (name: string): InterfaceObject | undefined =>
    getOwnPropertyDescriptor(target, name)?.value as InterfaceObject | undefined;

  const request = native("PaymentRequest");
  const response = native("PaymentResponse");
  let made: Payments | undefined;
  if (request !== undefined && response !== undefined) {
    made = payments(() => response);
    wrapNative(target, request, response, made);
  } else {
    supply(target, (responseClass) => (made = payments(responseClass)));
  }
  installEnrollment(target, bridge, surroundings);
  if (__MOZ_PAY__ && made !== undefined) {
    installMozPay(target, made.shared);
  }
}

// [SecureContext]: elsewhere none of these interfaces is there.
if (isSecureContext) {
  install(window);
}
