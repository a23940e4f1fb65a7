// PaymentRequest and PaymentResponse objects of ours, whichever class they are made for.
import type { Bridge } from "./bridge";
import { checkRequest } from "./constructor-checks";
import { type MethodData, toDetailsInit, toMethodDataList } from "./dictionaries";
import { EventHandlers } from "./event-handlers";
import { EventTargetClass, type List, construct } from "./primordials";
import { RequestSlots, type Shared } from "./request";
import { ResponseSlots } from "./response";
import { RequestBrand, ResponseBrand } from "./slots";
import type { Surroundings } from "./surroundings";

type Target = abstract new (...args: never[]) => object;

/** The payments of one window. */
export class Payments {
  readonly #shared: Shared;

  constructor(bridge: Bridge, surroundings: Surroundings, responseClass: () => Target) {
    this.#shared = {
      bridge,
      surroundings,
      showing: null,
      newResponseSlots: (request, details) => new ResponseSlots(request, details),
      newResponse(slots) {
        const object = construct(EventTargetClass, [], responseClass());
        new ResponseBrand(object, slots, new EventHandlers(object as EventTarget));
        return object;
      },
    };
  }

  /** What the payments share, for the facades that are one more way to pay. */
  get shared(): Shared {
    return this.#shared;
  }

  /**
   * The PaymentRequest constructor: the arguments are converted, methodData first unless it is already, then the checks of
   * the standard's section 3.1 follow, from step 1.
   */
  construct(newTarget: Target, methodData: unknown, details: unknown, converted?: List<MethodData>): object {
    const methods = converted ?? toMethodDataList(methodData);
    const init = toDetailsInit(details);
    const { surroundings } = this.#shared;
    // 1. Is this document allowed to use payments?
    surroundings.checkAllowed();
    const checked = checkRequest(methods, init, surroundings.newId);
    // 11. to 23.
    const object = construct(EventTargetClass, [], newTarget);
    new RequestBrand(object, new RequestSlots(this.#shared, checked), new EventHandlers(object as EventTarget));
    return object;
  }
}
