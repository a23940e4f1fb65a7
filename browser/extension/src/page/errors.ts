// Exceptions that pages get, and which one for which end of a payment.
import {
  DOMExceptionClass,
  RangeErrorClass,
  TypeErrorClass,
  construct,
  sliceString,
  startsWith,
} from "./primordials";

/** How a request failed or a payment ended: the wallet's or the host program's name for it, and a message for people. */
export interface Failure {
  readonly name: string;
  readonly message: string;
}

/** A TypeError of the page's realm. */
export function typeError(message: string): TypeError {
  return construct(TypeErrorClass, [message]) as TypeError;
}

/** A RangeError of the page's realm. */
export function rangeError(message: string): RangeError {
  return construct(RangeErrorClass, [message]) as RangeError;
}

/** A DOMException of the page's realm. */
export function domException(name: string, message: string): DOMException {
  return construct(DOMExceptionClass, [message, name]) as DOMException;
}

const WALLET = "io.github.fwpd.Error.";
const HOST = "fwp-host.";

/** The wallet's short name of an error ("Declined"), or "" if it isn't one of the wallet's. */
export function walletReason(name: string): string {
  return startsWith(name, WALLET) ? sliceString(name, WALLET.length) : "";
}

/** The host program's short name of an error ("NotRunning"), or "" if it isn't one of its. */
export function hostReason(name: string): string {
  return startsWith(name, HOST) ? sliceString(name, HOST.length) : "";
}

/** What a page gets for the end of a payment or the refusal of a request. */
export function exceptionFor({ name, message }: Failure): DOMException | TypeError {
  switch (walletReason(name)) {
    // The person, or what they have, said no: W3C "user aborts the payment request".
    case "Declined":
    case "Aborted":
    case "NoMatchingCard":
    case "CardTied":
    case "LimitReached":
    case "PinBlocked":
    case "PinNotSet":
    case "Timeout":
    case "CoolDown":
    case "NoAgent":
    case "Busy":
    case "AuthenticatorFailed":
      return domException("AbortError", message);
    case "InvalidRequest":
      return typeError(message);
    case "AccessDenied":
      return domException("SecurityError", message);
  }
  switch (hostReason(name)) {
    case "Refused":
      return domException("SecurityError", message);
    // W3C show(), step 9: the "payment request is showing" boolean, which the background keeps over all frames of a tab.
    case "Showing":
      return domException("AbortError", message);
    case "NotInstalled":
    case "NotRunning":
      return domException("NotSupportedError", message);
  }
  return domException("OperationError", message);
}

/** Whether the failure means that there is no wallet on this computer, or none that runs. */
export function isWalletMissing({ name }: Failure): boolean {
  const reason = hostReason(name);
  return reason === "NotInstalled" || reason === "NotRunning";
}
