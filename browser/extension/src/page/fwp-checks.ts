// What FIDO Web Pay asks of a payment request besides the W3C (its section 6, step 1), with the wallet's limits, so that
// whatever the wallet would refuse is an exception in the constructor already. The wallet checks all of it again.
import type { DetailsInit, DetailsUpdate } from "./dictionaries";
import { typeError } from "./errors";
import {
  MapClass,
  charCodeAt,
  construct,
  hasOwn,
  isArray,
  isInteger,
  isObject,
  jsonParse,
  jsonStringify,
  mapHas,
  mapSet,
  objectKeys,
  own,
} from "./primordials";

/** The payment method identifier of FIDO Web Pay. */
export const PAYMENT_METHOD = "fido-web-pay/v1";

/** Most UTF-16 code units of payeeName. */
const MAX_PAYEE_NAME = 256;
/** Most UTF-16 code units of an id. */
const MAX_ID = 1024;
/** Most entries of networks. */
const MAX_NETWORKS = 64;
/** Most characters of an amount. */
const MAX_AMOUNT = 64;
/** Most levels of nesting in networkOptions. */
const MAX_OPTIONS_DEPTH = 64;
/** Most levels of nesting in the data as a whole; the wallet's JSON reader stops at 128, with what is around the data. */
const MAX_DATA_DEPTH = 100;
/** Most bytes of one network's options as CBOR. */
const MAX_OPTIONS_BYTES = 1 << 18;
/**
 * Most bytes of methodData as JSON. The wallet takes 1 MiB, and a message to it 2 MiB, in which this JSON within JSON may
 * take twice its size: the rest is room for what goes around it.
 */
const MAX_METHOD_DATA_BYTES = (1 << 20) - (1 << 14);
/** Largest magnitude of a number in networkOptions. */
const MAX_NUMBER = 2 ** 53;

/** A string as JSON. */
export function quote(text: string): string {
  return jsonStringify(text) as string;
}

/** Whether methodData, as it is sent, fits into one message to the wallet. */
export function checkSent(methodData: string): void {
  if (utf8Length(methodData) > MAX_METHOD_DATA_BYTES) {
    throw typeError(`methodData has more than ${MAX_METHOD_DATA_BYTES} bytes`);
  }
}

/** 6. details.id is there and not empty. */
export function checkFwpId(id: string | undefined): void {
  if (id === undefined) {
    throw typeError(`details.id is missing: ${PAYMENT_METHOD} requires it`);
  }
  checkShown(id, "details.id", MAX_ID);
}

/** 5. There is one PaymentItem only, the total, and its label is null. */
export function checkFwpDetails(details: DetailsInit | DetailsUpdate): void {
  if (details.displayItems !== undefined || details.modifiers !== undefined) {
    throw typeError(`details.displayItems and details.modifiers cannot be used with ${PAYMENT_METHOD}: the total is what is signed`);
  }
  if (details.total === undefined) {
    return;
  }
  if (details.total.rawLabel !== null) {
    throw typeError(`details.total.label must be null with ${PAYMENT_METHOD}`);
  }
  if (details.total.amount.value.length > MAX_AMOUNT) {
    throw typeError("details.total.amount.value cannot be longer than 64 characters");
  }
}

/** 1. to 4.: the data of our method, as the JSON that is sent. */
export function checkFwpData(text: string | undefined, what: string): void {
  // 1. A data attribute is there and is a JSON object.
  if (text === undefined) {
    throw typeError(`${what} is missing: ${PAYMENT_METHOD} requires it`);
  }
  const data = jsonParse(text);
  if (!isJsonObject(data)) {
    throw typeError(`${what} is not a JSON object`);
  }
  // 2. payeeName is a non-empty string.
  checkShown(own(data, "payeeName"), `${what}.payeeName`, MAX_PAYEE_NAME);
  // 3. networks is a non-empty array of objects.
  const networks = own(data, "networks");
  if (!isArray(networks) || networks.length === 0 || networks.length > MAX_NETWORKS) {
    throw typeError(`${what}.networks must be an array of 1 to ${MAX_NETWORKS} objects`);
  }
  const seen = construct(MapClass, []) as Map<string, true>;
  for (let i = 0; i < networks.length; i++) {
    checkNetwork(networks[i], `${what}.networks[${i}]`, seen);
  }
  checkStrings(data, what, 1);
}

/** 4. A non-empty string id, and no other attribute than an optional networkOptions; no two with the same id. */
function checkNetwork(network: unknown, what: string, seen: Map<string, true>): void {
  if (!isJsonObject(network)) {
    throw typeError(`${what} is not an object`);
  }
  const id = checkShown(own(network, "id"), `${what}.id`, MAX_ID);
  if (mapHas(seen, id)) {
    throw typeError(`${what}.id is a duplicate: another network has the same id`);
  }
  mapSet(seen, id, true);
  const names = objectKeys(network);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    if (name !== "id" && name !== "networkOptions") {
      throw typeError(`${what} has an unknown attribute: ${quote(name)}`);
    }
  }
  if (hasOwn(network, "networkOptions")) {
    const size = cborSize(own(network, "networkOptions"), `${what}.networkOptions`, 1);
    if (size > MAX_OPTIONS_BYTES) {
      throw typeError(`${what}.networkOptions has more than ${MAX_OPTIONS_BYTES} bytes as CBOR`);
    }
  }
}

function isJsonObject(value: unknown): value is Record<string, unknown> {
  return isObject(value) && !isArray(value);
}

/** How many bytes a JSON value takes as deterministic CBOR, which is what is signed. Refuses what can't be signed. */
function cborSize(value: unknown, what: string, depth: number): number {
  if (depth > MAX_OPTIONS_DEPTH) {
    throw typeError(`${what} nests deeper than ${MAX_OPTIONS_DEPTH} levels`);
  }
  if (typeof value === "string") {
    const bytes = utf8Length(value);
    return headSize(bytes) + bytes;
  }
  if (typeof value === "number") {
    if (!isInteger(value) || value > MAX_NUMBER || value < -MAX_NUMBER) {
      throw typeError(`${what}: a number must be an integer from -2^53 to 2^53`);
    }
    return headSize(value < 0 ? -1 - value : value);
  }
  if (!isObject(value)) {
    return 1; // true, false, null
  }
  const array = isArray(value);
  const names = array ? undefined : objectKeys(value);
  const count = names === undefined ? (value as unknown[]).length : names.length;
  let size = headSize(count);
  for (let i = 0; i < count; i++) {
    if (names === undefined) {
      size += cborSize((value as unknown[])[i], what, depth + 1);
    } else {
      const name = names[i] as string;
      size += cborSize(name, what, depth + 1) + cborSize(own(value, name), what, depth + 1);
    }
  }
  return size;
}

function headSize(argument: number): number {
  if (argument < 24) {
    return 1;
  }
  if (argument < 0x100) {
    return 2;
  }
  if (argument < 0x10000) {
    return 3;
  }
  return argument < 0x100000000 ? 5 : 9;
}

/** Text that a person is going to see: a string, not empty, bounded, with nothing in it that hides or reorders. */
function checkShown(value: unknown, what: string, max: number): string {
  if (typeof value !== "string") {
    throw typeError(`${what} must be a string`);
  }
  if (value === "") {
    throw typeError(`${what} must not be empty`);
  }
  if (value.length > max) {
    throw typeError(`${what} must have at most ${max} characters`);
  }
  for (let i = 0; i < value.length; i++) {
    if (isTreacherous(charCodeAt(value, i))) {
      throw typeError(`${what} must not contain control characters or bidirectional controls`);
    }
  }
  checkWellFormed(value, what);
  return value;
}

/** Control characters (C0, DEL, C1), bidirectional controls (UAX #9), and the line and paragraph separators. */
function isTreacherous(code: number): boolean {
  return (
    code < 0x20 ||
    (code >= 0x7f && code <= 0x9f) ||
    code === 0x061c ||
    code === 0x200e ||
    code === 0x200f ||
    (code >= 0x2028 && code <= 0x202e) ||
    (code >= 0x2066 && code <= 0x2069)
  );
}

/** Refuses lone surrogates in any string of a JSON value, names of attributes included: they have no UTF-8. */
function checkStrings(value: unknown, what: string, depth: number): void {
  if (depth > MAX_DATA_DEPTH) {
    throw typeError(`${what} nests deeper than ${MAX_DATA_DEPTH} levels`);
  }
  if (typeof value === "string") {
    checkWellFormed(value, what);
  } else if (isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      checkStrings(value[i], what, depth + 1);
    }
  } else if (isObject(value)) {
    const names = objectKeys(value);
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string;
      checkWellFormed(name, what);
      checkStrings(own(value, name), what, depth + 1);
    }
  }
}

function checkWellFormed(text: string, what: string): void {
  for (let i = 0; i < text.length; i++) {
    const code = charCodeAt(text, i);
    if (code >= 0xd800 && code <= 0xdfff) {
      const next = i + 1 < text.length ? charCodeAt(text, i + 1) : 0;
      if (code >= 0xdc00 || next < 0xdc00 || next > 0xdfff) {
        throw typeError(`${what} has a string with a lone surrogate`);
      }
      i++;
    }
  }
}

/** Bytes of a text as UTF-8. */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const code = charCodeAt(text, i);
    if (code > 0x7ff && (code < 0xd800 || code > 0xdfff)) {
      bytes += 2;
    } else if (code > 0x7f) {
      bytes += 1; // two bytes; of a surrogate pair each half counts two
    }
  }
  return bytes;
}
