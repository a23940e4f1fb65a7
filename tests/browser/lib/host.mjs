// The native-messaging host, registered where each browser looks for it, by `fwpctl browser install` as a person does it.

import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";


const NAME = "io.github.fwpd.json";

export class Host {
  constructor(world, manifest) {
    this.world = world;
    this.manifest = manifest;
  }

  /** Process IDs of the hosts that the browser of this process ID runs. */
  running(browser) {
    const parents = new Map();
    const hosts = [];
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        parents.set(Number(pid), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
        // The name of a process is cut after 15 bytes.
        if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "fwp-native-host".slice(0, 15)) hosts.push(Number(pid));
      } catch {
        // It has just ended.
      }
    }
    const isBelow = (pid) => pid === browser || (parents.has(pid) && pid > 1 && isBelow(parents.get(pid)));
    return hosts.filter(isBelow);
  }

  /** Takes the registration away, or puts it back. */
  hide(hidden) {
    const [here, there] = [this.manifest, `${this.manifest}.away`];
    if (hidden) renameSync(here, there);
    else renameSync(there, here);
  }
}

/** Registers the host for this browser, whose profile is in the world's folder. */
export async function installHost(world, name) {
  // Chromium looks in the home for its default profile only; that of the tests is elsewhere.
  const where = { chromium: ["--profile-dir", world.path("chromium")], firefox: ["--browser", "firefox"] }[name];
  await world.fwpctl(["browser", "install", ...where]);
  const manifest = {
    chromium: world.path("chromium/NativeMessagingHosts", NAME),
    firefox: join(world.home, ".mozilla/native-messaging-hosts", NAME),
  }[name];
  if (!existsSync(manifest)) throw new Error(`fwpctl browser install left nothing at ${manifest}`);
  return new Host(world, manifest);
}
