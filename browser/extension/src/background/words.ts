// What a page is told of an error. The wallet's own texts are for the person: they say how much of a limit is left today, which key is
// blocked, where the bus is. A page gets the name, by which it has its exception, and words that tell nothing about the wallet.
import { ERROR, type WireError } from "../shared/errors";

const WALLET = "io.github.fwpd.Error.";

/** Errors of the wallet whose texts speak of the page's own request or of the person's answer, and of nothing else. */
const SAID: ReadonlySet<string> = new Set(
  ["InvalidRequest", "InvalidState", "Declined", "Aborted", "Timeout", "CoolDown", "NoAgent"].map((short) => WALLET + short),
);

/** Words of our own where the original ones may quote the system: paths, addresses, the browser. */
const WORDS: ReadonlyMap<string, string> = new Map([
  [ERROR.notInstalled, 'the wallet is not set up for this browser: install fwpd, then run "fwpctl browser install"'],
  [ERROR.notRunning, 'the wallet, fwpd, does not answer: "fwpctl doctor" tells why'],
  [ERROR.gone, "the wallet has ended, or does not answer any more"],
  [`${WALLET}Busy`, "the wallet is busy; try again"],
  // Nobody was asked, and nothing is before the person.
  [`${WALLET}LimitsExceeded`, "the wallet is asked too much; try again in a minute"],
]);

const OTHERWISE = "the wallet did not do it; it tells the user why";

/** The error as a page may have it. */
export function forPage({ name, message }: WireError): WireError {
  const words = WORDS.get(name) ?? (name.startsWith(WALLET) && !SAID.has(name) ? OTHERWISE : message);
  return { name, message: words };
}
