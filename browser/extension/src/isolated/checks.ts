// What a page must be, and what the person must have done, before a payment or an enrollment is begun.
// The values are read in the isolated world, where the page can't have changed them.

/** The document and its window as they are now. */
export interface Circumstances {
  /** `isSecureContext`. */
  readonly secure: boolean;
  /** Serialised origin of the document, "null" where it has none. */
  readonly origin: string;
  /** Whether every window above is of the same origin; true for the top one. */
  readonly sameOriginAncestors: boolean;
  /** What the permission policy `payment` says, null where the browser has no way to ask. */
  readonly policy: boolean | null;
  /** Transient user activation. */
  readonly activated: boolean;
  /** Whether that activation was used for a payment or an enrollment already. */
  readonly used: boolean;
  /** `visibilityState` is "visible". */
  readonly visible: boolean;
  /** Fully active: shown in a window, not prerendered, not in the back-forward cache. */
  readonly active: boolean;
}

const GUARDED = new Set(["createPayment", "createMozPayment", "beginEnrollment"]);

/** Whether `method` begins something, and so has to pass `refusal`. */
export function isGuarded(method: string): boolean {
  return GUARDED.has(method);
}

/** Why nothing may be begun here and now, or null. */
export function refusal(now: Circumstances): string | null {
  if (!now.active) return "the page is not active";
  if (now.origin === "null" || now.origin === "") return "the page has no origin of its own (a sandboxed frame, a file)";
  if (!now.secure) return "the page did not come over a secure connection";
  if (!now.sameOriginAncestors) return "payments are refused in frames of another origin";
  if (now.policy === false) return "the page's permission policy does not allow payments";
  if (!now.visible) return "the page is not visible";
  if (!now.activated) return "the user has not clicked or typed anything just before";
  if (now.used) return "the user's last click or key was used for another request already";
  return null;
}

/** How long a browser lets a user activation live, in milliseconds; 5 s in Chromium and in Firefox. */
const ACTIVATION_LIFE = 5000;

/**
 * Tells whether an activation was used already: each allows one request. Events that activate are counted; browsers don't
 * let a content script consume an activation.
 */
export class Gestures {
  #count = 0;
  #last: number | null = null;
  #usedCount = -1;
  #usedAt = Number.NEGATIVE_INFINITY;

  /** To be called for every trusted event that activates; `at`: in milliseconds of the clock. */
  seen(at: number): void {
    this.#count += 1;
    this.#last = at;
  }

  /** When the last one was, null if there was none. */
  get last(): number | null {
    return this.#last;
  }

  /** Uses the present activation; `now` in milliseconds. */
  use(now: number): void {
    this.#usedCount = this.#count;
    this.#usedAt = now;
  }

  /** Whether nothing has activated since the last use, as far as can be known; `now` in milliseconds. */
  used(now: number): boolean {
    // After its life an activation that is there must be a newer one (by assistive technology, say, without such an event).
    return this.#usedCount === this.#count && now - this.#usedAt < ACTIVATION_LIFE;
  }
}
