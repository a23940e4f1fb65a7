// Builds the extension, unpacked, for both browsers: dist/chromium and dist/firefox.
// The output depends on the sources and on package-lock.json only: no time, no path, no environment.
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { MATCHES, manifest } from "./manifest.mjs";

const ROOT = dirname(fileURLToPath(import.meta.url));

/** Entry points: script name -> source and its constants. */
const SCRIPTS = {
  page: { source: "src/page/index.ts", define: { __MOZ_PAY__: "false" } },
  "page-mozpay": { source: "src/page/index.ts", define: { __MOZ_PAY__: "true" } },
  isolated: { source: "src/isolated/index.ts", define: {} },
  background: { source: "src/background/index.ts", define: { __MATCHES__: JSON.stringify(MATCHES) } },
  popup: { source: "src/popup/index.ts", define: { __MATCHES__: JSON.stringify(MATCHES) } },
};

/** Files that go into the package as they are. */
const FILES = {
  "popup.html": "src/popup/popup.html",
  "popup.css": "src/popup/popup.css",
  icons: "icons",
};

/** Builds for one browser into `directory`. */
async function buildFor(browser, directory) {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [name, script] of Object.entries(SCRIPTS)) {
    await build({
      absWorkingDir: ROOT,
      entryPoints: [script.source],
      outfile: join(directory, `${name}.js`),
      define: { ...script.define, __BROWSER__: JSON.stringify(browser) },
      bundle: true,
      format: "iife",
      platform: "browser",
      target: ["chrome120", "firefox140"],
      charset: "utf8",
      legalComments: "none",
      minifySyntax: true,
      treeShaking: true,
      logLevel: "warning",
    });
  }
  for (const [name, source] of Object.entries(FILES)) {
    cpSync(join(ROOT, source), join(directory, name), { recursive: true });
  }
  writeFileSync(join(directory, "manifest.json"), `${JSON.stringify(manifest(browser), null, 2)}\n`);
}

/** Builds both into `dist` (a directory). */
export async function buildAll(dist = join(ROOT, "dist")) {
  for (const browser of ["chromium", "firefox"]) {
    await buildFor(browser, join(dist, browser));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildAll();
}
