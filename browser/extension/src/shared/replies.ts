// Answers and events, from the host to the background, on to the isolated world and the page.
import type { WireError } from "./errors";
import { integer, type Json, type JsonObject, Malformed, opaque, record, text } from "./json";
import { JWT_LIMIT, name } from "./requests";

/** Longest message from the host, in UTF-16 units of its JSON; browsers take at most 1 MiB. */
export const REPLY_LIMIT = 1024 * 1024;

const REASON_LIMIT = 256;
const MESSAGE_LIMIT = 4096;

/** The answer to one request. */
export type Answer =
  | { readonly id: number; readonly result: Json }
  | { readonly id: number; readonly error: WireError };

/** Where the background brings a mozPay authorization. */
export interface Delivery {
  readonly url: string;
  readonly typ: string;
  readonly request: string;
}

/** A payment's or an enrollment's end. */
export interface Closed {
  readonly event: "closed";
  readonly payment?: string;
  readonly enrollment?: string;
  readonly reason: string;
  readonly message: string;
}

/** What the host tells unasked. */
export type HostEvent =
  | { readonly event: "response"; readonly payment: string; readonly details: JsonObject; readonly delivery?: Delivery }
  | { readonly event: "attestation"; readonly enrollment: string; readonly attestation: JsonObject }
  | Closed;

/** What a page is told unasked. */
export type PageEvent =
  | { readonly event: "response"; readonly payment: string; readonly details: JsonObject }
  | { readonly event: "attestation"; readonly enrollment: string; readonly attestation: JsonObject }
  | { readonly event: "delivered"; readonly payment: string; readonly result: { readonly transactionID: string } }
  | Closed;

/** Answer or event? */
export function isAnswer(value: unknown): boolean {
  return typeof value === "object" && value !== null && "id" in value;
}

/** Reads an answer. Throws Malformed. */
export function parseAnswer(value: unknown): Answer {
  const message = record(value, "the answer", ["id"], ["result", "error"]);
  const id = integer(message["id"], "id", 1, Number.MAX_SAFE_INTEGER);
  if ("error" in message === "result" in message) throw new Malformed("the answer has not one of result and error");
  if (!("error" in message)) return { id, result: message["result"] as Json };
  const error = record(message["error"], "error", ["name", "message"]);
  return {
    id,
    error: {
      name: text(error["name"], "error.name", REASON_LIMIT),
      message: text(error["message"], "error.message", MESSAGE_LIMIT, true),
    },
  };
}

/** Reads an event of the host. Throws Malformed. */
export function parseHostEvent(value: unknown): HostEvent {
  const event = common(value);
  if (event !== null) return event;
  const message = record(value, "the event", ["event", "payment", "details"], ["delivery"]);
  if (message["event"] !== "response") throw new Malformed("the event is unknown");
  const response = {
    event: "response" as const,
    payment: name(message["payment"], "payment"),
    details: opaque(message["details"], "details"),
  };
  if (message["delivery"] === undefined) return response;
  const { url, typ, request } = record(message["delivery"], "delivery", ["url", "typ", "request"]);
  return {
    ...response,
    delivery: {
      url: text(url, "delivery.url", 2048),
      typ: text(typ, "delivery.typ", 128),
      request: text(request, "delivery.request", JWT_LIMIT),
    },
  };
}

/** Reads an event on its way to the page. Throws Malformed. */
export function parsePageEvent(value: unknown): PageEvent {
  const event = common(value);
  if (event !== null) return event;
  if (kind(value) === "delivered") {
    const { payment, result } = record(value, "the event", ["event", "payment", "result"]);
    const { transactionID } = record(result, "result", ["transactionID"]);
    return {
      event: "delivered",
      payment: name(payment, "payment"),
      result: { transactionID: text(transactionID, "result.transactionID", 256) },
    };
  }
  const { event: word, payment, details } = record(value, "the event", ["event", "payment", "details"]);
  if (word !== "response") throw new Malformed("the event is unknown");
  return { event: word, payment: name(payment, "payment"), details: opaque(details, "details") };
}

function kind(value: unknown): unknown {
  return typeof value === "object" && value !== null && "event" in value ? value.event : undefined;
}

/** The events that have one form everywhere. */
function common(value: unknown): (HostEvent & PageEvent) | null {
  const event = kind(value);
  if (event === "attestation") {
    const { enrollment, attestation } = record(value, "the event", ["event", "enrollment", "attestation"]);
    return { event, enrollment: name(enrollment, "enrollment"), attestation: opaque(attestation, "attestation") };
  }
  if (event !== "closed") return null;
  const message = record(value, "the event", ["event", "reason", "message"], ["payment", "enrollment"]);
  if ("payment" in message === "enrollment" in message) throw new Malformed("closed names not one thing");
  return {
    event,
    ...("payment" in message
      ? { payment: name(message["payment"], "payment") }
      : { enrollment: name(message["enrollment"], "enrollment") }),
    reason: text(message["reason"], "reason", REASON_LIMIT),
    message: text(message["message"], "message", MESSAGE_LIMIT, true),
  };
}
