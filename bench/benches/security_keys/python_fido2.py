"""python-fido2 as a client of the hidraw node in argv[1]: "pay RP_ID CHALLENGE PIN CREDENTIAL_ID PUBLIC_KEY" on a line of standard input, in hex."""

import json
import sys
from hashlib import sha256

from fido2.cose import ES256
from fido2.ctap2 import ClientPin, Ctap2
from fido2.hid import CtapHidDevice, open_connection
from fido2.hid.base import HidDescriptor

# Its own list asks hidraw for names, which umockdev doesn't know.
descriptor = HidDescriptor(sys.argv[1], 0, 0, 64, 64, None, None)
ctap = Ctap2(CtapHidDevice(descriptor, open_connection(descriptor)))
for line in sys.stdin:
    _, rp_id, challenge, pin, credential_id, point = line.split()
    client_data_hash = sha256(bytes.fromhex(challenge)).digest()
    point = bytes.fromhex(point)
    ctap.get_info()
    client_pin = ClientPin(ctap)
    retries, _ = client_pin.get_pin_retries()
    token = client_pin.get_pin_token(pin, ClientPin.PERMISSION.GET_ASSERTION, rp_id)
    assertion = ctap.get_assertion(
        rp_id,
        client_data_hash,
        [{"type": "public-key", "id": bytes.fromhex(credential_id)}],
        pin_uv_param=client_pin.protocol.authenticate(token, client_data_hash),
        pin_uv_protocol=client_pin.protocol.VERSION,
    )
    key = ES256({1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
    assertion.verify(client_data_hash, key)
    print(json.dumps({"retries": retries, "signature": assertion.signature.hex()}), flush=True)
