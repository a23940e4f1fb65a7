// Web IDL's conversions from ECMAScript values, by hand: what a browser's bindings do for a native class.
import { typeError } from "./errors";
import { type List, append, apply, isObject, iteratorSymbol, jsonStringify, list } from "./primordials";

/** A dictionary member's value, and whether the page gave one (Web IDL: `undefined` is as good as nothing). */
export function member(source: unknown, name: string): unknown {
  return isObject(source) ? (source as Record<string, unknown>)[name] : undefined;
}

/** Checks that a value can be a dictionary: undefined, null or an object. */
export function checkDictionary(value: unknown, what: string): void {
  if (value !== undefined && value !== null && !isObject(value)) {
    throw typeError(`${what} is not an object`);
  }
}

/** DOMString: ToString, which throws a TypeError for a symbol. */
export function toDOMString(value: unknown): string {
  // eslint-disable-next-line @typescript-eslint/restrict-template-expressions -- ToString is what Web IDL wants
  return `${value}`;
}

/** A required member of type DOMString. */
export function requiredString(value: unknown, what: string): string {
  if (value === undefined) {
    throw typeError(`required member ${what} is undefined.`);
  }
  return toDOMString(value);
}

/** `object`: any object, undefined if there is none. */
export function optionalObject(value: unknown, what: string): object | undefined {
  if (value === undefined) {
    return undefined;
  }
  if (!isObject(value)) {
    throw typeError(`member ${what} is not of type 'object'.`);
  }
  return value;
}

/** `sequence<T>`: whatever its iterator gives, each item converted as it comes. */
export function toSequence<T>(value: unknown, what: string, convert: (item: unknown, index: number) => T): List<T> {
  const method = isObject(value) ? (value as { [Symbol.iterator]?: unknown })[iteratorSymbol] : undefined;
  if (method === undefined || method === null || typeof method !== "function") {
    throw typeError(`${what}: The provided value cannot be converted to a sequence.`);
  }
  const iterator = apply(method, value, []);
  if (!isObject(iterator)) {
    throw typeError(`${what}: The iterator is not an object.`);
  }
  const next = (iterator as { next?: unknown }).next;
  const items = list<T>();
  for (;;) {
    if (typeof next !== "function") {
      throw typeError(`${what}: The iterator has no next method.`);
    }
    const result = apply(next, iterator, []);
    if (!isObject(result)) {
      throw typeError(`${what}: The iterator's result is not an object.`);
    }
    if ((result as IteratorResult<unknown>).done) {
      return items;
    }
    append(items, convert((result as IteratorResult<unknown>).value, items.length));
  }
}

/** Infra's "serialize a JavaScript value to a JSON string". Exceptions of the page's own toJSON come through. */
export function serialize(value: unknown, what: string): string {
  const text = jsonStringify(value);
  if (text === undefined) {
    throw typeError(`${what} cannot be serialised to JSON`);
  }
  return text;
}
