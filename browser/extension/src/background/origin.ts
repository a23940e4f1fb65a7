// Who asks: the browser's word about the sender of a message, never the page's.
import { ERROR, Failure } from "../shared/errors";

/** The parts of chrome.runtime.MessageSender that are looked at. */
export interface Sender {
  readonly id?: string | undefined;
  readonly origin?: string | undefined;
  readonly frameId?: number | undefined;
  readonly documentLifecycle?: string | undefined;
  readonly tab?: { readonly id?: number | undefined } | undefined;
}

/** The frame at the other end of a port. */
export interface Asker {
  /** Serialised origin, as `https://shop.example:8443`. */
  readonly origin: string;
  /** Host of the origin, without port. */
  readonly host: string;
  /** The browser's number of the tab. */
  readonly tab: number;
}

/**
 * Who sent this. `sender.origin` is the document's real origin: a sandboxed frame has "null" there, while `sender.url`
 * and its address bar show the shop. Both browsers give it (Firefox since 126).
 */
export function askerOf(sender: Sender | undefined, ownId: string): Asker {
  if (sender?.id !== ownId) throw refused("the message is not from this extension");
  if (sender.documentLifecycle !== undefined && sender.documentLifecycle !== "active") {
    throw refused("the page is not active");
  }
  const tab = sender.tab?.id;
  if (tab === undefined || tab < 0) throw refused("the page is not in a tab");
  const origin = sender.origin;
  if (origin === undefined || origin === "null") throw refused("the page has no origin of its own");
  let url: URL;
  try {
    url = new URL(origin);
  } catch {
    throw refused("the page's origin is not understood");
  }
  if (url.origin !== origin) throw refused("the page's origin is not understood");
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback(url.hostname))) {
    throw refused("the page did not come over a secure connection");
  }
  return { origin, host: url.hostname, tab };
}

/** Whether a host, as `URL.hostname` writes it, is this computer: what browsers take as secure without TLS. */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    host === "[::1]" ||
    /^127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$/.test(host)
  );
}

function refused(message: string): Failure {
  return new Failure(ERROR.refused, message);
}
