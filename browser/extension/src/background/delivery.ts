// mozPay: brings the request and the person's authorization to the provider, and reads its answer within bounds.
import { ERROR, Failure } from "../shared/errors";
import { type JsonObject, Malformed, parseJson, text } from "../shared/json";
import type { Delivery } from "../shared/replies";
import { isLoopback } from "./origin";

/** Largest answer that is read, in bytes. */
export const ANSWER_LIMIT = 64 * 1024;

/** How long one attempt may take, in milliseconds. */
export const TIME_LIMIT = 30_000;

/** Attempts; the provider is idempotent for the same body. */
const ATTEMPTS = 3;

/** Pause before the next attempt, in milliseconds, doubled each time. */
const PAUSE = 1000;

/** What delivery needs from the browser. */
export interface Network {
  fetch(url: string, init: RequestInit): Promise<Response>;
  sleep(milliseconds: number): Promise<void>;
}

/** The transaction's ID at the provider. Throws a Failure with the provider's reason. */
export async function deliver(network: Network, delivery: Delivery, assertion: JsonObject): Promise<string> {
  checkUrl(delivery.url);
  const body = JSON.stringify({ request: delivery.request, fwpAssertion: assertion });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await post(network, delivery.url, body);
    } catch (error) {
      const failure = error instanceof Failure ? error : unavailable("it was not reached in time");
      if (failure.name !== ERROR.providerUnavailable || attempt === ATTEMPTS) throw failure;
      await network.sleep(PAUSE * 2 ** (attempt - 1));
    }
  }
}

function checkUrl(address: string): void {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw unavailable("its address is not a URL");
  }
  const secure = url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname));
  if (!secure || url.username !== "" || url.password !== "") throw unavailable("its address is not a secure one");
}

async function post(network: Network, url: string, body: string): Promise<string> {
  const response = await network.fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(TIME_LIMIT),
  });
  const answer = readAnswer(await boundedText(response));
  if (response.status === 200) {
    if (answer["status"] !== "booked") throw refused("not-booked", answer["message"]);
    return readText(answer["transactionID"], "transactionID", 256);
  }
  if (response.status >= 400 && response.status < 500 && response.status !== 429) {
    throw refused(readText(answer["error"], "error", 64), answer["message"]);
  }
  throw unavailable(`it answers with status ${response.status}`);
}

/** The body as text, at most ANSWER_LIMIT bytes; the rest is never taken from the network. */
async function boundedText(response: Response): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let size = 0;
  let result = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return result + decoder.decode();
      size += value.length;
      if (size > ANSWER_LIMIT) throw unavailable(`its answer is larger than ${ANSWER_LIMIT} bytes`);
      result += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    // Whatever the other side does about it: this answer is of no use.
    reader.cancel().catch(() => undefined);
    if (error instanceof TypeError) throw unavailable("its answer is not text or broke off");
    throw error;
  }
}

function readAnswer(body: string): JsonObject {
  try {
    const value = parseJson(body, ANSWER_LIMIT);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
  }
  throw unavailable("its answer is not a JSON object");
}

function readText(value: unknown, field: string, limit: number): string {
  try {
    return text(value, field, limit);
  } catch {
    throw unavailable(`its answer's ${field} is missing or not as agreed`);
  }
}

function refused(code: string, message: unknown): Failure {
  const words = typeof message === "string" ? `: ${message.slice(0, 512)}` : "";
  return new Failure(ERROR.providerRefused, `${code}${words}`);
}

function unavailable(message: string): Failure {
  return new Failure(ERROR.providerUnavailable, `the payment provider can't be used: ${message}`);
}
