// Event handler IDL attributes (HTML, section 8.1.8.1): `onpaymentmethodchange` and its like.
import {
  MapClass,
  addEventListener,
  apply,
  construct,
  isObject,
  mapDelete,
  mapGet,
  mapSet,
  preventDefault,
  removeEventListener,
} from "./primordials";

interface Handler {
  callback: object;
  readonly listener: (this: unknown, event: Event) => void;
}

/** The event handlers of one object. */
export class EventHandlers {
  readonly #target: EventTarget;
  readonly #handlers = construct(MapClass, []) as Map<string, Handler>;

  constructor(target: EventTarget) {
    this.#target = target;
  }

  /** The value of the attribute for events of this type. */
  get(type: string): object | null {
    return mapGet(this.#handlers, type)?.callback ?? null;
  }

  /** Sets it: an object stays even if it cannot be called, everything else is null. */
  set(type: string, value: unknown): void {
    const handler = mapGet(this.#handlers, type);
    if (!isObject(value)) {
      if (handler !== undefined) {
        removeEventListener(this.#target, type, handler.listener);
        mapDelete(this.#handlers, type);
      }
      return;
    }
    if (handler !== undefined) {
      handler.callback = value; // it keeps its place among the listeners
      return;
    }
    const added: Handler = {
      callback: value,
      listener(event) {
        const { callback } = added;
        if (typeof callback === "function" && apply(callback, this, [event]) === false) {
          preventDefault(event);
        }
      },
    };
    mapSet(this.#handlers, type, added);
    addEventListener(this.#target, type, added.listener);
  }
}
