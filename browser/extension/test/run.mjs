// Runs the unit tests: bundles each test/**/*.test.ts, then node's test runner.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const OUT = join(ROOT, "build", "test");

function testsIn(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return testsIn(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

const only = process.argv[2] ?? "";
const tests = testsIn(join(ROOT, "test"))
  .sort()
  .filter((path) => path.includes(only));
if (tests.length === 0) {
  console.error(`no test matches ${only}`);
  process.exit(1);
}
rmSync(OUT, { recursive: true, force: true });
await build({
  absWorkingDir: ROOT,
  entryPoints: tests,
  outbase: join(ROOT, "test"),
  outdir: OUT,
  outExtension: { ".js": ".mjs" },
  define: { __MOZ_PAY__: "true", __BROWSER__: '"chromium"', __MATCHES__: '["https://*/*"]' },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node18",
  sourcemap: "inline",
  packages: "external",
  logLevel: "warning",
});
const files = tests.map((path) => join(OUT, relative(join(ROOT, "test"), path).replace(/\.ts$/, ".mjs")));
const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { stdio: "inherit", cwd: ROOT });
process.exit(run.status ?? 1);
