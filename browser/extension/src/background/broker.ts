// Between the frames' ports and the host: checks who asks, translates names, ends what nobody waits for any more.
import { ERROR, Failure, type WireError } from "../shared/errors";
import { Malformed, record, type Json } from "../shared/json";
import type { Answer, HostEvent, PageEvent } from "../shared/replies";
import { idOf, name, parseFrameRequest, type FrameCall } from "../shared/requests";
import { switchedOff, type Settings } from "../shared/settings";
import { deliver, type Network } from "./delivery";
import { Frames, type Kind, type Open } from "./frames";
import type { Asker } from "./origin";
import { forPage } from "./words";

/** The host, as the broker uses it. */
export interface Host {
  /** Whether it runs now; a request starts it. */
  readonly connected: boolean;
  request(method: string, params: unknown): Promise<Json>;
  settle(): void;
}

/** One frame's port. */
export interface FramePort extends Asker {
  send(message: Answer | PageEvent): void;
}

/** The broker: one for the whole browser. */
export class Broker {
  readonly #host: Host;
  readonly #network: Network;
  readonly #settings: () => Promise<Settings>;
  readonly #trusted: (origin: string) => Promise<boolean>;
  readonly #frames = new Frames<FramePort>();

  /** `trusted`: whether the TLS certificate of an origin holds. */
  constructor(
    host: Host,
    network: Network,
    settings: () => Promise<Settings>,
    trusted: (origin: string) => Promise<boolean>,
  ) {
    this.#trusted = trusted;
    this.#host = host;
    this.#network = network;
    this.#settings = settings;
  }

  /** Whether anything is open that needs the host. */
  get busy(): boolean {
    return this.#frames.busy;
  }

  /** A frame has connected. */
  connected(frame: FramePort): void {
    this.#frames.add(frame);
  }

  /** A frame's port has gone: the page was left, the tab closed. */
  disconnected(frame: FramePort): void {
    this.#giveUp(this.#frames.remove(frame));
    this.#host.settle();
  }

  /** A message of a frame. Answered always, unless it has no id. */
  async received(frame: FramePort, message: unknown): Promise<void> {
    const id = idOf(message);
    if (id === null) return;
    let answer: Answer;
    try {
      answer = { id, result: await this.#perform(frame, parseFrameRequest(message)) };
    } catch (error) {
      answer = { id, error: forPage(asWire(error)) };
    }
    if (this.#frames.has(frame)) frame.send(answer);
    this.#host.settle();
  }

  /** An event of the host. */
  event(event: HostEvent): void {
    const open = this.#frames.byHost(event);
    // The page may have gone while the event was on its way.
    if (open === null || open.delivering) return;
    if (event.event === "response") {
      if (event.delivery !== undefined) void this.#deliver(open, event);
      else open.frame.send({ event: "response", payment: open.local, details: event.details });
    } else if (event.event === "attestation") {
      open.frame.send({ event: "attestation", enrollment: open.local, attestation: event.attestation });
    } else {
      this.#close(open, event.reason, event.message);
      this.#host.settle();
    }
  }

  /** The host has gone, and with it all that was open. */
  gone(error: WireError): void {
    for (const open of this.#frames.clear()) {
      // What is on its way to a provider ends by the provider's answer.
      if (!open.delivering) open.frame.send(closed(open, error.name, error.message));
    }
  }

  async #perform(frame: FramePort, call: FrameCall): Promise<Json> {
    switch (call.method) {
      case "canMakePayment":
        await this.#allowed(frame);
        return (await this.#host.request(call.method, { origin: frame.origin })) === true;
      case "createPayment":
        return await this.#createPayment(frame, call);
      case "createMozPayment":
        if (!(await this.#settings()).mozPay) throw new Failure(ERROR.refused, "navigator.mozPay is switched off");
        return await this.#createPayment(frame, call);
      case "beginEnrollment":
        await this.#allowed(frame);
        this.#use(frame, call.gesture);
        await this.#certified(frame);
        return { enrollment: await this.#open(frame, "enrollment", call.method, call.params) };
      case "show":
        return await this.#show(frame, call.params.payment);
      case "storeCards": {
        const { enrollment, ...params } = call.params;
        const open = this.#find(frame, "enrollment", enrollment);
        return await this.#host.request(call.method, { enrollment: open.host, ...params });
      }
      case "cancelEnrollment": {
        const open = this.#find(frame, "enrollment", call.params.enrollment);
        return await this.#host.request(call.method, { enrollment: open.host });
      }
      case "abort":
      case "update":
      case "retry":
      case "complete": {
        const { payment, ...params } = call.params;
        const open = this.#find(frame, "payment", payment);
        const answer = await this.#host.request(call.method, { payment: open.host, ...params });
        // The page hears that it is over: its next show() is not to wait for the host's `closed`.
        if (call.method === "complete") this.#frames.completed(open);
        return answer;
      }
    }
  }

  async #allowed(frame: FramePort): Promise<void> {
    const reason = switchedOff(await this.#settings(), frame.host);
    if (reason !== null) throw new Failure(ERROR.refused, reason);
  }

  async #certified(frame: FramePort): Promise<void> {
    if (await this.#trusted(frame.origin)) return;
    throw new Failure(ERROR.refused, "the site's certificate is not valid, or could not be checked");
  }

  /** One request for each click or key, over all frames of a tab: an activation is theirs together. */
  #use(frame: FramePort, gesture: number | null): void {
    if (this.#frames.use(frame, gesture, Date.now())) return;
    throw new Failure(ERROR.refused, "the user's last click or key was used for another request already");
  }

  async #createPayment(
    frame: FramePort,
    { method, params, gesture }: FrameCall & { readonly method: "createPayment" | "createMozPayment" },
  ): Promise<Json> {
    await this.#allowed(frame);
    if (!this.#frames.has(frame)) throw gone();
    if (!this.#frames.take(frame)) throw new Failure(ERROR.showing, "another payment is open in this tab");
    try {
      this.#use(frame, gesture);
      await this.#certified(frame);
      return { payment: await this.#open(frame, "payment", method, params) };
    } catch (error) {
      this.#frames.release(frame);
      throw error;
    }
  }

  /** Opens something at the host; its name for the frame. */
  async #open(frame: FramePort, kind: Kind, method: string, params: object): Promise<string> {
    const result = await this.#host.request(method, { ...params, origin: frame.origin });
    const host = name(record(result, "result", [kind])[kind], `result.${kind}`);
    const local = this.#frames.opened(frame, kind, host);
    if (local !== null) return local;
    this.#forget(kind === "payment" ? [host] : [], kind === "enrollment" ? [host] : []);
    throw gone();
  }

  async #show(frame: FramePort, payment: string): Promise<Json> {
    const open = this.#find(frame, "payment", payment);
    try {
      return await this.#host.request("show", { payment: open.host });
    } catch (error) {
      // A payment that can't be shown is over. (It is already when the host has gone.)
      if (this.#frames.holds(open)) {
        this.#frames.closed(open);
        this.#giveUp([open]);
      }
      throw error;
    }
  }

  #find(frame: FramePort, kind: Kind, local: string): Open<FramePort> {
    const open = this.#frames.find(frame, kind, local);
    if (open === null || open.delivering) throw new Failure(ERROR.unknown, `there is no such ${kind}`);
    return open;
  }

  #close(open: Open<FramePort>, reason: string, message: string): void {
    this.#frames.closed(open);
    if (this.#frames.has(open.frame)) open.frame.send(closed(open, reason, message));
  }

  async #deliver(open: Open<FramePort>, event: HostEvent & { readonly event: "response" }): Promise<void> {
    if (event.delivery === undefined) return;
    open.delivering = true;
    let end: PageEvent;
    let result: "success" | "fail" | "unknown";
    try {
      const transactionID = await deliver(this.#network, event.delivery, event.details);
      end = { event: "delivered", payment: open.local, result: { transactionID } };
      result = "success";
    } catch (error) {
      const failure = asWire(error);
      end = closed(open, failure.name, failure.message);
      // A provider that was not understood may have booked.
      result = failure.name === ERROR.providerRefused ? "fail" : "unknown";
    }
    // The wallet's dialog tells the person how it ended; that it can't be told any more changes nothing for the page.
    if (this.#frames.holds(open)) {
      await this.#host.request("complete", { payment: open.host, result }).catch(() => undefined);
    }
    this.#frames.closed(open);
    if (this.#frames.has(open.frame)) open.frame.send(end);
    this.#host.settle();
  }

  #giveUp(open: readonly Open<FramePort>[]): void {
    const names = (kind: Kind): string[] => open.filter((one) => one.kind === kind).map((one) => one.host);
    if (open.length > 0) this.#forget(names("payment"), names("enrollment"));
  }

  #forget(payments: readonly string[], enrollments: readonly string[]): void {
    // When the host is gone, so is what it had open.
    if (!this.#host.connected) return;
    void this.#host.request("forget", { payments, enrollments }).catch(() => undefined);
  }
}

function closed(open: Open<FramePort>, reason: string, words: string): PageEvent {
  const { message } = forPage({ name: reason, message: words });
  return open.kind === "payment"
    ? { event: "closed", payment: open.local, reason, message }
    : { event: "closed", enrollment: open.local, reason, message };
}

function gone(): Failure {
  return new Failure(ERROR.aborted, "the page was left");
}

/** Any error as it is sent. */
export function asWire(error: unknown): WireError {
  if (error instanceof Failure) return error.wire;
  if (error instanceof Malformed) return { name: ERROR.invalidMessage, message: error.message };
  return { name: ERROR.gone, message: error instanceof Error ? error.message : "the extension failed" };
}
