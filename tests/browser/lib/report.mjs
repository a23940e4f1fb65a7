// What came out: a table of case x browser, and whether everything was shown.

/** Results by case, in the order in which the cases stand in their files. */
export class Report {
  /** case -> browser -> {state: "ok" | "FAILED" | "can't", ms, why} */
  #results = new Map();

  constructor(browsers) {
    this.browsers = browsers;
  }

  note(name, browser, result) {
    if (!this.#results.has(name)) this.#results.set(name, new Map());
    this.#results.get(name).set(browser, result);
  }

  #count(browser, state) {
    return [...this.#results.values()].filter((row) => row.get(browser)?.state === state).length;
  }

  /** The table, and under it what a browser can't do, with the reasons. */
  print(log = console.log) {
    const width = Math.max(4, ...[...this.#results.keys()].map((name) => name.length));
    const cells = (first, rest) => `| ${first.padEnd(width)} |${rest.map((cell) => ` ${cell.padEnd(15)} |`).join("")}`;
    log(cells("case", this.browsers));
    log(`|${"-".repeat(width + 2)}|${this.browsers.map(() => `${"-".repeat(17)}|`).join("")}`);
    for (const [name, row] of this.#results) {
      const cell = (browser) => {
        const result = row.get(browser);
        if (!result) return "NOT RUN";
        return result.state === "can't" ? "can't (below)" : `${result.state} ${(result.ms / 1000).toFixed(1)} s`;
      };
      log(cells(name, this.browsers.map(cell)));
    }
    for (const [name, row] of this.#results)
      for (const [browser, { state, why }] of row) if (state === "can't") log(`can't, ${browser}: ${name}: ${why}`);
    for (const browser of this.browsers)
      log(`${browser}: ${this.#count(browser, "ok")} passed, ${this.#count(browser, "FAILED")} failed, ` +
        `${this.#count(browser, "can't")} that it can't do, of ${this.#results.size}`);
  }

  /** Whether every case passed in every browser, or is listed with a reason. */
  get good() {
    return [...this.#results.values()].every((row) =>
      this.browsers.every((browser) => ["ok", "can't"].includes(row.get(browser)?.state)));
  }
}
