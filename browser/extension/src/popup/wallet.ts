// What the wallet says of itself, read and put into the words of `fwpctl doctor`. No browser here.
import { ERROR, type WireError } from "../shared/errors";
import { list, Malformed, text, type Json } from "../shared/json";
import { cardName } from "../shared/requests";

/** A virtual card, as far as it is shown. */
export interface Card {
  readonly card: string;
  readonly paymentNetworkId: string;
  readonly issuerId: string;
  readonly accountId: string;
  readonly serialNumber: string;
}

/** Most cards that are shown. */
const CARDS_LIMIT = 100;

/** Longest SVG image, in UTF-16 units. */
const IMAGE_LIMIT = 512 * 1024;

function fields(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${field} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

/** Reads the host's list of cards; attributes that aren't shown are not looked at. Throws Malformed. */
export function parseCards(value: Json): readonly Card[] {
  return list(value, "cards", 0, CARDS_LIMIT, (item, field) => {
    const card = fields(item, field);
    const shown = (attribute: string): string => text(card[attribute], `${field}.${attribute}`, 2048, true);
    return {
      card: cardName(card["card"], `${field}.card`),
      paymentNetworkId: shown("paymentNetworkId"),
      issuerId: shown("issuerId"),
      accountId: shown("accountId"),
      serialNumber: shown("serialNumber"),
    };
  });
}

/** A card's face as a data URL for <img>: an image runs no script and loads nothing. Throws Malformed. */
export function imageUrl(svg: Json): string {
  return `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text(svg, "image", IMAGE_LIMIT))}`;
}

/** How one thing stands. */
export interface Finding {
  readonly health: "ok" | "warning" | "problem";
  readonly text: string;
}

/** What is missing before anything can be asked of the wallet. */
export function diagnoseError(error: WireError): Finding {
  switch (error.name) {
    case ERROR.notInstalled:
      return { health: "problem", text: 'The wallet is not set up for this browser. Install fwpd, then run "fwpctl browser install".' };
    case ERROR.notRunning:
      return { health: "problem", text: `The wallet's daemon, fwpd, does not answer. Run "fwpctl doctor". (${error.message})` };
    default:
      return { health: "problem", text: `${error.message}. Run "fwpctl doctor".` };
  }
}

/** What Wallet1.Status tells, in doctor's words; what is in order is one line only. */
export function diagnose(status: Json): readonly Finding[] {
  const all = fields(status, "status");
  const said = (attribute: string, otherwise: string): string => {
    const value = all[attribute];
    return typeof value === "string" && value !== "" ? value.slice(0, 1024) : otherwise;
  };
  const reason = said("store-reason", "no reason was said");
  const findings: Finding[] = [];
  const add = (health: Finding["health"], words: string): void => {
    findings.push({ health, text: words });
  };
  switch (all["store"]) {
    case "open":
    case "new":
      break;
    case "locked":
      add("problem", `The store is locked (${reason}): unlock your keyring, or "fwpctl unlock".`);
      break;
    case "rolled-back":
      add("problem", `The store: ${reason}.`);
      break;
    default:
      add("problem", `The store can't be used (${reason}); it is left as it is, restore a backup.`);
  }
  if (all["agent"] !== true) {
    add("warning", 'No dialog is running: start the desktop\'s dialog, or "fwpctl agent" on a terminal.');
  }
  if (all["keys"] === "not-allowed") add("warning", `Security keys: ${said("keys-problem", "you may not use them from here")}.`);
  if (all["usb"] === "unavailable") add("warning", `USB keys: ${said("usb-problem", "they can't be seen")}.`);
  if (findings.length === 0) add("ok", "The wallet is ready.");
  return findings;
}
