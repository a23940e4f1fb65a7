// Internal slots on objects that a page holds: private fields, put on an existing object. A page can neither see nor forge
// them, whatever it does with prototypes, and a Proxy around such an object doesn't have them.
import type { EventHandlers } from "./event-handlers";
import { isObject } from "./primordials";
import type { RequestSlots } from "./request";
import type { ResponseSlots } from "./response";

 
/** A base class that returns the object it is given, so that the derived class's private fields go on that. */
// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- the constructor is what it is for
export class OnExisting {
  constructor(object: object) {
    return object;
  }
}

/** The slots of a PaymentRequest. */
export class RequestBrand extends OnExisting {
  readonly #slots: RequestSlots;
  readonly #handlers: EventHandlers;

  constructor(object: object, slots: RequestSlots, handlers: EventHandlers) {
    super(object);
    this.#slots = slots;
    this.#handlers = handlers;
  }

  /** The slots of `value`, undefined if it isn't one of ours. */
  static readonly slotsOf = (value: unknown): RequestSlots | undefined => {
    return isObject(value) && #slots in value ? value.#slots : undefined;
  };

  /** The event handlers of `value`, undefined if it isn't one of ours. */
  static readonly handlersOf = (value: unknown): EventHandlers | undefined => {
    return isObject(value) && #handlers in value ? value.#handlers : undefined;
  };
}

/** The slots of a PaymentResponse. */
export class ResponseBrand extends OnExisting {
  readonly #slots: ResponseSlots;
  readonly #handlers: EventHandlers;

  constructor(object: object, slots: ResponseSlots, handlers: EventHandlers) {
    super(object);
    this.#slots = slots;
    this.#handlers = handlers;
  }

  /** The slots of `value`, undefined if it isn't one of ours. */
  static readonly slotsOf = (value: unknown): ResponseSlots | undefined => {
    return isObject(value) && #slots in value ? value.#slots : undefined;
  };

  /** The event handlers of `value`, undefined if it isn't one of ours. */
  static readonly handlersOf = (value: unknown): EventHandlers | undefined => {
    return isObject(value) && #handlers in value ? value.#handlers : undefined;
  };
}
