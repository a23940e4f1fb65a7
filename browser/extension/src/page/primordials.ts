// What the page-world script uses of the page's realm, taken at document_start, before any script of the page ran.
//
// A page can replace every method and getter that is reachable from its globals. So the other modules of this folder
// call what is captured here, and keep to these rules:
//   * no method calls on built-ins (`list.push(x)`), no iteration (`for ... of`, spread, array destructuring), no `await`;
//   * lists and descriptors of ours have a null prototype, and of other objects only properties that are surely their
//     own are read (`own` for what came out of JSON), so that nothing comes from a patched Object.prototype;
//   * state lives in #private fields, which no Proxy, getter or prototype can see.

// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- any function of the realm
type Callable = Function;
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the generic way to name a constructor
type Constructor = abstract new (...args: any[]) => object;

const reflect = Reflect;
export const apply = reflect.apply as (target: Callable, self: unknown, args: ArrayLike<unknown>) => unknown;
export const construct = reflect.construct as (
  target: Constructor,
  args: ArrayLike<unknown>,
  newTarget?: Callable,
) => object;
export const ownKeys = reflect.ownKeys;
export const getPrototypeOf = reflect.getPrototypeOf;

const object = Object;
export const defineProperty = object.defineProperty;
export const getOwnPropertyDescriptor = object.getOwnPropertyDescriptor;
export const setPrototypeOf = object.setPrototypeOf;
export const objectKeys = object.keys;
export const objectPrototype = object.prototype;
export const hasOwn = object.hasOwn;
export const isArray = Array.isArray;
export const arrayPrototype = Array.prototype;
 
export const arrayIterator = Array.prototype[Symbol.iterator];
export const iteratorSymbol: typeof Symbol.iterator = Symbol.iterator;
export const toStringTagSymbol: typeof Symbol.toStringTag = Symbol.toStringTag;
export const arrayIteratorPrototype = getPrototypeOf([][Symbol.iterator]()) as object;
// eslint-disable-next-line @typescript-eslint/unbound-method -- only compared
export const arrayIteratorNext = (arrayIteratorPrototype as Iterator<unknown>).next;

/** A method as a function of its `this`. */
function uncurried<T, A extends unknown[], R>(method: (this: T, ...args: A) => R): (self: T, ...args: A) => R {
  return (self, ...args) => apply(method, self, args) as R;
}

/** A property as it is defined; functions in it are not bound to anything. */
export interface Property {
  value?: unknown;
  get?: (this: unknown) => unknown;
  set?: (this: unknown, value: unknown) => void;
  writable?: boolean;
  enumerable?: boolean;
  configurable?: boolean;
}

/** The own property `name`, undefined if there is none. */
export function propertyOf(holder: object, name: PropertyKey): Property | undefined {
  return getOwnPropertyDescriptor(holder, name);
}

/** The getter of an accessor property as a function of its `this`, undefined if the realm has none. */
export function getterOf(prototype: object | undefined, name: PropertyKey): ((self: object) => unknown) | undefined {
  const getter = prototype === undefined ? undefined : propertyOf(prototype, name)?.get;
  return getter === undefined ? undefined : (self) => apply(getter, self, []);
}

/* eslint-disable @typescript-eslint/unbound-method -- `apply` and `uncurried` say what they are called on */
const then = Promise.prototype.then;
export const charCodeAt = uncurried(String.prototype.charCodeAt);
export const toUpperCase = uncurried(String.prototype.toUpperCase);
export const startsWith = uncurried(String.prototype.startsWith);
export const sliceString = uncurried(String.prototype.slice) as (self: string, start: number, end?: number) => string;
const exec = uncurried(RegExp.prototype.exec);

export const mapGet = uncurried(Map.prototype.get) as <K, V>(self: Map<K, V>, key: K) => V | undefined;
export const mapSet = uncurried(Map.prototype.set) as <K, V>(self: Map<K, V>, key: K, value: V) => void;
export const mapHas = uncurried(Map.prototype.has) as <K, V>(self: Map<K, V>, key: K) => boolean;
export const mapDelete = uncurried(Map.prototype.delete) as <K, V>(self: Map<K, V>, key: K) => void;

export const addEventListener = uncurried(EventTarget.prototype.addEventListener) as (
  self: EventTarget,
  type: string,
  listener: (this: unknown, event: Event) => void,
  capture?: boolean,
) => void;
export const removeEventListener = uncurried(EventTarget.prototype.removeEventListener) as typeof addEventListener;
export const dispatchEvent = uncurried(EventTarget.prototype.dispatchEvent);
export const preventDefault = uncurried(Event.prototype.preventDefault);
export const stopImmediatePropagation = uncurried(Event.prototype.stopImmediatePropagation);
export const postMessage = uncurried(MessagePort.prototype.postMessage) as (self: MessagePort, message: string) => void;
/* eslint-enable @typescript-eslint/unbound-method */

export const jsonParse: (text: string) => unknown = JSON.parse;
export const jsonStringify = JSON.stringify as (value: unknown) => string | undefined;

export const EventTargetClass = EventTarget;
export const EventClass = Event;
export const MessageEventClass = MessageEvent;
export const MessageChannelClass = MessageChannel;
export const ErrorType = Error;
export const TypeErrorClass = TypeError;
export const RangeErrorClass = RangeError;
export const DOMExceptionClass = DOMException;
export const MapClass = Map;
export const ProxyClass = Proxy;
export const URLClass = URL;
const PromiseClass = Promise;

export const isSafeInteger = Number.isSafeInteger;
export const isInteger = Number.isInteger;

const urlHref = getterOf(URL.prototype, "href");
const urlProtocol = getterOf(URL.prototype, "protocol");
const urlUsername = getterOf(URL.prototype, "username");
const urlPassword = getterOf(URL.prototype, "password");

/** The parts of a URL that payment method identifiers are judged by; null if `text` is no URL. */
export function parseUrl(text: string): { href: string; protocol: string; credentials: boolean } | null {
  let url: object;
  try {
    url = construct(URLClass, [text]);
  } catch {
    return null;
  }
  const part = (getter: typeof urlHref): string => getter?.(url) as string;
  return {
    href: part(urlHref),
    protocol: part(urlProtocol),
    credentials: part(urlUsername) !== "" || part(urlPassword) !== "",
  };
}

/** Whether the expression (without flags g and y) matches. */
export function matches(expression: RegExp, text: string): boolean {
  return exec(expression, text) !== null;
}

/** A list of ours: array-like, with nothing inherited. */
export interface List<T> {
  readonly length: number;
  [index: number]: T;
}

/** An empty list. */
export function list<T>(): List<T> {
  return { __proto__: null, length: 0 } as unknown as List<T>;
}

/** Appends to a list. Plain assignment is safe: with a null prototype there is no inherited setter. */
export function append<T>(items: List<T>, item: T): void {
  const writable = items as { length: number; [index: number]: T };
  writable[writable.length] = item;
  writable.length += 1;
}

/** The item at `index`, which must be below `items.length`. */
export function at<T>(items: List<T>, index: number): T {
  return items[index] as T;
}

/** A property descriptor without prototype, so that a patched Object.prototype adds nothing to it. */
export function descriptor(properties: Property): PropertyDescriptor {
  setPrototypeOf(properties, null);
  return properties;
}

/** The same for an object that configures something: the init of an event, the traps of a Proxy. */
export function withoutPrototype<T extends object>(options: T): T {
  setPrototypeOf(options, null);
  return options;
}

/** The own property `name` of an object that came out of JSON.parse, undefined if it has none. */
export function own(value: unknown, name: string): unknown {
  return isObject(value) && hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

/** Whether the value is an Object in ECMAScript's sense. */
export function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** A promise of the page's realm and its ends. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** A new promise. */
export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const executor = (onResolve: (value: T) => void, onReject: (reason: unknown) => void): void => {
    resolve = onResolve;
    reject = onReject;
  };
  const promise = construct(PromiseClass, [executor]) as Promise<T>;
  return { promise, resolve, reject };
}

/** A promise that is rejected with `reason`. */
export function rejected<T>(reason: unknown): Promise<T> {
  const { promise, reject } = deferred<T>();
  reject(reason);
  return promise;
}

/** Web IDL's conversion to a promise type: a new promise, resolved with `value`. */
export function promiseOf(value: unknown): Promise<unknown> {
  const { promise, resolve } = deferred<unknown>();
  resolve(value);
  return promise;
}

/** Runs one of the two when a promise of ours settles; what they return or throw is lost. */
export function react(
  promise: Promise<unknown>,
  onFulfilled: (value: unknown) => void,
  onRejected: (reason: unknown) => void,
): void {
  // `then` looks up `constructor`, which a page can put on Promise.prototype: an own one hides it, and means the default.
  void defineProperty(promise, "constructor", descriptor({ value: undefined, configurable: true }));
  apply(then, promise, [onFulfilled, onRejected]);
}
