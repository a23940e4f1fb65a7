// npm run package: dist/fwpd-chromium.zip and dist/fwpd-firefox.zip, the same bytes from the same sources anywhere:
// entries sorted, one fixed time, no attributes of the file system.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { zipSync } from "fflate";
import { buildAll } from "./build.mjs";

const ROOT = dirname(fileURLToPath(import.meta.url));

/** The time of every entry. A zip's times are local and have no zone, so this one is made of local parts. */
const TIME = new Date(1980, 0, 1, 0, 0, 0);

/** Files below `directory`, as paths relative to it with slashes, sorted by their bytes. */
function filesIn(directory, prefix = "") {
  const found = readdirSync(join(directory, prefix), { withFileTypes: true }).flatMap((entry) => {
    const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    return entry.isDirectory() ? filesIn(directory, path) : [path];
  });
  return found.sort((one, other) => (one < other ? -1 : 1));
}

/** The directory's files as one zip. */
function zip(directory) {
  const entries = Object.fromEntries(filesIn(directory).map((path) => [path, new Uint8Array(readFileSync(join(directory, path)))]));
  return zipSync(entries, { level: 9, mtime: TIME, os: 3, attrs: 0o100644 << 16 });
}

/** Builds and packs into `dist` (a directory). */
export async function packageAll(dist = join(ROOT, "dist")) {
  mkdirSync(dist, { recursive: true });
  await buildAll(dist);
  for (const browser of ["chromium", "firefox"]) {
    writeFileSync(join(dist, `fwpd-${browser}.zip`), zip(join(dist, browser)));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf("--out");
  await packageAll(at > 0 ? process.argv[at + 1] : undefined);
}
