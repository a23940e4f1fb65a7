// The one native port: opened when first needed, greeted, closed when nothing is open, opened anew after a crash.
import { ERROR, Failure, type WireError } from "../shared/errors";
import { integer, type Json, Malformed, record, text } from "../shared/json";
import { isAnswer, parseAnswer, parseHostEvent, type HostEvent } from "../shared/replies";

/** Version of the host's protocol that this extension speaks. */
export const PROTOCOL = 1;

/** Largest frame that the host takes, in bytes of UTF-8. */
export const FRAME_LIMIT = 2 * 1024 * 1024;

/** How long the host may take to greet, in milliseconds: it and the daemon may have to be started. */
const HELLO_LIMIT = 30_000;

/** How long an idle port is kept, in milliseconds: canMakePayment() is followed by show(). */
export const IDLE_LIMIT = 5_000;

/** A port to the native host, as the browser gives it. */
export interface NativePort {
  send(message: unknown): void;
  close(): void;
}

/** What the link needs from the browser. */
export interface Native {
  /** Starts the host; `closed` gets the browser's words why it ended. */
  connect(received: (message: unknown) => void, closed: (why: string) => void): NativePort;
  /** Calls `task` after so many milliseconds; returns a way to cancel. */
  later(milliseconds: number, task: () => void): () => void;
}

/** The browser that we run in, for platformData. */
export interface BrowserName {
  readonly name: string;
  readonly version: string;
}

/** What the owner of the link hears. */
export interface Listener {
  /** An event of the host. */
  event(event: HostEvent): void;
  /** The host is gone: nothing that it named exists any more. */
  gone(error: WireError): void;
  /** Whether anything is open that needs the host. */
  busy(): boolean;
}

interface Waiting {
  resolve(result: Json): void;
  reject(error: Failure): void;
}

/** One run of the host. */
interface Session {
  readonly port: NativePort;
  readonly waiting: Map<number, Waiting>;
  greeted: boolean;
  ready: Promise<void>;
  /** Why it is over, null while it runs. */
  ended: WireError | null;
}

/** The link to the host. */
export class HostLink {
  readonly #native: Native;
  readonly #browser: () => Promise<BrowserName>;
  readonly #listener: Listener;
  #session: Session | null = null;
  #nextId = 1;
  #stopIdle: (() => void) | null = null;

  constructor(native: Native, browser: () => Promise<BrowserName>, listener: Listener) {
    this.#native = native;
    this.#browser = browser;
    this.#listener = listener;
  }

  /** Whether a host runs now. */
  get connected(): boolean {
    return this.#session !== null;
  }

  /** Asks the host. Rejects with a Failure. */
  async request(method: string, params: unknown): Promise<Json> {
    const session = this.#session ?? this.#open();
    await session.ready;
    return this.#send(session, method, params);
  }

  /** To be called when something has ended: closes the port after a while when nothing is open. */
  settle(): void {
    this.#stopIdle?.();
    this.#stopIdle = null;
    if (this.#session === null || this.#needed()) return;
    this.#stopIdle = this.#native.later(IDLE_LIMIT, () => {
      this.#stopIdle = null;
      if (this.#session !== null && !this.#needed()) this.#close(this.#session);
    });
  }

  #needed(): boolean {
    return this.#session !== null && (this.#session.waiting.size > 0 || this.#listener.busy());
  }

  #open(): Session {
    const waiting = new Map<number, Waiting>();
    let session: Session | null = null;
    let port: NativePort;
    try {
      port = this.#native.connect(
        (message) => {
          if (session !== null) this.#received(session, message);
        },
        (why) => {
          if (session !== null) this.#ended(session, why);
        },
      );
    } catch (error) {
      throw new Failure(ERROR.notInstalled, notInstalled(error instanceof Error ? error.message : ""));
    }
    session = { port, waiting, greeted: false, ready: Promise.resolve(), ended: null };
    session.ready = this.#greet(session);
    this.#session = session;
    return session;
  }

  async #greet(session: Session): Promise<void> {
    const stop = this.#native.later(HELLO_LIMIT, () => {
      if (!session.greeted) this.#broken(session, "the wallet's browser program does not answer");
    });
    try {
      const hello = await this.#send(session, "hello", { protocol: PROTOCOL, browser: await this.#browser() });
      parseHello(hello);
      session.greeted = true;
    } catch (error) {
      if (error instanceof Malformed) this.#broken(session, `the wallet's browser program: ${error.message}`);
      else if (this.#session === session) this.#close(session);
      throw error instanceof Failure ? error : new Failure(ERROR.gone, (error as Error).message);
    } finally {
      stop();
    }
  }

  #send(session: Session, method: string, params: unknown): Promise<Json> {
    if (session.ended !== null) return Promise.reject(new Failure(session.ended.name, session.ended.message));
    const id = this.#nextId;
    const message = { id, method, params };
    if (new TextEncoder().encode(JSON.stringify(message)).length > FRAME_LIMIT) {
      return Promise.reject(new Failure(ERROR.tooLarge, `the request is larger than ${FRAME_LIMIT} bytes`));
    }
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      session.waiting.set(id, { resolve, reject });
      try {
        session.port.send(message);
      } catch {
        this.#broken(session, "the wallet's browser program can't be written to");
      }
    });
  }

  #received(session: Session, message: unknown): void {
    if (this.#session !== session) return;
    try {
      if (!isAnswer(message)) {
        this.#listener.event(parseHostEvent(message));
        return;
      }
      const answer = parseAnswer(message);
      const waiting = session.waiting.get(answer.id);
      if (waiting === undefined) throw new Malformed("an answer that nobody waits for");
      session.waiting.delete(answer.id);
      if ("error" in answer) waiting.reject(new Failure(answer.error.name, answer.error.message));
      else waiting.resolve(answer.result);
      this.settle();
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#broken(session, `the wallet's browser program sent nonsense: ${error.message}`);
    }
  }

  /** The browser says that the port is closed. */
  #ended(session: Session, why: string): void {
    if (this.#session !== session) return;
    if (!session.greeted && /not found|no such native|forbidden|not installed|failed to start/i.test(why)) {
      this.#forget(session, { name: ERROR.notInstalled, message: notInstalled(why) });
    } else {
      const message = `the wallet's browser program has ended${why === "" ? "" : ` (${why})`}`;
      this.#forget(session, { name: ERROR.gone, message });
    }
  }

  /** The host can't be relied on: it is left. */
  #broken(session: Session, message: string): void {
    if (this.#session !== session) return;
    session.port.close();
    this.#forget(session, { name: ERROR.gone, message });
  }

  #close(session: Session): void {
    this.#session = null;
    session.ended = { name: ERROR.gone, message: "the wallet's browser program was not needed any more" };
    session.port.close();
  }

  #forget(session: Session, error: WireError): void {
    this.#session = null;
    session.ended = error;
    this.#stopIdle?.();
    this.#stopIdle = null;
    const waiting = [...session.waiting.values()];
    session.waiting.clear();
    this.#listener.gone(error);
    for (const one of waiting) one.reject(new Failure(error.name, error.message));
  }
}

function parseHello(value: Json): void {
  const hello = record(value, "hello", ["host", "protocol", "wallet"]);
  text(hello["host"], "hello.host", 64);
  if (hello["wallet"] !== null) text(hello["wallet"], "hello.wallet", 64);
  const protocol = integer(hello["protocol"], "hello.protocol", 1, Number.MAX_SAFE_INTEGER);
  if (protocol !== PROTOCOL) {
    throw new Malformed(`it speaks protocol ${protocol}, this extension ${PROTOCOL}; update both`);
  }
}

function notInstalled(why: string): string {
  const words = why === "" ? "" : ` (${why})`;
  return `the wallet is not set up for this browser: install fwpd, then run "fwpctl browser install"${words}`;
}
