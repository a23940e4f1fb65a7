// Constants that build.mjs puts into the scripts.

/** Page-world script: whether this variant brings `navigator.mozPay`. */
declare const __MOZ_PAY__: boolean;

/** The browser that this build is for. */
declare const __BROWSER__: "chromium" | "firefox";

/** Background and popup: match patterns of the pages that may pay (manifest.mjs). */
declare const __MATCHES__: readonly string[];
