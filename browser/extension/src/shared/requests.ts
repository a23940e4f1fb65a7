// Requests from pages (and from the popup), checked once at each border: isolated world, background.
import { flag, integer, list, Malformed, record, text, word } from "./json";

/** Longest message from a page, in UTF-16 units of JSON text. A longer one is dropped unread. */
export const PAGE_MESSAGE_LIMIT = 4 * 1024 * 1024;

/** Longest JSON text inside a message, in UTF-16 units. The host takes frames of 2 MiB. */
export const TEXT_LIMIT = 2 * 1024 * 1024;

/** Longest mozPay request (a JWT), in characters. */
export const JWT_LIMIT = 16 * 1024;

/** Most mozPay requests in a call. */
export const JWT_COUNT = 8;

/** What a page may ask for. Names of payments and enrollments are the frame's own. */
export type PageCall =
  | { readonly method: "canMakePayment"; readonly params: Readonly<Record<string, never>> }
  | { readonly method: "createPayment"; readonly params: { readonly methodData: string; readonly details: string } }
  | { readonly method: "createMozPayment"; readonly params: { readonly requests: readonly string[] } }
  | { readonly method: "show" | "abort"; readonly params: { readonly payment: string } }
  | { readonly method: "update"; readonly params: { readonly payment: string; readonly details: string } }
  | { readonly method: "retry"; readonly params: { readonly payment: string; readonly errorFields: string } }
  | {
      readonly method: "complete";
      readonly params: { readonly payment: string; readonly result: "success" | "fail" | "unknown" };
    }
  | {
      readonly method: "beginEnrollment";
      readonly params: {
        readonly offer: string;
        readonly attachment?: "platform" | "cross-platform";
        readonly replace?: boolean;
      };
    }
  | { readonly method: "storeCards"; readonly params: { readonly enrollment: string; readonly cards: string } }
  | { readonly method: "cancelEnrollment"; readonly params: { readonly enrollment: string } };

/** The same as the isolated world sends it on. */
export type FrameCall = PageCall & {
  /** When the document itself saw a click or key last, in milliseconds of the clock; null where it saw none, or needs none. */
  readonly gesture: number | null;
};

/** What the popup may ask for besides. */
export type PopupCall =
  | { readonly method: "status" | "listCards"; readonly params: Readonly<Record<string, never>> }
  | { readonly method: "cardImage"; readonly params: { readonly card: string } };

/** A call with the number that its answer carries. */
export type Request<Call> = Call & { readonly id: number };

/** Name of a payment or an enrollment: `p1`, `e1`. */
export function name(value: unknown, field: string): string {
  const found = text(value, field, 32);
  if (!/^[a-z][0-9]{1,15}$/.test(found)) throw new Malformed(`${field} is not a name`);
  return found;
}

function numberOf(value: unknown): number {
  return integer(value, "id", 1, Number.MAX_SAFE_INTEGER);
}

/** Name of a card: the last part of its D-Bus path. */
export function cardName(value: unknown, field: string): string {
  const found = text(value, field, 128);
  if (!/^[A-Za-z0-9_]+$/.test(found)) throw new Malformed(`${field} is not a name`);
  return found;
}

/** The id of a message that may be malformed otherwise, so that it can be answered. */
export function idOf(value: unknown): number | null {
  if (typeof value !== "object" || value === null || !("id" in value)) return null;
  const { id } = value;
  return typeof id === "number" && Number.isSafeInteger(id) && id >= 1 ? id : null;
}

/** Reads a page's request. Throws Malformed. */
export function parsePageRequest(value: unknown): Request<PageCall> {
  const message = record(value, "the message", ["id", "method"], ["params"]);
  return { id: numberOf(message["id"]), ...pageCall(message["method"], message["params"] ?? {}) };
}

/** Reads a page's request that the isolated world has passed on. Throws Malformed. */
export function parseFrameRequest(value: unknown): Request<FrameCall> {
  const message = record(value, "the message", ["id", "method"], ["params", "gesture"]);
  const { id, method, params, gesture } = message;
  return {
    id: numberOf(id),
    gesture: gesture === undefined || gesture === null ? null : integer(gesture, "gesture", 0, Number.MAX_SAFE_INTEGER),
    ...pageCall(method, params ?? {}),
  };
}

function pageCall(method: unknown, params: unknown): PageCall {
  switch (method) {
    case "canMakePayment":
      record(params, "params", []);
      return { method, params: {} };
    case "createPayment": {
      const { methodData, details } = record(params, "params", ["methodData", "details"]);
      return {
        method,
        params: {
          methodData: text(methodData, "params.methodData", TEXT_LIMIT),
          details: text(details, "params.details", TEXT_LIMIT),
        },
      };
    }
    case "createMozPayment": {
      const { requests } = record(params, "params", ["requests"]);
      const jwt = (item: unknown, field: string): string => text(item, field, JWT_LIMIT);
      return { method, params: { requests: list(requests, "params.requests", 1, JWT_COUNT, jwt) } };
    }
    case "show":
    case "abort": {
      const { payment } = record(params, "params", ["payment"]);
      return { method, params: { payment: name(payment, "params.payment") } };
    }
    case "update": {
      const { payment, details } = record(params, "params", ["payment", "details"]);
      return {
        method,
        params: { payment: name(payment, "params.payment"), details: text(details, "params.details", TEXT_LIMIT) },
      };
    }
    case "retry": {
      const { payment, errorFields } = record(params, "params", ["payment", "errorFields"]);
      return {
        method,
        params: {
          payment: name(payment, "params.payment"),
          errorFields: text(errorFields, "params.errorFields", TEXT_LIMIT),
        },
      };
    }
    case "complete": {
      const { payment, result } = record(params, "params", ["payment", "result"]);
      return {
        method,
        params: {
          payment: name(payment, "params.payment"),
          result: word(result, "params.result", ["success", "fail", "unknown"]),
        },
      };
    }
    case "beginEnrollment":
      return { method, params: enrollmentParams(params) };
    case "storeCards": {
      const { enrollment, cards } = record(params, "params", ["enrollment", "cards"]);
      return {
        method,
        params: { enrollment: name(enrollment, "params.enrollment"), cards: text(cards, "params.cards", TEXT_LIMIT) },
      };
    }
    case "cancelEnrollment": {
      const { enrollment } = record(params, "params", ["enrollment"]);
      return { method, params: { enrollment: name(enrollment, "params.enrollment") } };
    }
    default:
      throw new Malformed("method is unknown");
  }
}

function enrollmentParams(params: unknown): (PageCall & { readonly method: "beginEnrollment" })["params"] {
  const { offer, attachment, replace } = record(params, "params", ["offer"], ["attachment", "replace"]);
  return {
    offer: text(offer, "params.offer", TEXT_LIMIT),
    ...(attachment === undefined
      ? {}
      : { attachment: word(attachment, "params.attachment", ["platform", "cross-platform"]) }),
    ...(replace === undefined ? {} : { replace: flag(replace, "params.replace") }),
  };
}

/** Reads a request of the popup. Throws Malformed. */
export function parsePopupRequest(value: unknown): Request<PopupCall> {
  const message = record(value, "the message", ["id", "method"], ["params"]);
  const id = numberOf(message["id"]);
  const method = word(message["method"], "method", ["status", "listCards", "cardImage"]);
  const params = message["params"] ?? {};
  if (method !== "cardImage") {
    record(params, "params", []);
    return { id, method, params: {} };
  }
  const { card } = record(params, "params", ["card"]);
  return { id, method, params: { card: cardName(card, "params.card") } };
}
