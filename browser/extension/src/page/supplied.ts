// For browsers without Payment Request (Firefox): the whole interface.
/* eslint-disable @typescript-eslint/no-extraneous-class -- members are defined as Web IDL has them, by defineMembers */
import { domException, typeError } from "./errors";
import { type InterfaceObject, checkArgumentCount, defineMembers, expose, getter, method, shape } from "./interfaces";
import { REQUEST, RESPONSE, argument } from "./members";
import {
  EventClass,
  EventTargetClass,
  type List,
  construct,
  defineProperty,
  isObject,
  promiseOf,
} from "./primordials";
import type { Payments } from "./payments";
import { OnExisting } from "./slots";
import { checkDictionary, member, toDOMString } from "./webidl";

/** Puts PaymentRequest, PaymentResponse and the two event classes on the window. */
export function supply(window: object, payments: (responseClass: () => InterfaceObject) => Payments): void {
  const responseClass = paymentResponse();
  expose(window, responseClass, "PaymentResponse");
  expose(window, paymentRequest(payments(() => responseClass)), "PaymentRequest");
  const updateEvent = paymentRequestUpdateEvent();
  expose(window, updateEvent, "PaymentRequestUpdateEvent");
  expose(window, paymentMethodChangeEvent(updateEvent), "PaymentMethodChangeEvent");
}

function paymentRequest(payments: Payments): InterfaceObject {
  const PaymentRequest = class {
    constructor(...args: unknown[]) {
      checkArgumentCount(args, 2, "PaymentRequest");
      return payments.construct(new.target, argument(args, 0), argument(args, 1));
    }
  };
  shape(PaymentRequest, "PaymentRequest", 2, EventTargetClass);
  defineMembers(PaymentRequest.prototype, REQUEST);
  return PaymentRequest;
}

function paymentResponse(): InterfaceObject {
  const PaymentResponse = class {
    constructor() {
      throw typeError("Illegal constructor");
    }
  };
  shape(PaymentResponse, "PaymentResponse", 0, EventTargetClass);
  defineMembers(PaymentResponse.prototype, RESPONSE);
  return PaymentResponse;
}

class UpdateEventBrand extends OnExisting {
  readonly #brand = true;

  static readonly has = (value: unknown): value is Event => {
    return isObject(value) && #brand in value;
  };
}

class ChangeEventBrand extends OnExisting {
  readonly #methodName: string;
  readonly #methodDetails: object | null;

  constructor(event: object, methodName: string, methodDetails: object | null) {
    super(event);
    this.#methodName = methodName;
    this.#methodDetails = methodDetails;
  }

  static readonly of = (value: unknown): { methodName: string; methodDetails: object | null } => {
    if (!isObject(value) || !(#methodName in value)) {
      throw typeError("Illegal invocation");
    }
    return { methodName: value.#methodName, methodDetails: value.#methodDetails };
  };
}

/** Section 17.3. */
function paymentRequestUpdateEvent(): InterfaceObject {
  const PaymentRequestUpdateEvent = class {
    constructor(...args: unknown[]) {
      return newEvent(args, new.target);
    }
  };
  shape(PaymentRequestUpdateEvent, "PaymentRequestUpdateEvent", 1, EventClass);
  const updateWith = method("updateWith", 1, (self, args) => {
    if (!UpdateEventBrand.has(self)) {
      throw typeError("Illegal invocation");
    }
    checkArgumentCount(args, 1, "updateWith");
    void promiseOf(argument(args, 0));
    // 17.3.2, step 2. An event of a browser would be trusted; ours fires none, because FIDO Web Pay tells the shop
    // nothing before the person has authorized. So only events that a page made itself come here.
    throw domException("InvalidStateError", "Cannot update details when the event is not trusted");
  });
  defineProperty(PaymentRequestUpdateEvent.prototype, "updateWith", updateWith);
  return PaymentRequestUpdateEvent;
}

/** Section 17.2. */
function paymentMethodChangeEvent(parent: InterfaceObject): InterfaceObject {
  const PaymentMethodChangeEvent = class {
    constructor(...args: unknown[]) {
      const event = newEvent(args, new.target);
      // PaymentMethodChangeEventInit: the native constructor has converted the members that it inherits.
      const init = argument(args, 1);
      const details = member(init, "methodDetails");
      if (details !== undefined && details !== null && !isObject(details)) {
        throw typeError("member methodDetails is not of type 'object'.");
      }
      const name = member(init, "methodName");
      new ChangeEventBrand(event, name === undefined ? "" : toDOMString(name), details ?? null);
      return event;
    }
  };
  shape(PaymentMethodChangeEvent, "PaymentMethodChangeEvent", 1, parent);
  const { prototype } = PaymentMethodChangeEvent;
  const methodName = getter("methodName", (self) => ChangeEventBrand.of(self).methodName);
  const methodDetails = getter("methodDetails", (self) => ChangeEventBrand.of(self).methodDetails);
  defineProperty(prototype, "methodName", methodName);
  defineProperty(prototype, "methodDetails", methodDetails);
  return PaymentMethodChangeEvent;
}

/** A native event of this class, with the brand. */
function newEvent(args: List<unknown>, newTarget: InterfaceObject): object {
  checkArgumentCount(args, 1, "Event");
  checkDictionary(argument(args, 1), "eventInitDict");
  const event = construct(EventClass, args, newTarget);
  new UpdateEventBrand(event);
  return event;
}
