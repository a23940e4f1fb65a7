// Programs that the tests start, and end: each is ended by its own process ID, the last one first.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** How long a program may take to end by itself, in ms. */
const ENDING = 3000;

/** Programs with one folder for their logs. */
export class Processes {
  #running = [];

  constructor(folder) {
    this.folder = folder;
  }

  /**
   * Starts a program.
   *
   * @param {string} name how messages and its log call it
   * @param {{env?: object, cwd?: string, pipes?: boolean, ending?: "SIGTERM" | "SIGKILL"}} options with pipes, standard input
   *   and output are the caller's; otherwise output is in the log
   * @returns {{name: string, child: import("node:child_process").ChildProcess, ended: Promise<number | string>, log: string}}
   */
  start(name, program, args, { env = process.env, cwd, pipes = false, ending = "SIGTERM" } = {}) {
    const log = join(this.folder, `${name}.log`);
    const to = openSync(log, "a");
    const stdio = pipes ? ["pipe", "pipe", to] : ["ignore", to, to];
    const child = spawn(program, args, { env, cwd, stdio });
    closeSync(to);
    const ended = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(signal ?? code));
    });
    const running = { name, child, ended, log, ending };
    this.#running.push(running);
    ended.then(() => (this.#running = this.#running.filter((other) => other !== running)));
    return running;
  }

  /** Ends one of them, politely unless `signal` says otherwise, and waits until it is gone. */
  async end(running, signal = running.ending) {
    running.child.kill(signal);
    const late = setTimeout(() => running.child.kill("SIGKILL"), ENDING);
    await running.ended;
    clearTimeout(late);
  }

  /** Ends all, the last one first. */
  async endAll() {
    for (const running of [...this.#running].reverse()) await this.end(running);
  }
}

/** What a log says at its end. */
export function tail(log, lines = 30) {
  return readFileSync(log, "utf8").split("\n").slice(-lines).join("\n");
}

/** Runs a program to its end, and gives its output; fails with what it said. `input` is a file. */
export function run(program, args, { env = process.env, input = "/dev/null", cwd } = {}) {
  return new Promise((resolve, reject) => {
    const from = openSync(input, "r");
    const child = spawn(program, args, { env, cwd, stdio: [from, "pipe", "pipe"] });
    closeSync(from);
    let [output, complaint] = ["", ""];
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (complaint += data));
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${program} ${args.join(" ")} ended with ${code}: ${complaint}${output}`));
    });
  });
}

/** Waits until `look` gives something, and fails with `what` after `limit` ms. */
export async function until(what, look, limit = 10_000, pause = 15) {
  const start = performance.now();
  for (;;) {
    const found = await look();
    if (found) return found;
    if (performance.now() - start > limit) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
