// Gets the page world's port, synchronously and before any script of the page runs: an asynchronous window.postMessage
// would show its port to the page. Both scripts run at document_start, in either order.

const OFFER = "fwp-bridge";
const READY = "fwp-bridge-ready";

/**
 * Calls `take` once with the port that the page-world script offers: its offer is a cancelable MessageEvent, stopped here
 * and answered by preventDefault(), by which the other side knows. Later offers are not looked at.
 */
export function receivePort(target: EventTarget, take: (port: MessagePort) => void): void {
  const listener = (event: Event): void => {
    if (!(event instanceof MessageEvent)) return;
    const port = event.ports[0];
    if (port === undefined) return;
    target.removeEventListener(OFFER, listener, { capture: true });
    event.stopImmediatePropagation();
    event.preventDefault();
    take(port);
  };
  target.addEventListener(OFFER, listener, { capture: true });
  // Where the page-world script came first, it offers again at once.
  target.dispatchEvent(new Event(READY));
}
