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
  /** The page has completed it: its tab is free, though the host has not closed it yet. */
  completed: boolean;
}

interface Names<F extends Frame> {
  readonly open: Map<string, Open<F>>;
  next: number;
}

/** How long a browser lets a user activation live, in milliseconds; 5 s in Chromium and in Firefox. */
const ACTIVATION_LIFE = 5000;

/** All frames' open payments and enrollments. */
export class Frames<F extends Frame> {
  readonly #frames = new Map<F, Names<F>>();
  readonly #byHost = new Map<string, Open<F>>();
  /** Tab -> the frame that shows, or is about to show, a payment in it. */
  readonly #showing = new Map<number, F>();
  /** Tab -> when a request was begun in it last, in milliseconds of the clock. */
  readonly #used = new Map<number, number>();

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

  /**
   * Uses a click or key in the frame's tab for one request; false when it was used. `gesture`: when the frame itself saw
   * one last, null where its activation came from another frame of the tab. Both times in milliseconds of the clock.
   */
  use(frame: F, gesture: number | null, now: number): boolean {
    for (const [tab, at] of this.#used) {
      if (at > now || now - at >= ACTIVATION_LIFE) this.#used.delete(tab);
    }
    const last = this.#used.get(frame.tab);
    if (last !== undefined && (gesture === null || gesture <= last)) return false;
    this.#used.set(frame.tab, now);
    return true;
  }

  /** The host has opened something for the frame: its name for the frame, null when the frame is gone. */
  opened(frame: F, kind: Kind, host: string): string | null {
    const names = this.#frames.get(frame);
    if (names === undefined || this.#byHost.has(key(kind, host))) return null;
    const local = `${kind === "payment" ? "p" : "e"}${names.next}`;
    names.next += 1;
    const open: Open<F> = { kind, frame, local, host, delivering: false, completed: false };
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

  /** This is over; what was over before changes nothing, the frame may have begun something else since. */
  closed(open: Open<F>): void {
    if (!this.holds(open)) return;
    this.#byHost.delete(key(open.kind, open.host));
    this.#frames.get(open.frame)?.open.delete(key(open.kind, open.local));
    if (open.kind === "payment" && !open.completed) this.release(open.frame);
  }

  /** The page has completed this: another payment may be shown in its tab. */
  completed(open: Open<F>): void {
    if (!this.holds(open) || open.completed) return;
    open.completed = true;
    this.release(open.frame);
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
