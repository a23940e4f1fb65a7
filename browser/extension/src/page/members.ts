// What the members of PaymentRequest and PaymentResponse do with an object of ours. The same functions stand behind the
// interface that Firefox gets and behind the native one of Chromium.
import { typeError } from "./errors";
import type { EventHandlers } from "./event-handlers";
import { type List, at, rejected } from "./primordials";
import { RequestBrand, ResponseBrand } from "./slots";

/** A member of an interface. */
export type Member =
  | { readonly name: string; readonly kind: "promise"; readonly run: (self: object, args: List<unknown>) => Promise<unknown> }
  | { readonly name: string; readonly kind: "operation"; readonly run: (self: object, args: List<unknown>) => unknown }
  | { readonly name: string; readonly kind: "attribute"; readonly get: (self: object) => unknown }
  | { readonly name: string; readonly kind: "handler"; readonly type: string };

/** An interface: its members by name, in the order in which they stand on the prototype, and how to know its objects. */
export interface Interface {
  readonly name: string;
  readonly members: readonly Member[];
  /** Members of Chromium's class that are about shipping and the payer, which FIDO Web Pay has nothing of. */
  readonly chromium: readonly Member[];
  readonly isOurs: (value: unknown) => boolean;
  readonly handlersOf: (value: unknown) => EventHandlers | undefined;
}

/** The argument at `index`, undefined if there is none. */
export function argument(args: List<unknown>, index: number): unknown {
  return index < args.length ? at(args, index) : undefined;
}

function illegal(): TypeError {
  return typeError("Illegal invocation");
}

function request(self: object): NonNullable<ReturnType<typeof RequestBrand.slotsOf>> {
  const slots = RequestBrand.slotsOf(self);
  if (slots === undefined) {
    throw illegal();
  }
  return slots;
}

function response(self: object): NonNullable<ReturnType<typeof ResponseBrand.slotsOf>> {
  const slots = ResponseBrand.slotsOf(self);
  if (slots === undefined) {
    throw illegal();
  }
  return slots;
}

/** Runs a member. Web IDL: what an operation that returns a promise throws becomes a rejected promise. */
export function runMember(
  member: Extract<Member, { kind: "promise" | "operation" }>,
  self: unknown,
  args: List<unknown>,
): unknown {
  if (member.kind === "operation") {
    return member.run(self as object, args);
  }
  try {
    return member.run(self as object, args);
  } catch (exception) {
    return rejected(exception);
  }
}

/** An attribute that is null for ours. */
function nothing(name: string): Member {
  return { name, kind: "attribute", get: () => null };
}

/** An event handler attribute. */
function handler(type: string): Member {
  return { name: `on${type}`, kind: "handler", type };
}

/** PaymentRequest. */
export const REQUEST: Interface = {
  name: "PaymentRequest",
  members: [
    { name: "id", kind: "attribute", get: (self) => request(self).checked.id },
    handler("paymentmethodchange"),
    { name: "abort", kind: "promise", run: (self) => request(self).abort() },
    { name: "canMakePayment", kind: "promise", run: (self) => request(self).canMakePayment() },
    { name: "show", kind: "promise", run: show },
  ],
  chromium: [
    nothing("shippingAddress"),
    nothing("shippingOption"),
    nothing("shippingType"),
    handler("shippingaddresschange"),
    handler("shippingoptionchange"),
    { name: "hasEnrolledInstrument", kind: "promise", run: (self) => request(self).canMakePayment() },
  ],
  isOurs: (value) => RequestBrand.slotsOf(value) !== undefined,
  handlersOf: RequestBrand.handlersOf,
};

function show(self: object, args: List<unknown>): Promise<unknown> {
  const details = argument(args, 0);
  return request(self).show(details !== undefined, details);
}

/** PaymentResponse. */
export const RESPONSE: Interface = {
  name: "PaymentResponse",
  members: [
    { name: "requestId", kind: "attribute", get: (self) => response(self).request.checked.id },
    { name: "methodName", kind: "attribute", get: (self) => response(self).methodName },
    { name: "details", kind: "attribute", get: (self) => response(self).details },
    {
      name: "complete",
      kind: "promise",
      run: (self, args) => response(self).complete(argument(args, 0), argument(args, 1)),
    },
    { name: "retry", kind: "promise", run: (self, args) => response(self).retry(argument(args, 0)) },
    { name: "toJSON", kind: "operation", run: toJson },
  ],
  chromium: [
    nothing("shippingAddress"),
    nothing("shippingOption"),
    nothing("payerName"),
    nothing("payerEmail"),
    nothing("payerPhone"),
    handler("payerdetailchange"),
    { name: "toJSON", kind: "operation", run: chromiumToJson },
  ],
  isOurs: (value) => ResponseBrand.slotsOf(value) !== undefined,
  handlersOf: ResponseBrand.handlersOf,
};

/** Web IDL's default toJSON steps: a plain object of the page's with every attribute. */
function toJson(self: object): object {
  const { request, methodName, details } = response(self);
  return { requestId: request.checked.id, methodName, details };
}

/** The same with the attributes of Chromium's class. */
function chromiumToJson(self: object): object {
  return {
    ...toJson(self),
    shippingAddress: null,
    shippingOption: null,
    payerName: null,
    payerEmail: null,
    payerPhone: null,
  };
}
