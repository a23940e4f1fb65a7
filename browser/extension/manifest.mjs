// One source for both browsers' manifests. README.md has a table with the reason of each permission.
import { readFileSync } from "node:fs";

const { version } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

/** Public key that fixes the extension's ID in Chromium. Its private half was never kept: nothing is signed with it. */
const CHROMIUM_KEY =
  "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAk2d4a5NaAvMVwf7tqVrC5PbIr8QllcYlo0Gv0Xv5QDoFl3vd+ze+6lfqDfzwjAjQyPcCyhXnp5RV" +
  "SYvQeqKZXFXMFhIfsumYzOBe6Okho3isQZdvmeD+2AHVIeGp1wrk/7UWd4fEPUE56kSW9yljflfcQ/BwuN1QfKhNOg9Ug+p5cZ7LvGXE5TFOMI4wbgTXWQwt" +
  "lQLNHL2mii2ShuWzYdtCJ250z+YxEoJ8GvGuS1E4+yIzCMCrNtRb32MldjCQkqspdwG56N+ZqQ/zHbkHMx3jOJzJsMT2feiTgS1x1MhLr9x8t+xNEaz4vSsT" +
  "04UL7Pf9UJs/nzQ4zqQN+WShSwIDAQAB";

/** The ID that Chromium makes of that key; `fwp-native-host` takes no other caller. */
export const CHROMIUM_ID = "fbbcjgngepnkomgepnccbeccbiocnebc";

/** The add-on's ID in Firefox; `fwp-native-host` takes no other caller. */
export const FIREFOX_ID = "wallet@fwpd.github.io";

/** Where pages may pay: HTTPS, and HTTP on names that are this computer. One list, also for the registered scripts. */
export const MATCHES = [
  "https://*/*",
  "http://localhost/*",
  "http://*.localhost/*",
  "http://127.0.0.1/*",
  "http://[::1]/*",
];

const ICONS = { 16: "icons/16.png", 32: "icons/32.png", 48: "icons/48.png", 128: "icons/128.png" };

const COMMON = {
  manifest_version: 3,
  name: "FIDO Web Pay",
  version,
  description: "Pays shops that ask for fido-web-pay/v1 with the fwpd wallet of this computer.",
  icons: ICONS,
  permissions: ["nativeMessaging", "scripting", "storage"],
  host_permissions: MATCHES,
  action: { default_popup: "popup.html", default_title: "FIDO Web Pay", default_icon: ICONS },
  options_ui: { page: "popup.html", open_in_tab: false },
  content_security_policy: {
    extension_pages:
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src https: http://localhost:* " +
      "http://*.localhost:* http://127.0.0.1:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  },
};

/** The manifest for `browser`, "chromium" or "firefox". */
export function manifest(browser) {
  if (browser === "chromium") {
    return {
      ...COMMON,
      key: CHROMIUM_KEY,
      minimum_chrome_version: "120",
      incognito: "split",
      background: { service_worker: "background.js" },
    };
  }
  if (browser === "firefox") {
    return {
      ...COMMON,
      permissions: [...COMMON.permissions, "webRequest", "webRequestBlocking"],
      browser_specific_settings: {
        gecko: {
          id: FIREFOX_ID,
          strict_min_version: "140.0",
          data_collection_permissions: { required: ["none"] },
        },
      },
      background: { scripts: ["background.js"] },
    };
  }
  throw new Error(`no manifest for ${browser}`);
}
