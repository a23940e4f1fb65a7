// The page-world end of the bridge to the isolated world: one MessagePort, JSON texts both ways.
//
// The handshake is synchronous. The port travels in an event on `window` that the isolated world's listener takes and
// stops at document_start, before any script of the page could listen; window.postMessage would show it to the page. Whichever
// of the two scripts comes first: the page's one offers at its start, and again when it is told that the other listens.
// Should a page take the port nevertheless, it has what it has anyway: the power to make requests in its own name, each of
// which the isolated world, the background and the wallet check; and it answers itself.
import type { Failure } from "./errors";
import { quote } from "./fwp-checks";
import {
  MapClass,
  MessageChannelClass,
  MessageEventClass,
  addEventListener,
  apply,
  construct,
  dispatchEvent,
  getterOf,
  jsonParse,
  mapDelete,
  mapGet,
  mapSet,
  own,
  postMessage,
  promiseOf,
  propertyOf,
  react,
  stopImmediatePropagation,
  withoutPrototype,
} from "./primordials";

/** What an isolated world hears of the port. */
const OFFER = "fwp-bridge";
/** What it says when it has begun to listen. */
const READY = "fwp-bridge-ready";

/** Requests that the background answers (and none other). */
export type Method =
  | "canMakePayment"
  | "createPayment"
  | "createMozPayment"
  | "show"
  | "abort"
  | "update"
  | "retry"
  | "complete"
  | "beginEnrollment"
  | "storeCards"
  | "cancelEnrollment";

/** Hears of one payment or enrollment: the event's object, its properties to be read by `own`. */
export type Listener = (event: string, message: unknown) => void;

/** Who waits for an answer. */
interface Waiting {
  readonly succeed: (result: unknown) => void;
  readonly fail: (failure: Failure) => void;
}

/** The members of a request's parameters: names with JSON texts; "" leaves one out. */
export type Params = readonly (readonly [name: string, json: string])[];

const portSetOnmessage = propertyOf(MessagePort.prototype, "onmessage")?.set;
const eventData = getterOf(MessageEvent.prototype, "data");
const channelPort1 = getterOf(MessageChannel.prototype, "port1");
const channelPort2 = getterOf(MessageChannel.prototype, "port2");
const defaultPrevented = getterOf(Event.prototype, "defaultPrevented");

/** Text is missing in an answer: the other end is not one of ours. */
const GARBLED: Failure = { name: "fwp-host.Gone", message: "The wallet's answer could not be read" };

/** The bridge of one window. */
export class Bridge {
  readonly #port: MessagePort;
  #taken = false;
  #lastId = 0;
  readonly #waiting = construct(MapClass, []) as Map<number, Waiting>;
  /** By "payment:" or "enrollment:" and the name. */
  readonly #listeners = construct(MapClass, []) as Map<string, Listener>;

  /** Offers a port to the isolated world, now and, if it isn't there yet, as soon as it says so. */
  constructor(target: EventTarget) {
    const channel = construct(MessageChannelClass, []);
    this.#port = channelPort1?.(channel) as MessagePort;
    const theirs = channelPort2?.(channel) as MessagePort;
    const receive = (event: object): void => {
      this.#receive(eventData?.(event));
    };
    if (portSetOnmessage !== undefined) {
      apply(portSetOnmessage, this.#port, [receive]);
    }
    this.#offer(target, theirs);
    const onReady = (event: Event): void => {
      if (!this.#taken) {
        stopImmediatePropagation(event);
        this.#offer(target, theirs);
      }
    };
    if (!this.#taken) {
      addEventListener(target, READY, onReady, true);
    }
  }

  #offer(target: EventTarget, port: MessagePort): void {
    const init = withoutPrototype<MessageEventInit>({ cancelable: true, ports: [port] });
    const event = construct(MessageEventClass, [OFFER, init]) as Event;
    dispatchEvent(target, event);
    this.#taken = defaultPrevented?.(event) === true;
  }

  /** Sends a request; exactly one of the two is called, once. */
  request(method: Method, params: Params, succeed: (result: unknown) => void, fail: (failure: Failure) => void): void {
    if (!this.#taken) {
      // Nobody will answer: the extension was removed or switched off between the start of this page and now.
      // Later, like every answer: who asks is to have its promise or object first.
      const refuse = (): void => {
        fail({ name: "fwp-host.NotInstalled", message: "The wallet's browser extension is not running on this page" });
      };
      react(promiseOf(undefined), refuse, refuse);
      return;
    }
    const id = ++this.#lastId;
    mapSet(this.#waiting, id, { succeed, fail });
    let members = "";
    for (let i = 0; i < params.length; i++) {
      const param = params[i] as Params[number];
      if (param[1] !== "") {
        members += `${members === "" ? "" : ","}${quote(param[0])}:${param[1]}`;
      }
    }
    postMessage(this.#port, `{"id":${id},"method":${quote(method)},"params":{${members}}}`);
  }

  /** From now on `listener` hears of what happens to this payment or enrollment. */
  listen(kind: "payment" | "enrollment", name: string, listener: Listener): void {
    mapSet(this.#listeners, `${kind}:${name}`, listener);
  }

  /** Nobody hears of it any more. */
  forget(kind: "payment" | "enrollment", name: string): void {
    mapDelete(this.#listeners, `${kind}:${name}`);
  }

  #receive(text: unknown): void {
    if (typeof text !== "string") {
      return;
    }
    let message: unknown;
    try {
      message = jsonParse(text);
    } catch {
      return;
    }
    const id = own(message, "id");
    if (typeof id === "number") {
      this.#answer(id, message);
      return;
    }
    const event = own(message, "event");
    if (typeof event !== "string") {
      return;
    }
    const payment = own(message, "payment");
    const key = typeof payment === "string" ? `payment:${payment}` : `enrollment:${textOf(own(message, "enrollment"))}`;
    mapGet(this.#listeners, key)?.(event, message);
  }

  #answer(id: number, message: unknown): void {
    const waiting = mapGet(this.#waiting, id);
    if (waiting === undefined) {
      return;
    }
    mapDelete(this.#waiting, id);
    const error = own(message, "error");
    if (error === undefined) {
      waiting.succeed(own(message, "result"));
      return;
    }
    const name = own(error, "name");
    waiting.fail(typeof name === "string" ? { name, message: textOf(own(error, "message")) } : GARBLED);
  }
}

/** A string as it is, everything else as "". */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** How a payment or enrollment ended, out of its "closed" event. */
export function failureOf(message: unknown): Failure {
  return { name: textOf(own(message, "reason")), message: textOf(own(message, "message")) };
}
