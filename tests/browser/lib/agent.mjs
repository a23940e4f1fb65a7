// The person, played by `test-agent`: answers the wallet's questions by a script, and tells what was seen.

import { createInterface } from "node:readline";

import { until } from "./processes.mjs";

export class Person {
  /** Everything seen since the last `begin`, oldest first. */
  seen = [];
  #running;
  #ready = 0;
  #lost = 0;

  constructor(processes, program, env) {
    this.#running = processes.start("test-agent", program, [], { env, pipes: true });
    createInterface({ input: this.#running.child.stdout }).on("line", (line) => {
      const message = JSON.parse(line);
      if (message.event === "ready") this.#ready += 1;
      else if (message.event === "lost") this.#lost += 1;
      else if (message.event === "error") console.error(`test-agent: ${message.message}`);
      else this.seen.push(message);
    });
  }

  /** Waits until the wallet knows its agent: the `times`th time, where the wallet was started again. */
  ready(times = this.#lost + 1) {
    return until("the wallet's agent", () => this.#ready >= times);
  }

  /** How often the wallet was lost. */
  get lost() {
    return this.#lost;
  }

  /** Forgets what was seen; the next questions are answered so (see test-agent), those after them by yes. */
  begin(...answers) {
    this.seen = [];
    this.answer(...answers);
  }

  /** The next questions are answered so; a question that waits gets the first of them. */
  answer(...answers) {
    this.#running.child.stdin.write(`${JSON.stringify({ answers })}\n`);
  }

  /** What was seen of one kind: "authorize", "consent", "pin", "status", "withdrawn". */
  of(kind) {
    return this.seen.filter((prompt) => prompt.prompt === kind);
  }

  /** Waits until `count` of a kind were seen, and gives the last of them. */
  async sees(kind, count = 1, limit = 10_000) {
    await until(`${count} x "${kind}" before the person`, () => this.of(kind).length >= count, limit);
    return this.of(kind)[count - 1];
  }
}
