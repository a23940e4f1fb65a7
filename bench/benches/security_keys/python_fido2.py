"""python-fido2 as a client of the hidraw node in argv[1]: "assert RP_ID CHALLENGE PIN CREDENTIAL_ID" on a line of standard input, in hex."""

import json
import sys
from hashlib import sha256

from fido2.ctap2 import ClientPin, Ctap2
from fido2.hid import CtapHidDevice, open_connection
from fido2.hid.base import HidDescriptor

# Its own list asks hidraw for names, which umockdev doesn't know.
descriptor = HidDescriptor(sys.argv[1], 0, 0, 64, 64, None, None)
ctap = Ctap2(CtapHidDevice(descriptor, open_connection(descriptor)))
for line in sys.stdin:
    _, rp_id, challenge, pin, credential_id = line.split()
    client_data_hash = sha256(bytes.fromhex(challenge)).digest()
    client_pin = ClientPin(ctap)
    token = client_pin.get_pin_token(pin, ClientPin.PERMISSION.GET_ASSERTION, rp_id)
    assertion = ctap.get_assertion(
        rp_id,
        client_data_hash,
        [{"type": "public-key", "id": bytes.fromhex(credential_id)}],
        pin_uv_param=client_pin.protocol.authenticate(token, client_data_hash),
        pin_uv_protocol=client_pin.protocol.VERSION,
    )
    print(json.dumps({"signature": assertion.signature.hex()}), flush=True)
