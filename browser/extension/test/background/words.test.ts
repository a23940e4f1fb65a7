import assert from "node:assert/strict";
import { test } from "node:test";
import { forPage } from "../../src/background/words";

const SECRET = "at most EUR 2000.00 within 24 hours, of which EUR 437.50 are left now; unix:path=/run/user/1000/bus";

const HIDDEN = [
  ...["LimitReached", "CardTied", "NoMatchingCard", "PinBlocked", "PinNotSet", "NoAuthenticator", "AuthenticatorLocked", "KeysLost"],
  ...["StoreLocked", "StoreUnusable", "StoreRolledBack", "Internal", "AccessDenied", "Busy", "LimitsExceeded", "ALaterOne"],
].map((short) => `io.github.fwpd.Error.${short}`);

for (const name of [...HIDDEN, "fwp-host.NotRunning", "fwp-host.NotInstalled", "fwp-host.Gone"]) {
  test(`a page hears that it was ${name}, and nothing of what the wallet or the system said`, () => {
    const told = forPage({ name, message: SECRET });
    assert.equal(told.name, name);
    assert.match(told.message, /^the wallet/);
    assert.doesNotMatch(told.message, /[0-9/]{2}/);
  });
}

test("what is about the page's own request is told as it is", () => {
  for (const name of ["io.github.fwpd.Error.InvalidRequest", "fwp-host.Refused", "fwp-provider.Refused", "completed"]) {
    assert.deepEqual(forPage({ name, message: "methodData[0].data: no" }), { name, message: "methodData[0].data: no" });
  }
});
