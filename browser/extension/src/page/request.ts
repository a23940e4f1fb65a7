// PaymentRequest's state machine (W3C Payment Request, sections 3.3 to 3.5, 4 and 12), without its class: what a method does
// with the internal slots of one object. Steps are numbered as in the standard.
import { type Bridge, type Params, failureOf } from "./bridge";
import { type CheckedRequest, checkUpdate } from "./constructor-checks";
import { toDetailsUpdate } from "./dictionaries";
import { type Failure, domException, exceptionFor } from "./errors";
import { quote } from "./fwp-checks";
import {
  type Deferred,
  type List,
  append,
  at,
  deferred,
  isObject,
  list,
  own,
  promiseOf,
  react,
  rejected,
} from "./primordials";
import type { ResponseSlots } from "./response";
import type { Surroundings } from "./surroundings";

/** What the payments of one window share. */
export interface Shared {
  readonly bridge: Bridge;
  readonly surroundings: Surroundings;
  /** The "payment request is showing" boolean of this window: who is showing. The background has the tab's. */
  showing: object | null;
  /** Makes a PaymentResponse object for its slots. */
  readonly newResponse: (slots: ResponseSlots) => object;
  /** Makes the slots of a new response. */
  readonly newResponseSlots: (request: RequestSlots, details: object) => ResponseSlots;
}

type State = "created" | "interactive" | "closed";

/** Internal slots of one PaymentRequest. */
export class RequestSlots {
  readonly shared: Shared;
  readonly checked: CheckedRequest;
  /** [[state]] */
  #state: State = "created";
  /** [[updating]]: show()'s promise of details has not settled. */
  #updating = false;
  /** [[response]] */
  #response: ResponseSlots | null = null;
  /** [[acceptPromise]] */
  #accept: Deferred<object> | null = null;
  /** The wallet's name of this payment, once there is one and as long as it is open. */
  #payment: string | null = null;
  /** Those who wait for abort(). */
  #aborts: List<Deferred<undefined>> | null = null;
  /** It has ended, well or badly: nothing that still comes from the wallet changes anything. */
  #over = false;

  constructor(shared: Shared, checked: CheckedRequest) {
    this.shared = shared;
    this.checked = checked;
  }

  /** Section 3.3, show(). */
  show(hasDetails: boolean, details: unknown): Promise<object> {
    const { surroundings } = this.shared;
    // Web IDL: the argument becomes a promise before anything else happens.
    const detailsPromise = hasDetails ? promiseOf(details) : null;
    // 2. Transient activation. (3. A script can't consume it: the isolated world takes each click or key once.) A second
    // show() has none in a browser that consumes it, and is told by Chromium what else is wrong, as in step 8.
    if (this.#state === "created" && !surroundings.isActivated()) {
      return rejected(domException("SecurityError", "show() must be called by a user gesture"));
    }
    // 5. Fully active.
    if (!surroundings.isFullyActive()) {
      return rejected(domException("AbortError", "The document is not fully active"));
    }
    // 6. Visible.
    if (!surroundings.isVisible()) {
      return rejected(domException("AbortError", "The document is not visible"));
    }
    // 8. Only once.
    if (this.#state !== "created") {
      return rejected(domException("InvalidStateError", "Already called show() once"));
    }
    // 9. One at a time.
    if (this.shared.showing !== null) {
      this.#state = "closed";
      return rejected(domException("AbortError", "Another payment request is showing"));
    }
    // 10. to 12., 14.
    this.#state = "interactive";
    const accept = deferred<object>();
    this.#accept = accept;
    this.shared.showing = this;
    // 16. to 24. go on without the caller.
    if (this.checked.ours) {
      this.#create(detailsPromise);
    } else {
      // 18. There is no handler.
      const unsupported = (): void => {
        this.#end(domException("NotSupportedError", "None of the payment methods is supported"));
      };
      react(promiseOf(undefined), unsupported, unsupported);
    }
    return accept.promise;
  }

  /** Section 3.4, abort(). */
  abort(): Promise<undefined> {
    // 2. Not during retry().
    if (this.#response?.isRetrying() === true) {
      return rejected(domException("InvalidStateError", "Cannot abort() while retry() is in progress"));
    }
    // 3. Only between show() and its end.
    if (this.#state !== "interactive") {
      return rejected(domException("InvalidStateError", "No show() in progress, so nothing to abort"));
    }
    // 4. to 7.
    const done = deferred<undefined>();
    if (this.#aborts === null) {
      this.#aborts = list<Deferred<undefined>>();
      this.#sendAbort();
    }
    append(this.#aborts, done);
    return done.promise;
  }

  /** Section 3.5, the can make payment algorithm. */
  canMakePayment(): Promise<boolean> {
    if (this.#state !== "created") {
      return rejected(domException("InvalidStateError", "Cannot query payment request"));
    }
    const answer = deferred<boolean>();
    if (this.checked.ours) {
      const succeed = (result: unknown): void => {
        answer.resolve(result === true);
      };
      const fail = (): void => {
        answer.resolve(false);
      };
      this.shared.bridge.request("canMakePayment", [], succeed, fail);
    } else {
      answer.resolve(false);
    }
    return answer.promise;
  }

  /** Section 14.1, retry(), from step 7 on: the response has done the checks that are its own. */
  retry(errorFields: string): void {
    this.#state = "interactive";
    this.#send("retry", ["errorFields", errorFields], (failure) => {
      const exception = exceptionFor(failure);
      // The wallet did not like errorFields: the payment is where it was, and the page can mend them.
      if (failure.name === "io.github.fwpd.Error.InvalidRequest") {
        this.#state = "closed";
        this.#response?.endRetry(exception);
      } else {
        this.#abandon(exception);
      }
    });
  }

  /** Section 14.10, complete(), step 11: `done` is called when nothing of the wallet is before the person any more. */
  complete(result: string, done: () => void): void {
    this.#over = true;
    const finish = (): void => {
      this.#release();
      done();
    };
    const payment = this.#payment;
    if (payment === null) {
      finish();
      return;
    }
    const params: Params = [
      ["payment", quote(payment)],
      ["result", quote(result)],
    ];
    // Whatever comes of it (the daemon may be gone): the page's payment is over.
    this.shared.bridge.request("complete", params, finish, finish);
  }

  /** Creates the payment at the wallet, with the gesture of show() still warm; shows it when the details are there. */
  #create(detailsPromise: Promise<unknown> | null): void {
    this.#updating = detailsPromise !== null;
    let update: string | undefined;
    const showIfReady = (): void => {
      if (this.#payment === null || this.#updating || this.#state !== "interactive" || this.#aborts !== null) {
        return;
      }
      if (update !== undefined) {
        this.#send("update", ["details", quote(update)], (failure) => {
          this.#abandon(exceptionFor(failure));
        });
      }
      this.#send("show", null, (failure) => {
        // The background ended the payment with its refusal.
        this.#release();
        this.#failed(failure);
      });
    };

    const { checked, shared } = this;
    const params: Params = [
      ["methodData", quote(checked.methodData)],
      ["details", quote(checked.details)],
    ];
    shared.bridge.request(
      "createPayment",
      params,
      (result) => {
        const payment = own(result, "payment");
        if (typeof payment !== "string") {
          this.#end(exceptionFor({ name: "", message: "The wallet named no payment" }));
          return;
        }
        this.#created(payment);
        showIfReady();
      },
      (failure) => {
        this.#failed(failure);
      },
    );

    if (detailsPromise === null) {
      return;
    }
    // 20. Update the details, section "update a PaymentRequest's details algorithm".
    react(
      detailsPromise,
      (value) => {
        if (this.#state !== "interactive") {
          return;
        }
        try {
          update = checkUpdate(toDetailsUpdate(value), true);
        } catch (exception) {
          this.#abandon(exception);
          return;
        }
        this.#updating = false;
        showIfReady();
      },
      () => {
        this.#abandon(domException("AbortError", "The promise of details was rejected"));
      },
    );
  }

  /** The wallet has the payment. */
  #created(payment: string): void {
    this.#payment = payment;
    this.shared.bridge.listen("payment", payment, (event, message) => {
      if (event === "response") {
        this.#accepted(own(message, "details"));
      } else if (event === "closed") {
        this.#release();
        this.#failed(failureOf(message));
      }
    });
    // abort() was called, or the details failed, before there was anything to abort at the wallet.
    if (this.#aborts !== null || this.#state !== "interactive") {
      this.#sendAbort();
    }
  }

  /** Section "user accepts the payment request algorithm". */
  #accepted(details: unknown): void {
    // 2., 3. Not while updating, not unless interactive. An answer that crosses an abort() is dropped: the page was told
    // that there is none, and without it nothing is booked.
    if (this.#updating || this.#state !== "interactive" || this.#aborts !== null || !isObject(details)) {
      return;
    }
    this.#state = "closed";
    if (this.#response !== null) {
      this.#response.retried(details);
      return;
    }
    this.#response = this.shared.newResponseSlots(this, details);
    this.#accept?.resolve(this.shared.newResponse(this.#response));
  }

  /** The payment is over, or never came to be, for this reason. */
  #failed(failure: Failure): void {
    if (this.#aborts !== null) {
      this.#end(domException("AbortError", "The website has aborted the payment"));
    } else {
      this.#end(exceptionFor(failure));
    }
  }

  /** It ends on this side first: the page's details failed (section "abort the update"), or the wallet won't retry. */
  #abandon(exception: unknown): void {
    if (this.#state === "interactive") {
      this.#end(exception);
      this.#sendAbort();
    }
  }

  /** Section "user aborts the payment request algorithm", whoever aborted it. */
  #end(exception: unknown): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    const aborts = this.#aborts;
    this.#aborts = null;
    this.#state = "closed";
    this.#hide();
    if (this.#response !== null) {
      this.#response.ended(exception);
    } else {
      this.#accept?.reject(exception);
    }
    if (aborts !== null) {
      for (let i = 0; i < aborts.length; i++) {
        at(aborts, i).resolve(undefined);
      }
    }
  }

  /** Nothing of this payment is before the person any more. */
  #release(): void {
    this.#hide();
    if (this.#payment !== null) {
      this.shared.bridge.forget("payment", this.#payment);
      this.#payment = null;
    }
  }

  #hide(): void {
    if (this.shared.showing === this) {
      this.shared.showing = null;
    }
  }

  /** Tells the wallet that the payment is not wanted; `closed` follows, which ends it here if it hasn't ended. */
  #sendAbort(): void {
    this.#send("abort", null, (failure) => {
      // The wallet is gone, or the payment is: either way there is nothing left to wait for.
      this.#failed(failure);
    });
  }

  /** Sends a request about this payment, if the wallet has it yet. */
  #send(
    method: "show" | "abort" | "update" | "retry",
    more: Params[number] | null,
    fail: (failure: Failure) => void,
  ): void {
    if (this.#payment === null) {
      return;
    }
    const payment = ["payment", quote(this.#payment)] as const;
    const nothing = (): void => undefined;
    this.shared.bridge.request(method, more === null ? [payment] : [payment, more], nothing, fail);
  }
}
