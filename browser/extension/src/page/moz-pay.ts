// `navigator.mozPay(requests)`: Mozilla's Web Payment interface as a facade (docs/mozpay.md), if the person switched it on.
//
// One or several signed requests (JWT) go to the wallet, which shows the first that the user has a card for. The answer comes
// by a DOMRequest: "success" with `result` once the provider has booked, else "error" with `error`.
/* eslint-disable @typescript-eslint/no-extraneous-class -- members are defined as Web IDL has them, by defineMembers */
import { failureOf } from "./bridge";
import { type Failure, hostReason, typeError, walletReason } from "./errors";
import { EventHandlers } from "./event-handlers";
import { quote } from "./fwp-checks";
import { accessor, checkArgumentCount, getter, shape } from "./interfaces";
import { argument } from "./members";
import { addNavigatorMethod } from "./navigator";
import {
  EventClass,
  EventTargetClass,
  type List,
  append,
  at,
  construct,
  defineProperty,
  dispatchEvent,
  isObject,
  list,
  own,
  promiseOf,
  react,
} from "./primordials";
import type { Shared } from "./request";
import { OnExisting } from "./slots";
import { toDOMString, toSequence } from "./webidl";

/** Most requests in one call. */
const MAX_REQUESTS = 8;
/** Most characters of one request. */
const MAX_REQUEST = 16 * 1024;

/** Puts `mozPay` on `navigator`. */
export function installMozPay(window: Window & typeof globalThis, shared: Shared): void {
  const requestClass = domRequestClass();
  addNavigatorMethod(window, "mozPay", 1, (args) => {
    checkArgumentCount(args, 1, "mozPay");
    const requests = toRequests(argument(args, 0));
    const target = construct(EventTargetClass, [], requestClass) as EventTarget;
    const slots = new DomRequestSlots(target);
    new DomRequestBrand(target, slots, new EventHandlers(target));
    const refusal = refusalOf(shared, requests);
    if (refusal === undefined) {
      pay(shared, requests, slots);
    } else {
      // The page gets the object first and its event afterwards.
      const refuse = (): void => {
        slots.fail(refusal);
      };
      react(promiseOf(undefined), refuse, refuse);
    }
    return target;
  });
}

/** `(DOMString or sequence<DOMString>)`. */
function toRequests(value: unknown): List<string> {
  if (isObject(value)) {
    return toSequence(value, "requests", (item) => toDOMString(item));
  }
  const one = list<string>();
  append(one, toDOMString(value));
  return one;
}

/** Why a payment cannot begin here, undefined if it can. */
function refusalOf({ surroundings, showing }: Shared, requests: List<string>): MozPayError | undefined {
  if (requests.length === 0 || requests.length > MAX_REQUESTS) {
    return { name: "INVALID_REQUEST", message: `mozPay takes 1 to ${MAX_REQUESTS} requests` };
  }
  for (let i = 0; i < requests.length; i++) {
    if (at(requests, i).length > MAX_REQUEST) {
      return { name: "INVALID_REQUEST", message: `requests[${i}] has more than ${MAX_REQUEST} characters` };
    }
  }
  try {
    surroundings.checkAllowed();
  } catch {
    return { name: "REFUSED", message: "Payments are not allowed in this document" };
  }
  if (!surroundings.isFullyActive() || !surroundings.isVisible()) {
    return { name: "REFUSED", message: "The document is not visible" };
  }
  if (!surroundings.isActivated()) {
    return { name: "REFUSED", message: "mozPay() must be called by a user gesture" };
  }
  return showing === null ? undefined : { name: "REFUSED", message: "Another payment request is showing" };
}

function pay(shared: Shared, requests: List<string>, slots: DomRequestSlots): void {
  const { bridge } = shared;
  shared.showing = slots;
  const fail = (failure: Failure): void => {
    if (shared.showing === slots) {
      shared.showing = null;
    }
    slots.fail(mozPayError(failure));
  };
  let texts = "";
  for (let i = 0; i < requests.length; i++) {
    texts += `${i === 0 ? "" : ","}${quote(at(requests, i))}`;
  }
  const created = (result: unknown): void => {
    const payment = own(result, "payment");
    if (typeof payment !== "string") {
      fail({ name: "", message: "The wallet named no payment" });
      return;
    }
    const refused = (failure: Failure): void => {
      bridge.forget("payment", payment);
      fail(failure);
    };
    bridge.listen("payment", payment, (event, message) => {
      if (event === "delivered") {
        bridge.forget("payment", payment);
        shared.showing = null;
        slots.succeed(own(message, "result"));
      } else if (event === "closed") {
        refused(failureOf(message));
      }
    });
    bridge.request("show", [["payment", quote(payment)]], () => undefined, refused);
  };
  bridge.request("createMozPayment", [["requests", `[${texts}]`]], created, fail);
}

interface MozPayError {
  readonly name: "USER_CANCELLED" | "INVALID_REQUEST" | "REFUSED" | "UNAVAILABLE";
  readonly message: string;
}

/** The names of Mozilla's interface are few: the person said no, the request is wrong, it was refused, or nobody is there. */
function mozPayError(failure: Failure): MozPayError {
  const { message } = failure;
  if (failure.name === "fwp-provider.Refused") {
    return { name: "REFUSED", message };
  }
  switch (walletReason(failure.name)) {
    case "Declined":
    case "Aborted":
    case "Timeout":
      return { name: "USER_CANCELLED", message };
    case "InvalidRequest":
      return { name: "INVALID_REQUEST", message };
    case "AccessDenied":
    case "NoMatchingCard":
    case "CardTied":
    case "LimitReached":
    case "PinBlocked":
    case "PinNotSet":
    case "CoolDown":
    case "Busy":
    case "AuthenticatorFailed":
      return { name: "REFUSED", message };
  }
  const reason = hostReason(failure.name);
  return { name: reason === "Refused" || reason === "Showing" ? "REFUSED" : "UNAVAILABLE", message };
}

/** Internal slots of one DOMRequest. */
class DomRequestSlots {
  readonly #target: EventTarget;
  #done = false;
  #result: unknown = null;
  #error: object | null = null;

  constructor(target: EventTarget) {
    this.#target = target;
  }

  get readyState(): string {
    return this.#done ? "done" : "pending";
  }

  get result(): unknown {
    return this.#result;
  }

  get error(): object | null {
    return this.#error;
  }

  succeed(result: unknown): void {
    this.#result = result;
    this.#finish("success");
  }

  fail({ name, message }: MozPayError): void {
    this.#error = { name, message };
    this.#finish("error");
  }

  #finish(type: string): void {
    if (!this.#done) {
      this.#done = true;
      dispatchEvent(this.#target, construct(EventClass, [type]) as Event);
    }
  }
}

class DomRequestBrand extends OnExisting {
  readonly #slots: DomRequestSlots;
  readonly #handlers: EventHandlers;

  constructor(object: object, slots: DomRequestSlots, handlers: EventHandlers) {
    super(object);
    this.#slots = slots;
    this.#handlers = handlers;
  }

  static readonly of = (value: unknown): { slots: DomRequestSlots; handlers: EventHandlers } => {
    if (!isObject(value) || !(#slots in value)) {
      throw typeError("Illegal invocation");
    }
    return { slots: value.#slots, handlers: value.#handlers };
  };
}

/** The class of what mozPay() returns; like Mozilla's, its objects are made by mozPay() only. */
function domRequestClass(): abstract new () => object {
  const DOMRequest = class {
    constructor() {
      throw typeError("Illegal constructor");
    }
  };
  shape(DOMRequest, "DOMRequest", 0, EventTargetClass);
  const { prototype } = DOMRequest;
  const { of } = DomRequestBrand;
  defineProperty(prototype, "readyState", getter("readyState", (self) => of(self).slots.readyState));
  defineProperty(prototype, "result", getter("result", (self) => of(self).slots.result));
  defineProperty(prototype, "error", getter("error", (self) => of(self).slots.error));
  const handler = (type: string): PropertyDescriptor =>
    accessor(
      `on${type}`,
      (self) => of(self).handlers.get(type),
      (self, value) => {
        of(self).handlers.set(type, value);
      },
    );
  defineProperty(prototype, "onsuccess", handler("success"));
  defineProperty(prototype, "onerror", handler("error"));
  return DOMRequest;
}
