// PaymentResponse's state machine (W3C Payment Request, section 14), without its class. Steps are numbered as in the standard.
import { domException, typeError } from "./errors";
import { PAYMENT_METHOD, quote } from "./fwp-checks";
import { type Deferred, deferred, rejected } from "./primordials";
import type { RequestSlots } from "./request";
import { checkDictionary, member, optionalObject, serialize, toDOMString } from "./webidl";

/** Most UTF-16 code units of `errorFields` as JSON: what is longer would not get through to the wallet. */
const MAX_ERROR_FIELDS = 1 << 18;

/** Internal slots of one PaymentResponse. */
export class ResponseSlots {
  /** [[request]] */
  readonly request: RequestSlots;
  /** `details`: the FIDO Web Pay assertion, an object of the page's. */
  #details: object;
  /** [[complete]] */
  #complete = false;
  /** [[retryPromise]] */
  #retry: Deferred<undefined> | null = null;

  constructor(request: RequestSlots, details: object) {
    this.request = request;
    this.#details = details;
  }

  /** The method that the person paid by. */
  readonly methodName = PAYMENT_METHOD;

  get details(): object {
    return this.#details;
  }

  /** Whether [[retryPromise]] is there. */
  isRetrying(): boolean {
    return this.#retry !== null;
  }

  /** Section 14.1, retry(). What the conversion of `errorFields` throws rejects the promise, too; the caller sees to that. */
  retry(errorFields: unknown): Promise<undefined> {
    const fields = toValidationErrors(errorFields);
    // 4. Fully active.
    if (!this.request.shared.surroundings.isFullyActive()) {
      return rejected(domException("AbortError", "The document is not fully active"));
    }
    // 5. Not after the end.
    if (this.#complete) {
      return rejected(domException("InvalidStateError", "Cannot call retry() because the payment is complete"));
    }
    // 6. Not while retrying.
    if (this.#retry !== null) {
      return rejected(
        domException("InvalidStateError", "Cannot call retry() again until the previous retry() is finished"),
      );
    }
    // 7. to 12.
    const retry = deferred<undefined>();
    this.#retry = retry;
    this.request.retry(fields);
    return retry.promise;
  }

  /** Section 14.10, complete(). */
  complete(result: unknown, details: unknown): Promise<undefined> {
    const value = toPaymentComplete(result);
    checkDictionary(details, "details");
    const rawData = member(details, "data");
    const data = rawData === null ? undefined : optionalObject(rawData, "details.data");
    // 2., 3. Once, and not while retrying.
    if (this.#complete) {
      return rejected(domException("InvalidStateError", "Already called complete() once"));
    }
    if (this.#retry !== null) {
      return rejected(domException("InvalidStateError", "Cannot call complete() before retry() is finished"));
    }
    // 5., 6. Serialise the data; our method has no use for it.
    if (data !== undefined) {
      serialize(data, "details.data");
    }
    // 8. to 11.
    this.#complete = true;
    const done = deferred<undefined>();
    this.request.complete(value, () => {
      done.resolve(undefined);
    });
    return done.promise;
  }

  /** The person authorized it once more. */
  retried(details: object): void {
    this.#details = details;
    const retry = this.#retry;
    this.#retry = null;
    retry?.resolve(undefined);
  }

  /** retry() was refused, but the payment goes on. */
  endRetry(exception: unknown): void {
    const retry = this.#retry;
    this.#retry = null;
    retry?.reject(exception);
  }

  /** The payment ended. */
  ended(exception: unknown): void {
    this.#complete = true;
    this.endRetry(exception);
  }
}

/** `PaymentComplete`. */
function toPaymentComplete(value: unknown): string {
  const text = value === undefined ? "unknown" : toDOMString(value);
  if (text !== "fail" && text !== "success" && text !== "unknown") {
    throw typeError(`The provided value '${text}' is not a valid enum value of type PaymentComplete.`);
  }
  return text;
}

/** `PaymentValidationErrors`, as JSON for the wallet: what is about the payer and shipping isn't asked for here. */
function toValidationErrors(value: unknown): string {
  checkDictionary(value, "errorFields");
  const error = member(value, "error");
  const errorText = error === undefined ? "" : toDOMString(error); // an empty one says nothing
  const paymentMethod = optionalObject(member(value, "paymentMethod"), "errorFields.paymentMethod");
  let members = errorText === "" ? "" : `"error":${quote(errorText)}`;
  if (paymentMethod !== undefined) {
    members += `${members === "" ? "" : ","}"paymentMethod":${serialize(paymentMethod, "errorFields.paymentMethod")}`;
  }
  if (members.length > MAX_ERROR_FIELDS) {
    throw typeError(`errorFields is longer than ${MAX_ERROR_FIELDS} characters as JSON`);
  }
  return quote(`{${members}}`);
}
