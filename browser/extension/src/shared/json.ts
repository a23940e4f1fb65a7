// Reading values that came from elsewhere: each reader returns the type it promises or throws a Malformed with the field's name.

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = Readonly<Record<string, Json>>;

/** A message that is not of the agreed form; the text names the field. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Deepest nesting that a message may have, as at the host. */
export const DEPTH_LIMIT = 64;

function depthWithin(value: unknown, left: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (left === 0) return false;
  return Object.values(value).every((inner) => depthWithin(inner, left - 1));
}

/** Parses text into JSON, at most `limit` UTF-16 units and DEPTH_LIMIT levels. */
export function parseJson(text: string, limit: number): Json {
  if (text.length > limit) throw new Malformed(`the message has more than ${limit} characters`);
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    throw new Malformed("the message is not JSON");
  }
  if (!depthWithin(value, DEPTH_LIMIT)) throw new Malformed(`the message nests deeper than ${DEPTH_LIMIT}`);
  return value;
}

/** An object with exactly the attributes `required` and perhaps some of `optional`; the result has no prototype. */
export function record(
  value: unknown,
  field: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${field} is not an object`);
  const result: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, inner] of Object.entries(value)) {
    if (!required.includes(key) && !optional.includes(key)) throw new Malformed(`${field} has an unknown attribute`);
    result[key] = inner;
  }
  for (const key of required) {
    if (!(key in result)) throw new Malformed(`${field}.${key} is missing`);
  }
  return result;
}

/** Text of at most `limit` UTF-16 units, without lone surrogates, and not empty unless `empty`. */
export function text(value: unknown, field: string, limit: number, empty = false): string {
  if (typeof value !== "string") throw new Malformed(`${field} is not text`);
  if (value.length > limit) throw new Malformed(`${field} has more than ${limit} characters`);
  if (value === "" && !empty) throw new Malformed(`${field} is empty`);
  if (LONE_SURROGATE.test(value)) throw new Malformed(`${field} is not Unicode text`);
  return value;
}

const LONE_SURROGATE = /\p{Surrogate}/u;

/** true or false. */
export function flag(value: unknown, field: string): boolean {
  if (typeof value !== "boolean") throw new Malformed(`${field} is not true or false`);
  return value;
}

/** An integer between `least` and `most`. */
export function integer(value: unknown, field: string, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw new Malformed(`${field} is not an integer from ${least} to ${most}`);
  }
  return value;
}

/** One of the given words. */
export function word<const W extends string>(value: unknown, field: string, words: readonly W[]): W {
  const found = words.find((candidate) => candidate === value);
  if (found === undefined) throw new Malformed(`${field} is not one of ${words.join(", ")}`);
  return found;
}

/** A list of `least` to `most` items, each read by `item`. */
export function list<T>(
  value: unknown,
  field: string,
  least: number,
  most: number,
  item: (value: unknown, field: string) => T,
): readonly T[] {
  if (!Array.isArray(value)) throw new Malformed(`${field} is not a list`);
  if (value.length < least || value.length > most) throw new Malformed(`${field} has not ${least} to ${most} items`);
  return value.map((inner: unknown, index) => item(inner, `${field}[${index}]`));
}

/** Any JSON object, unread: for what the extension only passes on. */
export function opaque(value: unknown, field: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Malformed(`${field} is not an object`);
  if (!depthWithin(value, DEPTH_LIMIT)) throw new Malformed(`${field} nests deeper than ${DEPTH_LIMIT}`);
  return value as JsonObject;
}
