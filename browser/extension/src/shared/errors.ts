// Errors as they travel: a name and a message, the same shape from the host to the page.

/** Names that this side of the wallet gives; the wallet's own begin with `io.github.fwpd.Error.`. */
export const ERROR = {
  /** A message is not of the agreed form. */
  invalidMessage: "fwp-host.InvalidMessage",
  /** The host runs, the wallet's daemon does not. */
  notRunning: "fwp-host.NotRunning",
  /** The browser finds no native messaging host, or may not start it. */
  notInstalled: "fwp-host.NotInstalled",
  /** The host or the daemon died. */
  gone: "fwp-host.Gone",
  /** A check of the isolated world or of the background failed; the message says which. */
  refused: "fwp-host.Refused",
  /** No payment or enrollment of that name in this frame. */
  unknown: "fwp-host.Unknown",
  /** A message larger than the host takes. */
  tooLarge: "fwp-host.TooLarge",
  /** Another payment of this tab is showing. */
  showing: "fwp-host.Showing",
  /** The page went away, or into the back-forward cache. */
  aborted: "io.github.fwpd.Error.Aborted",
  /** mozPay: the provider said no. */
  providerRefused: "fwp-provider.Refused",
  /** mozPay: the provider was not reached or answered nonsense. */
  providerUnavailable: "fwp-provider.Unavailable",
} as const;

/** An error on the wire. */
export interface WireError {
  readonly name: string;
  readonly message: string;
}

/** A WireError that can be thrown. */
export class Failure extends Error implements WireError {
  constructor(
    override readonly name: string,
    message: string,
  ) {
    super(message);
  }

  /** The plain object to send. */
  get wire(): WireError {
    return { name: this.name, message: this.message };
  }
}
