// What the document around a call allows. The isolated world checks it again and decides; here it is for exceptions that the
// standard wants at once, and in its order.
import { domException } from "./errors";
import { apply, getOwnPropertyDescriptor, getPrototypeOf, getterOf, isObject } from "./primordials";

/** The window's own, captured. */
export interface Surroundings {
  /** Throws a "SecurityError" DOMException where this document may not use payments at all. */
  readonly checkAllowed: () => void;
  /** Whether the document is fully active. */
  readonly isFullyActive: () => boolean;
  /** Whether the person can see the document. */
  readonly isVisible: () => boolean;
  /** Whether the person has just clicked or typed. */
  readonly isActivated: () => boolean;
  /** A new random UUID. */
  readonly newId: () => string;
}

/** Captures what is needed of a window. */
export function surroundingsOf(window: Window & typeof globalThis): Surroundings {
  const { document, navigator, crypto } = window;
  const self = window as unknown as { origin: string };
  const visibilityState = getterOf(window.Document.prototype, "visibilityState");
  const defaultView = getterOf(window.Document.prototype, "defaultView");
  const featurePolicy = (document as unknown as { featurePolicy?: object }).featurePolicy;
  const allowsFeature = inherited(featurePolicy, "allowsFeature");
  const activation = (navigator as unknown as { userActivation?: object }).userActivation;
  const isActive = activation === undefined ? undefined : getterOf(getPrototypeOf(activation) as object, "isActive");
  const randomUUID = inherited(crypto, "randomUUID") as () => string; // there in every secure context
  const origin = self.origin;
  const { top, location } = window;
  const isTop = top === window;

  return {
    checkAllowed() {
      if (allowsFeature !== undefined && apply(allowsFeature, featurePolicy, ["payment"]) !== true) {
        throw domException("SecurityError", "This document's permissions policy does not allow payments");
      }
      if (origin === "null") {
        throw domException("SecurityError", "A sandboxed document has no origin that a payment could name");
      }
      if (!isTop && !isSameOrigin(top, location.origin)) {
        throw domException("SecurityError", "Payments are for top-level documents and frames of the same origin");
      }
    },
    isFullyActive: () => defaultView?.(document) === window,
    isVisible: () => visibilityState?.(document) === "visible",
    isActivated: () => activation === undefined || isActive === undefined || isActive(activation) === true,
    newId: () => apply(randomUUID, crypto, []) as string,
  };
}

/** A method that an object of the realm inherits. */
function inherited(self: object | undefined, name: string): ((...args: never[]) => unknown) | undefined {
  const value: unknown =
    self === undefined ? undefined : getOwnPropertyDescriptor(getPrototypeOf(self), name)?.value;
  return typeof value === "function" ? (value as (...args: never[]) => unknown) : undefined;
}

/** Whether the top window can be reached into, and is of this origin. */
function isSameOrigin(top: unknown, origin: string): boolean {
  try {
    return isObject(top) && (top as Window).location.origin === origin;
  } catch {
    return false;
  }
}
