// Passes requests of the page's port on to the background, after the checks, and answers and events back.
// What is open ends here when the background, the extension or the page goes.
import { ERROR, Failure, type WireError } from "../shared/errors";
import { Malformed, parseJson } from "../shared/json";
import { isAnswer, parseAnswer, parsePageEvent, type Answer, type PageEvent } from "../shared/replies";
import { idOf, PAGE_MESSAGE_LIMIT, parsePageRequest, type PageCall, type Request } from "../shared/requests";
import { isGuarded } from "./checks";

/** A port to the background. */
export interface BackgroundPort {
  send(message: unknown): void;
  close(): void;
}

/** What the relay needs from its surroundings. */
export interface Surroundings {
  /** Sends JSON text to the page. */
  toPage(text: string): void;
  /** Opens a port to the background; throws when the extension is gone. */
  connect(received: (message: unknown) => void, closed: () => void): BackgroundPort;
  /** Why `method` may not be begun now, or null; an allowed one uses up the user's activation. */
  refuse(method: string): string | null;
  /** When the document saw a click or key last, in milliseconds of the clock, or null. */
  gesture(): number | null;
  /** Whether the document's certificate holds; null when `method` needs none that does. */
  certificate(method: string): Promise<boolean> | null;
}

/** Requests that may wait for an answer at a time; a page that has more is not a shop. */
const PENDING_LIMIT = 64;

/** One document's relay. */
export class Relay {
  readonly #surroundings: Surroundings;
  readonly #pending = new Map<number, string>();
  readonly #payments = new Set<string>();
  readonly #enrollments = new Set<string>();
  #port: BackgroundPort | null = null;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  /** A message of the page: JSON text, else it is dropped. */
  fromPage(data: unknown): void {
    if (typeof data !== "string" || data.length > PAGE_MESSAGE_LIMIT) return;
    let message: unknown;
    try {
      message = parseJson(data, PAGE_MESSAGE_LIMIT);
    } catch {
      return;
    }
    const id = idOf(message);
    // An id that is in use has its answer coming: a second one would be ambiguous.
    if (id === null || this.#pending.has(id)) return;
    try {
      const request = parsePageRequest(message);
      if (this.#pending.size >= PENDING_LIMIT) throw new Failure(ERROR.refused, "too many requests at a time");
      const reason = this.#surroundings.refuse(request.method);
      if (reason !== null) throw new Failure(ERROR.refused, reason);
      this.#pending.set(id, request.method);
      const certificate = this.#surroundings.certificate(request.method);
      const sent = isGuarded(request.method) ? { ...request, gesture: this.#surroundings.gesture() } : request;
      if (certificate === null) this.#connected().send(sent);
      else void this.#sendCertified(sent, certificate);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  async #sendCertified(request: Request<PageCall>, certificate: Promise<boolean>): Promise<void> {
    try {
      if (!(await certificate)) throw new Failure(ERROR.refused, "the page's certificate is not valid");
      // The page may have been left meanwhile.
      if (this.#pending.has(request.id)) this.#connected().send(request);
    } catch (error) {
      if (this.#pending.has(request.id)) this.#fail(request.id, error);
    }
  }

  #fail(id: number, error: unknown): void {
    this.#pending.delete(id);
    this.#answer({ id, error: asWire(error) });
  }

  /** The page went away or into the back-forward cache: all its requests end. */
  end(): void {
    const port = this.#port;
    this.#port = null;
    port?.close();
    this.#finish({ name: ERROR.aborted, message: "the page was left" });
  }

  #connected(): BackgroundPort {
    if (this.#port !== null) return this.#port;
    let port: BackgroundPort;
    try {
      port = this.#surroundings.connect(
        (message) => {
          this.#fromBackground(message);
        },
        () => {
          if (this.#port !== port) return;
          this.#port = null;
          this.#finish({ name: ERROR.gone, message: "the extension's background process has ended" });
        },
      );
    } catch {
      throw new Failure(ERROR.gone, "the extension was reloaded or removed; reload the page");
    }
    this.#port = port;
    return port;
  }

  #fromBackground(message: unknown): void {
    try {
      if (isAnswer(message)) {
        this.#answered(parseAnswer(message));
      } else {
        this.#happened(parsePageEvent(message));
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      // Our own background sent nonsense: nothing on this port can be relied on.
      const port = this.#port;
      this.#port = null;
      port?.close();
      this.#finish({ name: ERROR.gone, message: error.message });
    }
  }

  #answered(answer: Answer): void {
    const method = this.#pending.get(answer.id);
    if (method === undefined) return;
    this.#pending.delete(answer.id);
    if ("result" in answer) this.#opened(answer.result);
    this.#answer(answer);
  }

  #opened(result: unknown): void {
    if (typeof result !== "object" || result === null) return;
    if ("payment" in result && typeof result.payment === "string") this.#payments.add(result.payment);
    if ("enrollment" in result && typeof result.enrollment === "string") this.#enrollments.add(result.enrollment);
  }

  #happened(event: PageEvent): void {
    if (event.event === "delivered") this.#payments.delete(event.payment);
    if (event.event === "closed") {
      if (event.payment !== undefined) this.#payments.delete(event.payment);
      if (event.enrollment !== undefined) this.#enrollments.delete(event.enrollment);
    }
    this.#surroundings.toPage(JSON.stringify(event));
  }

  /** Ends all that is pending or open with one error. */
  #finish(error: WireError): void {
    for (const id of this.#pending.keys()) this.#answer({ id, error });
    this.#pending.clear();
    const { name: reason, message } = error;
    for (const payment of this.#payments) this.#tell({ event: "closed", payment, reason, message });
    for (const enrollment of this.#enrollments) this.#tell({ event: "closed", enrollment, reason, message });
    this.#payments.clear();
    this.#enrollments.clear();
  }

  #answer(answer: Answer): void {
    this.#surroundings.toPage(JSON.stringify(answer));
  }

  #tell(event: PageEvent): void {
    this.#surroundings.toPage(JSON.stringify(event));
  }
}

function asWire(error: unknown): WireError {
  if (error instanceof Failure) return error.wire;
  if (error instanceof Malformed) return { name: ERROR.invalidMessage, message: error.message };
  return { name: ERROR.gone, message: "the extension does not answer; reload the page" };
}
