// npm run lint: types, ESLint, and Mozilla's checks of the Firefox build. Any error fails.
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(fileURLToPath(import.meta.url));

const STEPS = [
  ["tsc", ["--noEmit"]],
  ["eslint", ["--max-warnings=0", "."]],
  [process.execPath, ["build.mjs"]],
  ["web-ext", ["lint", "--source-dir=dist/firefox", "--self-hosted", "--no-config-discovery", "--boring"]],
];

for (const [command, args] of STEPS) {
  const program = command === process.execPath ? command : join(ROOT, "node_modules", ".bin", command);
  const { status } = spawnSync(program, args, { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) {
    console.error(`lint: ${command} failed`);
    process.exit(1);
  }
}
