// Which exception a page gets for which end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { exceptionFor } from "../../src/page/errors";

const WALLET = "io.github.fwpd.Error.";
const TABLE: readonly (readonly [exception: string, names: readonly string[]])[] = [
  [
    "AbortError",
    [
      ...["Declined", "Aborted", "NoMatchingCard", "CardTied", "LimitReached", "PinBlocked", "PinNotSet", "Timeout"],
      ...["CoolDown", "NoAgent", "Busy", "AuthenticatorFailed"],
    ].map((name) => WALLET + name),
  ],
  ["AbortError", ["fwp-host.Showing"]],
  ["TypeError", [`${WALLET}InvalidRequest`]],
  ["SecurityError", [`${WALLET}AccessDenied`, "fwp-host.Refused"]],
  ["NotSupportedError", ["fwp-host.NotInstalled", "fwp-host.NotRunning"]],
  [
    "OperationError",
    [
      ...[`${WALLET}StoreLocked`, `${WALLET}StoreUnusable`, `${WALLET}LimitsExceeded`, `${WALLET}InvalidState`],
      ...["fwp-host.Gone", "fwp-host.TooLarge", "fwp-host.Unknown", "org.freedesktop.DBus.Error.NoReply", ""],
      ...["Declined", "xio.github.fwpd.Error.Declined", "toString"],
    ],
  ],
];

for (const [exception, names] of TABLE) {
  for (const name of names) {
    test(`${name || "no name"} is ${exception}, with the message`, () => {
      const error = exceptionFor({ name, message: "the reason" });
      assert.equal(error.name, exception);
      assert.equal(error.message, "the reason");
      assert.equal(error instanceof DOMException, exception !== "TypeError");
    });
  }
}
