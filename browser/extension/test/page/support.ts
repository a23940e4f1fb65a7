// Stand-ins for what the page script has around it: the isolated world and the wallet behind it, and a window's state.
import type { Bridge, Listener, Params } from "../../src/page/bridge";
import type { Failure } from "../../src/page/errors";
import { Payments } from "../../src/page/payments";
import type { Surroundings } from "../../src/page/surroundings";

/** One request that was sent, with its ends. */
export interface Sent {
  readonly method: string;
  readonly params: Record<string, unknown>;
  readonly succeed: (result: unknown) => void;
  readonly fail: (failure: Failure) => void;
}

/** The other end of a bridge, driven by the test: nothing is answered unless the test says so. */
export class FakeBridge {
  readonly sent: Sent[] = [];
  readonly listeners = new Map<string, Listener>();

  request(method: string, params: Params, succeed: (result: unknown) => void, fail: (failure: Failure) => void): void {
    const members = params.filter(([, json]) => json !== "").map(([name, json]) => [name, JSON.parse(json) as unknown]);
    this.sent.push({ method, params: Object.fromEntries(members) as Record<string, unknown>, succeed, fail });
  }

  listen(kind: string, name: string, listener: Listener): void {
    this.listeners.set(`${kind}:${name}`, listener);
  }

  forget(kind: string, name: string): void {
    this.listeners.delete(`${kind}:${name}`);
  }

  /** The methods sent so far. */
  get methods(): string[] {
    return this.sent.map(({ method }) => method);
  }

  /** The last request of a method. */
  last(method: string): Sent {
    const found = this.sent.filter((sent) => sent.method === method).at(-1);
    if (found === undefined) {
      throw new Error(`no ${method} was sent, only ${this.methods.join(", ")}`);
    }
    return found;
  }

  /** Says something about a payment. */
  event(event: string, payment: string, more: object): void {
    this.listeners.get(`payment:${payment}`)?.(event, { event, payment, ...more });
  }

  get asBridge(): Bridge {
    return this as unknown as Bridge;
  }
}

/** A window's state that the test sets. */
export class FakeSurroundings implements Surroundings {
  allowed = true;
  active = true;
  visible = true;
  activated = true;
  readonly checkAllowed = (): void => {
    if (!this.allowed) {
      throw new DOMException("not allowed", "SecurityError");
    }
  };
  readonly isFullyActive = (): boolean => this.active;
  readonly isVisible = (): boolean => this.visible;
  readonly isActivated = (): boolean => this.activated;
  readonly newId = (): string => "made-up";
}

/** Our method's data. */
export const DATA = { payeeName: "Space Shop", networks: [{ id: "https://banknet2.org" }] };
/** A list with our method. */
export const METHODS: readonly object[] = [{ supportedMethods: "fido-web-pay/v1", data: DATA }];
/** Good details. */
export const DETAILS = { id: "7040566321", total: { label: null, amount: { currency: "eur", value: "435.00" } } };

/** What the supplied PaymentRequest looks like to TypeScript. */
export interface Request extends EventTarget {
  readonly id: string;
  onpaymentmethodchange: unknown;
  show(details?: unknown): Promise<Response>;
  abort(): Promise<unknown>;
  canMakePayment(): Promise<boolean>;
}

/** What the supplied PaymentResponse looks like. */
export interface Response extends EventTarget {
  readonly requestId: string;
  readonly methodName: string;
  readonly details: Record<string, unknown>;
  complete(result?: unknown, details?: unknown): Promise<unknown>;
  retry(fields?: unknown): Promise<unknown>;
  toJSON(): object;
}

/** The name of what a promise is rejected with, "fulfilled" if it isn't. */
export async function rejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "fulfilled";
  } catch (error) {
    return (error as Error).name;
  }
}

/** The name of what is thrown, "" if nothing is. */
export function thrown(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (error) {
    return (error as Error).name;
  }
}

/** Payments for a bridge and a window. */
export function paymentsOf(bridge: FakeBridge, surroundings: Surroundings, responseClass: () => never): Payments {
  return new Payments(bridge.asBridge, surroundings, responseClass);
}
