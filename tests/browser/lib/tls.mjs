// A certification authority for one run, and the certificates of the hosts that the tests play. Made by openssl.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { run } from "./processes.mjs";

/** Hosts with a certificate that the browsers are told to trust. All are this machine. */
export const HOSTS = [
  "spaceshop.com",
  "moonshop.example",
  "shop.example",
  "other.example",
  "bank.example",
  "localhost",
];
/** The host whose certificate nobody vouches for. */
export const UNTRUSTED = "untrusted.example";

/**
 * Makes the authority and its certificate for all of HOSTS, and one for UNTRUSTED that signs itself.
 *
 * @returns {Promise<{ca: string, certificate: string, key: string, untrusted: {certificate: string, key: string}}>} PEM files
 */
export async function makeCertificates(folder) {
  const file = (name) => join(folder, name);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
  const [ca, caKey] = [file("ca.pem"), file("ca.key")];
  const [certificate, key] = [file("tls.pem"), file("tls.key")];
  const untrusted = { certificate: file("untrusted.pem"), key: file("untrusted.key") };
  const names = (hosts) => `subjectAltName=${hosts.map((host) => `DNS:${host}`).join(",")}`;
  await run("openssl", ["req", "-x509", ...newKey, "-keyout", caKey, "-out", ca, "-subj", "/CN=fwpd tests",
    "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
  await run("openssl", ["req", ...newKey.filter((word) => word !== "-days" && word !== "30"), "-keyout", key,
    "-out", file("tls.csr"), "-subj", "/CN=spaceshop.com"]);
  writeFileSync(file("tls.ext"), `${names(HOSTS)}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n`);
  await run("openssl", ["x509", "-req", "-in", file("tls.csr"), "-CA", ca, "-CAkey", caKey, "-CAcreateserial",
    "-days", "30", "-extfile", file("tls.ext"), "-out", certificate]);
  await run("openssl", ["req", "-x509", ...newKey, "-keyout", untrusted.key, "-out", untrusted.certificate,
    "-subj", `/CN=${UNTRUSTED}`, "-addext", names([UNTRUSTED])]);
  return { ca, certificate, key, untrusted };
}

/** Makes an NSS database in which `ca` is trusted for TLS servers: Chromium's `~/.pki/nssdb`, or a profile of Firefox. */
export async function trust(ca, database) {
  await run("certutil", ["-N", "-d", `sql:${database}`, "--empty-password"]);
  await run("certutil", ["-A", "-d", `sql:${database}`, "-n", "fwpd tests", "-t", "C,,", "-i", ca]);
}
