// A connection to a browser that speaks WebDriver BiDi.

import WebSocket from "ws";

/** How long the browser may take for one command, in ms. */
const PATIENCE = 30_000;

export class BiDi {
  #socket;
  #last = 0;
  #waiting = new Map();

  static async connect(url) {
    const bidi = new BiDi();
    bidi.#socket = new WebSocket(url, { maxPayload: 256 * 1024 * 1024, perMessageDeflate: false });
    await new Promise((resolve, reject) => {
      bidi.#socket.once("open", resolve);
      bidi.#socket.once("error", reject);
    });
    bidi.#socket.on("message", (data) => bidi.#take(JSON.parse(data)));
    bidi.#socket.on("error", () => {});
    bidi.#socket.on("close", () => {
      for (const { reject } of bidi.#waiting.values()) reject(new Error("the browser is gone"));
      bidi.#waiting.clear();
    });
    return bidi;
  }

  #take(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    if (message.type === "success") waiting.resolve(message.result);
    else waiting.reject(new Error(`${waiting.method}: ${message.error}: ${message.message}`));
  }

  /** Sends a command and gives its result. */
  send(method, params = {}, limit = PATIENCE) {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${method}: no answer within ${limit} ms`));
      }, limit);
      const settle = (settled) => (value) => {
        clearTimeout(late);
        settled(value);
      };
      this.#waiting.set(id, { method, resolve: settle(resolve), reject: settle(reject) });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
  }

  close() {
    this.#socket.close();
  }
}
