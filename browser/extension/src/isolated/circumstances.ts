// Reads the document's circumstances from the browser.
import type { Circumstances, Gestures } from "./checks";

/** Chromium's interface to permission policies; Firefox and TypeScript's library have none. */
interface WithPolicy {
  readonly featurePolicy?: { allowsFeature(feature: string): boolean };
  readonly prerendering?: boolean;
}

function sameOriginAncestors(own: string): boolean {
  let current: Window = window;
  while (current !== current.parent) {
    current = current.parent;
    try {
      // Compared as text: document.domain may open a window's objects to another origin, its location's origin stays.
      if (current.location.origin !== own) return false;
    } catch {
      return false;
    }
  }
  return true;
}

/** How things are now. */
export function circumstances(gestures: Gestures): Circumstances {
  const doc: Document & WithPolicy = document;
  // A window that was taken out of its document has no top any more.
  const attached = window.top !== null && document.defaultView === window;
  return {
    secure: window.isSecureContext,
    origin: window.origin,
    sameOriginAncestors: attached && sameOriginAncestors(window.location.origin),
    policy: doc.featurePolicy === undefined ? null : doc.featurePolicy.allowsFeature("payment"),
    activated: navigator.userActivation.isActive,
    used: gestures.used(performance.now()),
    visible: document.visibilityState === "visible",
    active: attached && doc.prerendering !== true,
  };
}

/**
 * Calls `run` once the document is shown: at once, or when it is not prerendered any more (Chromium). A port to the background that
 * is opened before is refused for as long as it lasts.
 */
export function whenShown(doc: EventTarget & WithPolicy, run: () => void): void {
  if (doc.prerendering !== true) {
    run();
    return;
  }
  const look = (): void => {
    whenShown(doc, run);
  };
  doc.addEventListener("prerenderingchange", look, { once: true });
}

/** Events by which a person activates a page (HTML, "activation triggering input event"), one for each act. */
const ACTIVATING = ["keydown", "pointerdown", "pointerup"];

/** Counts the person's own events; scripts' are not trusted. */
export function watchGestures(gestures: Gestures): void {
  for (const type of ACTIVATING) {
    window.addEventListener(
      type,
      (event) => {
        if (event.isTrusted && activates(event)) gestures.seen(Date.now());
      },
      { capture: true, passive: true },
    );
  }
}

function activates(event: Event): boolean {
  // A mouse activates when pressed, a finger or a pen when lifted.
  if (event instanceof PointerEvent) return (event.type === "pointerdown") === (event.pointerType === "mouse");
  return !(event instanceof KeyboardEvent && event.key === "Escape");
}
