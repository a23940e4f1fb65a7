// Everything that is not the browser: a private bus, the wallet, the bank, PSP and shops, the person, and the pages of the tests.
// Real programs all of them, in a folder of their own that goes with them.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { Person } from "./agent.mjs";
import { Pages } from "./pages.mjs";
import { Processes, run, tail, until } from "./processes.mjs";
import { makeCertificates } from "./tls.mjs";

/** The top of the project. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
/** Where cargo put the programs. */
export const PROGRAMS = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), process.env.FWPD_PROFILE ?? "debug");
/** The PIN that test-agent types. */
const PIN = "31415926";
/** No test waits for a pause, the person is asked and keys in this computer's memory may pay as often as tests want. */
const SETTINGS = `claim-origin = "any"

[policy]
cool-down = 0

[limits]
prompts-per-minute = "unlimited"

[platform-keys]
day = "unlimited"
payments-per-hour = "unlimited"

[tpm]
address = "none"
`;
const BUS = (socket) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`;

/** Worlds that have not ended: whoever interrupts the tests leaves nothing running. */
const open = new Set();
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    await Promise.all([...open].map((world) => world.end()));
    process.exit(1);
  });
}

export class World {
  #wallet;

  /** A world without a wallet yet. */
  static async start({ cards = true, person = true } = {}) {
    const world = new World();
    open.add(world);
    world.folder = mkdtempSync(join(tmpdir(), "fwpd-browser-"));
    world.logs = world.path("logs");
    mkdirSync(world.logs);
    world.processes = new Processes(world.logs);
    try {
      await Promise.all([world.#startBus(), makeCertificates(world.folder).then((made) => (world.tls = made))]);
      await Promise.all([world.startWallet(), world.#startSandbox(), world.#startPages()]);
      await world.setPin();
      if (cards) await world.enroll();
      if (person) {
        world.person = new Person(world.processes, join(PROGRAMS, "test-agent"), world.env);
        await world.person.ready();
      }
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  path(...names) {
    return join(this.folder, ...names);
  }

  async #startBus() {
    const socket = this.path("bus");
    writeFileSync(this.path("bus.conf"), BUS(socket));
    const args = [`--config-file=${this.path("bus.conf")}`, "--nofork", "--nopidfile", "--nosyslog"];
    this.processes.start("dbus-daemon", "dbus-daemon", args);
    this.address = `unix:path=${socket}`;
    // A home of its own: nothing of the user's is read or changed.
    this.home = this.path("home");
    mkdirSync(this.home);
    this.env = { ...process.env, DBUS_SESSION_BUS_ADDRESS: this.address, HOME: this.home };
    for (const name of ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "DISPLAY"])
      delete this.env[name];
    await until("the bus", () => run("dbus-send", [`--bus=${this.address}`, "--print-reply", "--dest=org.freedesktop.DBus", "/",
      "org.freedesktop.DBus.GetId"]).catch(() => false));
  }

  /** Starts the wallet, again where it was started before: its store stays. */
  async startWallet() {
    writeFileSync(this.path("fwpd.toml"), SETTINGS);
    const args = ["--session", "--config", this.path("fwpd.toml"), "--state-dir", this.path("wallet")];
    this.#wallet = this.processes.start("fwpd", join(PROGRAMS, "fwpd"), args, { env: { ...this.env, FWPD_LOG: "debug" } });
    await until("fwpd on the bus", async () => {
      const answer = await run("dbus-send", [`--bus=${this.address}`, "--print-reply", "--dest=org.freedesktop.DBus", "/",
        "org.freedesktop.DBus.NameHasOwner", "string:io.github.fwpd"]);
      return answer.includes("true");
    });
  }

  /** Ends the wallet: at once, or as systemd would. */
  async endWallet(signal = "SIGKILL") {
    await this.processes.end(this.#wallet, signal);
  }

  async #startSandbox() {
    const ready = this.path("sandbox.json");
    const { certificate, key } = this.tls;
    const args = ["serve", "--listen", "127.0.0.1:0", "--https", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key,
      "--dir", this.path("sandbox"), "--record", this.path("deliveries.jsonl"), "--json"];
    const sandbox = this.processes.start("fwp-sandbox", join(PROGRAMS, "fwp-sandbox"), args, { env: this.env, pipes: true });
    let output = "";
    sandbox.child.stdout.on("data", (data) => (output += data));
    await Promise.race([
      until("the sandbox", () => output.includes("\n")),
      sandbox.ended.then((status) => {
        throw new Error(`fwp-sandbox ended (${status}):\n${tail(sandbox.log)}`);
      }),
    ]);
    writeFileSync(ready, output);
    const { url, httpsUrl } = JSON.parse(output.split("\n")[0]);
    /** `http://localhost:PORT`, and how a host's HTTPS origin is written. */
    this.sandbox = { url, httpsPort: new URL(httpsUrl).port };
  }

  async #startPages() {
    this.pages = await Pages.start(this.tls);
  }

  /** A URL of the sandbox by a host's name, over HTTPS. */
  shop(host, path) {
    return `https://${host}:${this.sandbox.httpsPort}${path}`;
  }

  fwpctl(args, input) {
    return run(join(PROGRAMS, "fwpctl"), ["--bus", "session", ...args], { env: this.env, input });
  }

  /** The bank's two cards. */
  async enroll() {
    await this.fwpctl(["enroll", `${this.sandbox.url}/bank/offer`, "--yes", "--pin-fd", "0"], this.#pin(1));
  }

  /** The PIN of the key in this computer's memory. */
  async setPin() {
    await this.fwpctl(["pin", "set", "platform", "--pin-fd", "0"], this.#pin(2));
  }

  /** A file that says the PIN so many times. */
  #pin(times) {
    const file = this.path(`pin-${times}`);
    writeFileSync(file, `${PIN}\n`.repeat(times), { mode: 0o600 });
    return file;
  }

  /** What was delivered to the bank, oldest first. */
  deliveries() {
    const text = readFileSync(this.path("deliveries.jsonl"), "utf8");
    return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }

  /** What the programs said last, for a failure. */
  log() {
    return ["fwpd", "fwp-sandbox", "test-agent"]
      .map((name) => `--- ${name}\n${tail(join(this.logs, `${name}.log`))}`)
      .join("\n");
  }

  /** Ends everything; nothing of it stays. */
  async end() {
    await this.pages?.end();
    await this.processes.endAll();
    // A browser's last process may still be writing.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    open.delete(this);
  }
}
