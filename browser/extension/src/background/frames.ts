// What each frame has open, under names of its own, and which tab is showing a payment. No I/O.
import type { HostEvent } from "../shared/replies";

/** What a name stands for. */
export type Kind = "payment" | "enrollment";

/** The other end of a frame's port. */
export interface Frame {
  readonly tab: number;
}

/** One thing that a frame has open. */
export interface Open<F extends Frame> {
  readonly kind: Kind;
  readonly frame: F;
  /** The frame's name for it. */
  readonly local: string;
  /** The host's name for it. */
  readonly host: string;
  /** Its authorization is on the way to a provider: it isn't given up when the page goes. */
  delivering: boolean;
}

interface Names<F extends Frame> {
  readonly open: Map<string, Open<F>>;
  next: number;
}

/** All frames' open payments and enrollments. */
export class Frames<F extends Frame> {
  readonly #frames = new Map<F, Names<F>>();
  readonly #byHost = new Map<string, Open<F>>();
  /** Tab -> the frame that shows, or is about to show, a payment in it. */
  readonly #showing = new Map<number, F>();

  /** Whether anything is open at all. */
  get busy(): boolean {
    return this.#byHost.size > 0 || this.#showing.size > 0;
  }

  /** A frame has come. */
  add(frame: F): void {
    this.#frames.set(frame, { open: new Map(), next: 1 });
  }

  /** Whether the frame is still there. */
  has(frame: F): boolean {
    return this.#frames.has(frame);
  }

  /** Takes the frame's tab for a payment; false when it is taken. */
  take(frame: F): boolean {
    if (this.#showing.has(frame.tab)) return false;
    this.#showing.set(frame.tab, frame);
    return true;
  }

  /** Gives the tab free, if this frame has it. */
  release(frame: F): void {
    if (this.#showing.get(frame.tab) === frame) this.#showing.delete(frame.tab);
  }

  /** The host has opened something for the frame: its name for the frame, null when the frame is gone. */
  opened(frame: F, kind: Kind, host: string): string | null {
    const names = this.#frames.get(frame);
    if (names === undefined || this.#byHost.has(key(kind, host))) return null;
    const local = `${kind === "payment" ? "p" : "e"}${names.next}`;
    names.next += 1;
    const open: Open<F> = { kind, frame, local, host, delivering: false };
    names.open.set(key(kind, local), open);
    this.#byHost.set(key(kind, host), open);
    return local;
  }

  /** What the frame calls by this name. */
  find(frame: F, kind: Kind, local: string): Open<F> | null {
    return this.#frames.get(frame)?.open.get(key(kind, local)) ?? null;
  }

  /** What the host calls so. */
  byHost(event: HostEvent): Open<F> | null {
    if (event.event === "response") return this.#byHost.get(key("payment", event.payment)) ?? null;
    if (event.enrollment !== undefined) return this.#byHost.get(key("enrollment", event.enrollment)) ?? null;
    if (event.event === "closed" && event.payment !== undefined) {
      return this.#byHost.get(key("payment", event.payment)) ?? null;
    }
    return null;
  }

  /** Whether this is still open, at the host that opened it. */
  holds(open: Open<F>): boolean {
    return this.#byHost.get(key(open.kind, open.host)) === open;
  }

  /** This is over. */
  closed(open: Open<F>): void {
    if (this.holds(open)) this.#byHost.delete(key(open.kind, open.host));
    this.#frames.get(open.frame)?.open.delete(key(open.kind, open.local));
    if (open.kind === "payment") this.release(open.frame);
  }

  /** The frame has gone: what is to be given up at the host. */
  remove(frame: F): Open<F>[] {
    const open = [...(this.#frames.get(frame)?.open.values() ?? [])].filter((one) => !one.delivering);
    this.#frames.delete(frame);
    this.release(frame);
    for (const one of open) this.#byHost.delete(key(one.kind, one.host));
    return open;
  }

  /** The host has gone: all that was open. */
  clear(): Open<F>[] {
    const open = [...this.#byHost.values()];
    for (const one of open) this.closed(one);
    return open;
  }
}

function key(kind: Kind, name: string): string {
  return `${kind} ${name}`;
}
