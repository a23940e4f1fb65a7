// Content script of the isolated world: between the page's script and the background.
import { certificateHolds } from "./certificate";
import { Gestures, isGuarded, refusal } from "./checks";
import { circumstances, watchGestures, whenShown } from "./circumstances";
import { receivePort } from "./handshake";
import { Relay, type BackgroundPort } from "./relay";

function connect(received: (message: unknown) => void, closed: () => void): BackgroundPort {
  const port = chrome.runtime.connect({ name: "fwp" });
  port.onMessage.addListener(received);
  port.onDisconnect.addListener(closed);
  return {
    send: (message) => {
      port.postMessage(message);
    },
    close: () => {
      port.disconnect();
    },
  };
}

const gestures = new Gestures();

function refuse(method: string): string | null {
  if (!isGuarded(method)) return null;
  const reason = refusal(circumstances(gestures));
  if (reason === null) gestures.use(performance.now());
  return reason;
}

function certificate(method: string): Promise<boolean> | null {
  return isGuarded(method) ? certificateHolds() : null;
}

// Tells background/open-pages.ts that this script is here; pages don't see this world's globals.
Object.defineProperty(globalThis, "fwpHere", { value: true });

receivePort(window, (page) => {
  watchGestures(gestures);
  // What is said to a page that goes into the back-forward cache is lost in Firefox: it is kept until the page is back.
  let held: string[] | null = null;
  const toPage = (text: string): void => {
    if (held === null) page.postMessage(text);
    else held.push(text);
  };
  const relay = new Relay({ toPage, connect, refuse, certificate, gesture: () => gestures.last });
  page.addEventListener("message", (event) => {
    relay.fromPage(event.data);
  });
  whenShown(document, () => {
    page.start();
  });
  const leave = (event: Event): void => {
    // A page may make up events: it has not gone, and would wait for its answers for ever.
    if (!event.isTrusted) return;
    held ??= [];
    relay.end();
  };
  const comeBack = (): void => {
    const kept = held ?? [];
    held = null;
    kept.forEach(toPage);
  };
  window.addEventListener("pagehide", leave, { capture: true });
  window.addEventListener("pageshow", comeBack, { capture: true });
});
