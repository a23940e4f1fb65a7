// For browsers with Payment Request (Chromium): a list that names our method is ours, every other goes to the native class.
//
// The native class stays what it is: the same `prototype`, name, length and statics, seen through a Proxy whose only trap is the
// construction. Its methods and getters are wrapped the same way, so that they serve objects of ours too, which are
// `instanceof PaymentRequest`; for native objects the native function runs with what it was called with.
import { type Member, type Interface, REQUEST, RESPONSE, argument, runMember } from "./members";
import { namesOurMethod } from "./constructor-checks";
import { type MethodData, toMethodDataList } from "./dictionaries";
import { PAYMENT_METHOD } from "./fwp-checks";
import { type InterfaceObject, expose } from "./interfaces";
import type { Payments } from "./payments";
import {
  type List,
  ProxyClass,
  apply,
  arrayIterator,
  arrayIteratorNext,
  arrayIteratorPrototype,
  arrayPrototype,
  at,
  construct,
  defineProperty,
  descriptor,
  getPrototypeOf,
  hasOwn,
  isArray,
  isObject,
  iteratorSymbol,
  own,
  propertyOf,
  withoutPrototype,
} from "./primordials";

/** Wraps the native PaymentRequest and PaymentResponse of the window. */
export function wrapNative(
  window: object,
  nativeRequest: InterfaceObject,
  nativeResponse: InterfaceObject,
  payments: Payments,
): void {
  const wrapper = proxy(nativeRequest, {
    construct(target: InterfaceObject, args: unknown[], newTarget: InterfaceObject) {
      const inner = newTarget === wrapper ? target : newTarget;
      const methodData = argument(args, 0);
      const verdict = peek(methodData);
      if (verdict === "native") {
        return construct(target, args, inner);
      }
      if (verdict === "ours") {
        return payments.construct(inner, methodData, argument(args, 1));
      }
      // Only code of the page can tell: it runs once, as Web IDL says, and the native class gets what came out of it.
      const converted = toMethodDataList(methodData);
      if (namesOurMethod(converted)) {
        return payments.construct(inner, methodData, argument(args, 1), converted);
      }
      args[0] = plainList(converted);
      return construct(target, args, inner);
    },
  });
  const prototype = nativeRequest.prototype as object;
  defineProperty(
    prototype,
    "constructor",
    descriptor({ value: wrapper, writable: true, enumerable: false, configurable: true }),
  );
  wrapMembers(prototype, REQUEST);
  wrapMembers(nativeResponse.prototype as object, RESPONSE);
  expose(window, wrapper, "PaymentRequest");
}

function proxy<T extends object>(target: T, handler: object): T {
  return construct(ProxyClass, [target, withoutPrototype(handler)]) as T;
}

/** Whether a list names our method, as far as can be seen without running code of the page; "unknown" otherwise. */
export function peek(methodData: unknown): "ours" | "native" | "unknown" {
  if (!isObject(methodData)) {
    return "native"; // which throws
  }
  if (
    !isArray(methodData) ||
    getPrototypeOf(methodData) !== arrayPrototype ||
    hasOwn(methodData, iteratorSymbol) ||
    arrayPrototype[iteratorSymbol] !== arrayIterator ||
    (arrayIteratorPrototype as Iterator<unknown>).next !== arrayIteratorNext
  ) {
    return "unknown";
  }
  let ours = false;
  for (let i = 0; i < methodData.length; i++) {
    const entry = dataProperty(methodData, i);
    const name = entry === undefined ? undefined : dataProperty(entry.value, "supportedMethods");
    if (name === undefined || typeof name.value !== "string") {
      return "unknown";
    }
    ours ||= name.value === PAYMENT_METHOD;
  }
  return ours ? "ours" : "native";
}

/** The value of an own data property, in an object so that undefined is a value, too. */
function dataProperty(holder: unknown, name: PropertyKey): { readonly value: unknown } | undefined {
  const found = isObject(holder) ? propertyOf(holder, name) : undefined;
  return found !== undefined && hasOwn(found, "value") ? { value: own(found, "value") } : undefined;
}

/** What was converted, as a list that converts to the same. */
function plainList(methodData: List<MethodData>): object[] {
  const plain: object[] = [];
  for (let i = 0; i < methodData.length; i++) {
    const { supportedMethods, data } = at(methodData, i);
    const value =
      data === undefined ? { __proto__: null, supportedMethods } : { __proto__: null, supportedMethods, data };
    defineProperty(plain, i, descriptor({ value, writable: true, enumerable: true, configurable: true }));
  }
  return plain;
}

/** Wraps those of an interface's members that the native prototype has. */
function wrapMembers(prototype: object, shapeOf: Interface): void {
  for (let i = 0; i < shapeOf.members.length; i++) {
    wrapMember(prototype, shapeOf.members[i] as Member, shapeOf);
  }
  for (let i = 0; i < shapeOf.chromium.length; i++) {
    wrapMember(prototype, shapeOf.chromium[i] as Member, shapeOf);
  }
}

function wrapMember(prototype: object, member: Member, { isOurs, handlersOf }: Interface): void {
  const native = propertyOf(prototype, member.name);
  if (native === undefined) {
    return;
  }
  type Handling = (self: object, args: List<unknown>) => unknown;
  type Getter = (this: unknown) => unknown;
  type Setter = (this: unknown, value: unknown) => void;
  const wrap = <F>(target: F, ours: Handling): F =>
    typeof target === "function"
      ? (proxy(target, {
          apply: (inner: () => unknown, self: unknown, args: List<unknown>) =>
            isOurs(self) ? ours(self as object, args) : apply(inner, self, args),
        }))
      : target;
  switch (member.kind) {
    case "promise":
    case "operation":
      native.value = wrap<unknown>(native.value, (self, args) => runMember(member, self, args));
      break;
    case "attribute":
      native.get = wrap(native.get as Getter, (self) => member.get(self));
      break;
    case "handler":
      native.get = wrap(native.get as Getter, (self) => handlersOf(self)?.get(member.type));
      native.set = wrap(native.set as Setter, (self, args) => {
        handlersOf(self)?.set(member.type, argument(args, 0));
      });
      break;
  }
  defineProperty(prototype, member.name, descriptor(native));
}
