// What the PaymentRequest constructor checks, after the W3C's Payment Request, section 3.1 "Constructor": pure, no
// bridge and no window. The comments number its steps. Limits in size are Chromium's, which pages rely on.
import type { CurrencyAmount, DetailsInit, DetailsUpdate, Item, MethodData, Modifier } from "./dictionaries";
import { rangeError, typeError } from "./errors";
import { PAYMENT_METHOD, checkFwpData, checkFwpDetails, checkFwpId, checkSent, quote } from "./fwp-checks";
import {
  type List,
  MapClass,
  at,
  charCodeAt,
  construct,
  mapHas,
  mapSet,
  matches,
  parseUrl,
  startsWith,
  toUpperCase,
} from "./primordials";
import { serialize } from "./webidl";

/** Most UTF-16 code units of an id, label, currency or value. */
export const MAX_STRING = 1024;
/** Most entries of a list. */
const MAX_LIST = 1024;
/** Most UTF-16 code units of data as JSON. */
const MAX_DATA = 1 << 20;

/** A payment request that passed every check; texts of JSON as they are sent. */
export interface CheckedRequest {
  readonly id: string;
  /** Whether our method is among the page's. */
  readonly ours: boolean;
  /** JSON of methodData as the wallet gets it: every method's name, and the data of ours only. "" if ours isn't there. */
  readonly methodData: string;
  /** JSON of details as the wallet gets them. "" if our method isn't there. */
  readonly details: string;
}

/** Whether our method is named. */
export function namesOurMethod(methodData: List<MethodData>): boolean {
  for (let i = 0; i < methodData.length; i++) {
    if (at(methodData, i).supportedMethods === PAYMENT_METHOD) {
      return true;
    }
  }
  return false;
}

/** Section 3.1, from step 2. Throws what the constructor throws. */
export function checkRequest(
  methodData: List<MethodData>,
  details: DetailsInit,
  newId: () => string,
): CheckedRequest {
  const ours = namesOurMethod(methodData);
  // 2. Establish the request's id.
  if (details.id !== undefined && details.id.length > MAX_STRING) {
    throw typeError("ID cannot be longer than 1024 characters");
  }
  if (ours) {
    checkFwpId(details.id); // FIDO Web Pay: the id is the merchant's, never made up
  }
  const id = details.id ?? newId();
  // 3., 4. Process payment methods.
  const serializedMethodData = checkMethodData(methodData);
  // 5. Process the total.
  const total = checkTotal(details.total, "details.total", ours);
  // 6. Check displayItems. (7., 8. are about shipping.)
  checkItems(details.displayItems, "details.displayItems");
  // 9., 10. Process payment details modifiers.
  checkModifiers(details.modifiers);
  if (!ours) {
    return { id, ours, methodData: "", details: "" };
  }
  checkFwpDetails(details);
  checkSent(serializedMethodData);
  return { id, ours, methodData: serializedMethodData, details: `{"id":${quote(id)},"total":${total}}` };
}

/**
 * The checks of an update (section "update a PaymentRequest's details", 4.4), and the JSON that the wallet gets; undefined if
 * there is nothing new in it.
 */
export function checkUpdate(details: DetailsUpdate, ours: boolean): string | undefined {
  const total = details.total === undefined ? undefined : checkTotal(details.total, "details.total", ours);
  checkItems(details.displayItems, "details.displayItems");
  checkModifiers(details.modifiers);
  if (ours) {
    checkFwpDetails(details);
  }
  return total === undefined ? undefined : `{"total":${total}}`;
}

/** Step 4. Returns the JSON for the wallet, "" if our method isn't there. */
function checkMethodData(methodData: List<MethodData>): string {
  // 4.1 An empty list.
  if (methodData.length === 0) {
    throw typeError("At least one payment method is required");
  }
  if (methodData.length > MAX_LIST) {
    throw typeError("At most 1024 payment methods are supported");
  }
  // 4.2, 4.3 For each.
  const seen = construct(MapClass, []) as Map<string, true>;
  let entries = "";
  let ours = false;
  for (let i = 0; i < methodData.length; i++) {
    const { supportedMethods, data } = at(methodData, i);
    const identifier = parseMethodIdentifier(supportedMethods);
    // 4.3.1 It must be an identifier.
    if (identifier === null) {
      throw rangeError("Invalid payment method identifier format");
    }
    // 4.3.2 to 4.3.4 No other may be the same.
    if (mapHas(seen, identifier)) {
      throw rangeError("Cannot have duplicate payment method identifiers");
    }
    mapSet(seen, identifier, true);
    // 4.3.5 Serialise the data.
    const text = data === undefined ? undefined : checkSize(serialize(data, `methodData[${i}].data`));
    // 4.3.6 Validate the data of a method that has rules for it.
    let entry = `{"supportedMethods":${quote(supportedMethods)}}`;
    if (supportedMethods === PAYMENT_METHOD) {
      ours = true;
      checkFwpData(text, `methodData[${i}].data`);
      entry = `{"supportedMethods":${quote(supportedMethods)},"data":${text ?? "null"}}`;
    }
    entries += entries === "" ? entry : `,${entry}`;
  }
  return ours ? `[${entries}]` : "";
}

function checkSize(text: string): string {
  if (text.length > MAX_DATA) {
    throw typeError("JSON serialization of payment method data should be no longer than 1048576 characters");
  }
  return text;
}

const STANDARDIZED = /^[a-z]+[0-9a-z]*(-[a-z]+[0-9a-z]*)*$/;

/** Payment Method Identifiers, "validate a payment method identifier"; what it is compared by, null if it is none. */
export function parseMethodIdentifier(identifier: string): string | null {
  if (identifier === PAYMENT_METHOD) {
    return identifier;
  }
  const url = parseUrl(identifier);
  if (url !== null) {
    return url.protocol === "https:" && !url.credentials ? url.href : null;
  }
  return matches(STANDARDIZED, identifier) ? identifier : null;
}

/** Step 5, "check and canonicalize total amount". Returns the item as JSON for the wallet. */
function checkTotal(item: Item, what: string, ours: boolean): string {
  const currency = checkItem(item, what);
  if (startsWith(item.amount.value, "-")) {
    throw typeError("Total amount value should be non-negative");
  }
  // The label is what FIDO Web Pay wants, which checkFwpDetails sees to; another method's request is never sent.
  return ours ? `{"label":null,"amount":{"currency":${quote(currency)},"value":${quote(item.amount.value)}}}` : "";
}

/** Step 6. */
function checkItems(items: List<Item> | undefined, what: string): void {
  if (items === undefined) {
    return;
  }
  if (items.length > MAX_LIST) {
    throw typeError(`At most 1024 ${what} allowed`);
  }
  for (let i = 0; i < items.length; i++) {
    checkItem(at(items, i), `${what}[${i}]`);
  }
}

/** Step 10. */
function checkModifiers(modifiers: List<Modifier> | undefined): void {
  if (modifiers === undefined) {
    return;
  }
  if (modifiers.length > MAX_LIST) {
    throw typeError("At most 1024 modifiers allowed");
  }
  for (let i = 0; i < modifiers.length; i++) {
    const modifier = at(modifiers, i);
    if (modifier.total !== undefined) {
      checkTotal(modifier.total, `details.modifiers[${i}].total`, false);
    }
    checkItems(modifier.additionalDisplayItems, `details.modifiers[${i}].additionalDisplayItems`);
    if (parseMethodIdentifier(modifier.supportedMethods) === null) {
      throw rangeError("Invalid payment method identifier format");
    }
    if (modifier.data !== undefined) {
      checkSize(serialize(modifier.data, `details.modifiers[${i}].data`));
    }
  }
}

/** Lengths, then "check and canonicalize amount". Returns the currency in its canonical form. */
function checkItem({ label, amount }: Item, what: string): string {
  checkLength(label, `The label for ${what}`);
  checkLength(amount.currency, `The currency code for ${what}`);
  checkLength(amount.value, `The amount value for ${what}`);
  return checkAmount(amount, what);
}

function checkLength(text: string, what: string): void {
  if (text.length > MAX_STRING) {
    throw typeError(`${what} cannot be longer than 1024 characters`);
  }
}

function checkAmount({ currency, value }: CurrencyAmount, what: string): string {
  // 1. The currency must be well-formed: three ASCII letters.
  if (!isCurrency(currency)) {
    throw rangeError(`'${currency}' is not a valid ISO 4217 currency code, should be well-formed 3-letter alphabetic code.`);
  }
  // 2. The value must be a valid decimal monetary value.
  if (!isDecimalMonetaryValue(value)) {
    throw typeError(`'${value}' is not a valid amount format for ${what}`);
  }
  // 3. ASCII upper case.
  return toUpperCase(currency);
}

function isCurrency(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const lower = charCodeAt(text, i) | 0x20;
    if (lower < 0x61 || lower > 0x7a || charCodeAt(text, i) > 0x7a) {
      return false;
    }
  }
  return text.length === 3;
}

/** Section 5.1: `-?[0-9]+(\.[0-9]+)?`. */
function isDecimalMonetaryValue(text: string): boolean {
  return matches(/^-?[0-9]+(\.[0-9]+)?$/, text);
}

