// Pages that were loaded before the scripts were registered: at the browser's start (Chromium may load the first page before
// an extension's registered scripts) and after installation. They get the scripts late. A page's own scripts have run by then, so
// it may have looked for PaymentRequest in vain and has to be reloaded; what a payment must pass is checked all the same.
import { switchedOff, type Settings } from "../shared/settings";

/** Key in storage.session, which lasts as long as the browser runs. */
const DONE_KEY = "openPagesDone";

/** What a frame says of itself. */
interface Found {
  readonly here: boolean;
  readonly host: string;
}

/** Runs in the frame's isolated world: `fwpHere` is set there by isolated.js. */
function look(): Found {
  return { here: "fwpHere" in globalThis, host: window.location.hostname };
}

async function fill(tabId: number, settings: Settings): Promise<void> {
  const frames = await chrome.scripting.executeScript({
    target: { tabId, allFrames: true },
    func: look,
    injectImmediately: true,
  });
  const missing = frames.flatMap(({ frameId, result }) =>
    result !== undefined && !result.here && switchedOff(settings, result.host) === null ? [frameId] : [],
  );
  if (missing.length === 0) return;
  const target = { tabId, frameIds: missing };
  await chrome.scripting.executeScript({ target, files: ["isolated.js"], injectImmediately: true });
  const page = settings.mozPay ? "page-mozpay.js" : "page.js";
  await chrome.scripting.executeScript({ target, files: [page], world: "MAIN", injectImmediately: true });
}

/** Gives the open pages the scripts that they lack, once in a run of the browser. */
export async function fillOpenPages(settings: Settings): Promise<void> {
  const done = await chrome.storage.session.get(DONE_KEY);
  if (DONE_KEY in done) return;
  await chrome.storage.session.set({ [DONE_KEY]: true });
  if (!settings.enabled) return;
  const tabs = await chrome.tabs.query({ url: [...__MATCHES__], discarded: false });
  for (const { id } of tabs) {
    // A tab may be closed, or show an error page, by now.
    if (id !== undefined) await fill(id, settings).catch(() => undefined);
  }
}
