// A web server for pages that the tests make up: HTTPS with the certificate that is trusted, HTTPS with one that is not, and
// plain HTTP. What a page is, and with which headers it comes, is the test's.

import { readFileSync } from "node:fs";
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";

import { UNTRUSTED } from "./tls.mjs";

/** The network of the cards that the tests' bank issues. */
export const BANKNET = "https://banknet2.org";

/** What shops put into the constructor: our method for this network, and an order. Plain W3C, as anybody would write it. */
const SHOP = `
  const method = (network = "${BANKNET}", more = {}) => ({
    supportedMethods: "fido-web-pay/v1",
    data: { payeeName: "Space Shop", networks: [{ id: network, ...more }] },
  });
  const details = (id, value = "435.00", currency = "EUR") => ({ id, total: { label: null, amount: { currency, value } } });
`;

/** A page with a button that runs what a test puts into `window.onGo`, and what shops need. */
export const BUTTON = `<!doctype html><meta charset="utf-8"><title>A page</title>
<script>${SHOP}</script>
<button id="go" style="width:120px;height:40px" onclick="window.onGo?.()">Go</button>`;

export class Pages {
  #served = new Map();
  #servers = [];
  /** What was asked for, as "METHOD path", in order. */
  asked = [];
  /** Origins of extensions in what was asked for, which would tell installations apart. */
  named = [];
  /** Bodies of what was posted, by path. */
  posted = new Map();

  static async start(tls) {
    const pages = new Pages();
    const pem = ({ certificate, key }) => ({ cert: readFileSync(certificate), key: readFileSync(key) });
    const answer = (request, response) => pages.#answer(request, response);
    pages.https = await pages.#listen(createHttps(pem(tls), answer));
    pages.neighbour = await pages.#listen(createHttps(pem(tls), answer));
    pages.untrusted = await pages.#listen(createHttps(pem(tls.untrusted), answer));
    pages.http = await pages.#listen(createHttp(answer));
    pages.set("/", BUTTON);
    pages.set("/elsewhere", "<!doctype html><title>Elsewhere</title>");
    return pages;
  }

  #listen(server) {
    this.#servers.push(server);
    return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
  }

  #answer(request, response) {
    const { pathname } = new URL(request.url, "http://x");
    this.asked.push(`${request.method} ${pathname}`);
    if (/extension:/.test(request.headers.origin ?? "")) this.named.push(`${request.method} ${request.headers.origin}`);
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      if (request.method === "POST") this.posted.set(pathname, [...(this.posted.get(pathname) ?? []), body]);
      const page = this.#served.get(pathname);
      if (!page) return response.writeHead(404).end();
      response.writeHead(200, { "content-type": "text/html; charset=utf-8", ...page.headers });
      response.end(page.body);
    });
  }

  /** From now on, `path` is this. */
  set(path, body, headers = {}) {
    this.#served.set(path, { body, headers });
  }

  /** A page's URL on one of the hosts that are trusted. */
  on(host, path = "/") {
    return `https://${host}:${this.https}${path}`;
  }

  /** Its URL on the same host's other port, which is another origin. */
  onNeighbour(host, path = "/") {
    return `https://${host}:${this.neighbour}${path}`;
  }

  /** Its URL where no certificate vouches for the host. */
  onUntrusted(path = "/") {
    return `https://${UNTRUSTED}:${this.untrusted}${path}`;
  }

  /** Its URL over plain HTTP. */
  onPlain(host, path = "/") {
    return `http://${host}:${this.http}${path}`;
  }

  async end() {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}
