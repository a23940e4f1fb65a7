// `navigator.fidoWebPay.enroll(offer, options)`: enrollment from a bank's page (docs/enrollment.md).
import { type Bridge, type Params, failureOf } from "./bridge";
import { domException, exceptionFor, typeError } from "./errors";
import { quote } from "./fwp-checks";
import { checkArgumentCount, method } from "./interfaces";
import { argument } from "./members";
import { addNavigatorAttribute } from "./navigator";
import {
  type Deferred,
  type List,
  defineProperty,
  deferred,
  descriptor,
  isObject,
  own,
  rejected,
  toStringTagSymbol,
} from "./primordials";
import type { Surroundings } from "./surroundings";
import { checkDictionary, member, serialize, toDOMString } from "./webidl";

/** Most UTF-16 code units of an offer or of cards as JSON. */
const MAX_JSON = 1 << 20;

/** Puts `fidoWebPay` on `navigator`. */
export function installEnrollment(
  window: Window & typeof globalThis,
  bridge: Bridge,
  surroundings: Surroundings,
): void {
  const fidoWebPay = {};
  defineProperty(fidoWebPay, toStringTagSymbol, descriptor({ value: "FidoWebPay", configurable: true }));
  const enroll = method("enroll", 1, (_self, args) => promised(() => begin(bridge, surroundings, args)));
  defineProperty(fidoWebPay, "enroll", enroll);
  addNavigatorAttribute(window, "fidoWebPay", fidoWebPay);
}

/** What throws becomes a rejected promise. */
function promised<T>(run: () => Promise<T>): Promise<T> {
  try {
    return run();
  } catch (exception) {
    return rejected(exception);
  }
}

function begin(bridge: Bridge, surroundings: Surroundings, args: List<unknown>): Promise<object> {
  checkArgumentCount(args, 1, "enroll");
  const offer = jsonOf(argument(args, 0), "offer");
  const options = argument(args, 1);
  checkDictionary(options, "options");
  const attachment = member(options, "attachment");
  const attachmentText = attachment === undefined ? undefined : toDOMString(attachment);
  if (attachmentText !== undefined && attachmentText !== "platform" && attachmentText !== "cross-platform") {
    throw typeError(`The provided value '${attachmentText}' is not a valid attachment.`);
  }
  const replace = member(options, "replace");

  surroundings.checkAllowed();
  if (!surroundings.isFullyActive() || !surroundings.isVisible()) {
    throw domException("AbortError", "The document is not visible");
  }
  if (!surroundings.isActivated()) {
    throw domException("SecurityError", "enroll() must be called by a user gesture");
  }

  const enrolled = deferred<object>();
  const params: Params = [
    ["offer", quote(offer)],
    ["attachment", attachmentText === undefined ? "" : quote(attachmentText)],
    ["replace", replace === undefined ? "" : replace ? "true" : "false"],
  ];
  bridge.request(
    "beginEnrollment",
    params,
    (result) => {
      const name = own(result, "enrollment");
      if (typeof name === "string") {
        new Enrollment(bridge, name, enrolled);
      } else {
        enrolled.reject(exceptionFor({ name: "", message: "The wallet named no enrollment" }));
      }
    },
    (failure) => {
      enrolled.reject(exceptionFor(failure));
    },
  );
  return enrolled.promise;
}

/** A JSON text of a page's object. */
function jsonOf(value: unknown, what: string): string {
  if (!isObject(value)) {
    throw typeError(`${what} is not an object`);
  }
  const text = serialize(value, what);
  if (text.length > MAX_JSON) {
    throw typeError(`${what} is longer than ${MAX_JSON} characters as JSON`);
  }
  return text;
}

/** One enrollment that the wallet has begun. */
class Enrollment {
  readonly #bridge: Bridge;
  readonly #name: string;
  /** Why it is over, undefined while it isn't. */
  #ended: DOMException | TypeError | undefined;

  constructor(bridge: Bridge, name: string, enrolled: Deferred<object>) {
    this.#bridge = bridge;
    this.#name = name;
    bridge.listen("enrollment", name, (event, message) => {
      if (event === "attestation") {
        enrolled.resolve(this.#object(own(message, "attestation")));
      } else if (event === "closed") {
        bridge.forget("enrollment", name);
        this.#ended = exceptionFor(failureOf(message));
        enrolled.reject(this.#ended);
      }
    });
  }

  /** What the page gets: the attestation for its server, and what to do with the server's answer. */
  #object(attestation: unknown): object {
    const object = {};
    defineProperty(
      object,
      "attestation",
      descriptor({ value: attestation, writable: true, enumerable: true, configurable: true }),
    );
    const storeCards = method("storeCards", 1, (_self, args) => promised(() => this.#storeCards(args)));
    const cancel = method("cancel", 0, () => this.#cancel());
    defineProperty(object, "storeCards", storeCards);
    defineProperty(object, "cancel", cancel);
    return object;
  }

  #storeCards(args: List<unknown>): Promise<number> {
    checkArgumentCount(args, 1, "storeCards");
    const cards = jsonOf(argument(args, 0), "cards");
    if (this.#ended !== undefined) {
      throw this.#ended;
    }
    const stored = deferred<number>();
    const params: Params = [
      ["enrollment", quote(this.#name)],
      ["cards", quote(cards)],
    ];
    this.#bridge.request(
      "storeCards",
      params,
      (result) => {
        const count = own(result, "stored");
        stored.resolve(typeof count === "number" ? count : 0);
      },
      (failure) => {
        stored.reject(exceptionFor(failure));
      },
    );
    return stored.promise;
  }

  #cancel(): Promise<undefined> {
    const done = deferred<undefined>();
    const finish = (): void => {
      done.resolve(undefined);
    };
    if (this.#ended === undefined) {
      this.#bridge.request("cancelEnrollment", [["enrollment", quote(this.#name)]], finish, finish);
    } else {
      finish();
    }
    return done.promise;
  }
}
