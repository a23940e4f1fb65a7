// The browser's interfaces, as the background's other parts want them.
import { parseSettings, SETTINGS_KEY, type Settings } from "../shared/settings";
import type { BrowserName, Native, NativePort } from "./link";
import type { Network } from "./delivery";

/** Name of the native messaging host, as in its manifest. */
const HOST_NAME = "io.github.fwpd";

/** Firefox's port tells why it closed; Chromium puts that into runtime.lastError. */
interface WithError {
  readonly error?: { readonly message?: string } | null;
}

/** Starting the host, and time. */
export const native: Native = {
  connect(received, closed): NativePort {
    const port: chrome.runtime.Port & WithError = chrome.runtime.connectNative(HOST_NAME);
    port.onMessage.addListener(received);
    port.onDisconnect.addListener(() => {
      closed(port.error?.message ?? chrome.runtime.lastError?.message ?? "");
    });
    return {
      send: (message) => {
        port.postMessage(message);
      },
      close: () => {
        port.disconnect();
      },
    };
  },
  later(milliseconds, task) {
    const timer = setTimeout(task, milliseconds);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** The network, for deliveries. */
export const network: Network = {
  fetch: (url, init) => fetch(url, init),
  sleep: (milliseconds) =>
    new Promise((resolve) => {
      setTimeout(resolve, milliseconds);
    }),
};

/** Firefox's own interface to its name and version; Chromium has the user agent. */
interface WithBrowserInfo {
  readonly getBrowserInfo?: () => Promise<{ readonly name: string; readonly version: string }>;
}

/** The part of the user agent's client hints that names the browser (Chromium). */
interface WithBrands {
  readonly userAgentData?: {
    getHighEntropyValues(hints: readonly string[]): Promise<{
      readonly fullVersionList?: readonly { readonly brand: string; readonly version: string }[];
    }>;
  };
}

/** The browser's name and version, for the authorization's platformData. */
export async function browserName(): Promise<BrowserName> {
  const runtime: WithBrowserInfo = chrome.runtime as WithBrowserInfo;
  if (runtime.getBrowserInfo !== undefined) {
    const { name, version } = await runtime.getBrowserInfo();
    return { name, version };
  }
  const agent: WithBrands = navigator as WithBrands;
  const brands = (await agent.userAgentData?.getHighEntropyValues(["fullVersionList"]))?.fullVersionList ?? [];
  // "Not A Brand" and the like are noise by design; a product of its own ("Google Chrome") is named beside Chromium.
  const real = brands.filter(({ brand }) => !/not.*brand/i.test(brand));
  const found = real.find(({ brand }) => brand !== "Chromium") ?? real[0];
  return found === undefined ? { name: "Chromium", version: "unknown" } : { name: found.brand, version: found.version };
}

/** The stored settings. */
export async function readSettings(): Promise<Settings> {
  const stored = await chrome.storage.local.get(SETTINGS_KEY);
  return parseSettings(stored[SETTINGS_KEY]);
}
