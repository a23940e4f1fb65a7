// The package is the same bytes from two checkouts in different places, at different times, in different zones.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const LEFT_OUT = new Set(["node_modules", "dist", "build", "test"]);

/** A checkout of its own: the sources only, all files of one age. */
function checkout(name: string, age: Date): string {
  const place = mkdtempSync(join(tmpdir(), name));
  for (const entry of readdirSync(".")) {
    if (!LEFT_OUT.has(entry)) cpSync(entry, join(place, entry), { recursive: true });
  }
  for (const entry of readdirSync(place)) utimesSync(join(place, entry), age, age);
  symlinkSync(join(process.cwd(), "node_modules"), join(place, "node_modules"));
  return place;
}

function packages(place: string, environment: NodeJS.ProcessEnv): Buffer[] {
  execFileSync(process.execPath, ["package.mjs"], { cwd: place, env: { ...process.env, ...environment } });
  return ["chromium", "firefox"].map((browser) => readFileSync(join(place, "dist", `fwpd-${browser}.zip`)));
}

test("two checkouts make the same packages, byte by byte", () => {
  const places = [checkout("fwpd-one-", new Date("2020-01-01")), checkout("fwpd-another-with-a-longer-name-", new Date("2026-06-01"))];
  try {
    const [one, other] = [
      packages(places[0] ?? "", { TZ: "UTC", LANG: "C" }),
      packages(places[1] ?? "", { TZ: "Asia/Kathmandu", LANG: "de_DE.UTF-8", SOURCE_DATE_EPOCH: "1" }),
    ];
    for (const index of [0, 1]) {
      assert.ok((one[index]?.length ?? 0) > 10_000);
      assert.ok(one[index]?.equals(other[index] ?? Buffer.alloc(0)), "the packages differ");
    }
  } finally {
    for (const place of places) rmSync(place, { recursive: true });
  }
});
