//! What ctap-hid-fido2 makes of the one security key that is plugged in. A command per line comes on standard input, its
//! result goes as a line of JSON to standard output:
//!
//! * `info`, `retries`
//! * `make RP_ID CHALLENGE PIN`, `assert RP_ID CHALLENGE PIN CREDENTIAL_ID`, with CHALLENGE and CREDENTIAL_ID in hex; what is
//!   signed for is SHA-256(CHALLENGE)
//! * `pay RP_ID CHALLENGE PIN CREDENTIAL_ID PUBLIC_KEY`: what a wallet has to do, from getInfo over the attempts that are left to
//!   the verified signature; PUBLIC_KEY is the point on P-256 (SEC 1), in hex
#![forbid(unsafe_code)]

use ctap_hid_fido2::fidokey::get_assertion::get_assertion_params::Assertion;
use ctap_hid_fido2::fidokey::{FidoKeyHid, GetAssertionArgsBuilder, MakeCredentialArgsBuilder};
use ctap_hid_fido2::public_key::{PublicKey, PublicKeyType};
use ctap_hid_fido2::verifier::verify_assertion;
use ctap_hid_fido2::{Cfg, FidoKeyHidFactory};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use serde_json::{Value, json};
use std::error::Error;
use std::io::BufRead;

fn main() -> Result<(), Box<dyn Error>> {
    let config = Cfg::init().with_keep_alive_msg_to_stderr(true);
    let key = FidoKeyHidFactory::create(&config)?;
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&key, &line?)?);
    }
    Ok(())
}

fn answer(key: &FidoKeyHid, line: &str) -> Result<Value, Box<dyn Error>> {
    let words: Vec<&str> = line.split(' ').collect();
    Ok(match words[..] {
        ["info"] => {
            let info = key.get_info()?;
            json!({
                "versions": info.versions,
                "extensions": info.extensions,
                "aaguid": HEX.encode(&info.aaguid),
                "options": info.options,
                "maxMsgSize": info.max_msg_size,
                "pinUvAuthProtocols": info.pin_uv_auth_protocols,
                "maxCredentialCountInList": info.max_credential_count_in_list,
                "maxCredentialIdLength": info.max_credential_id_length,
                "transports": info.transports,
                "forcePinChange": info.force_pin_change,
                "minPinLength": info.min_pin_length,
            })
        }
        ["retries"] => json!(key.get_pin_retries()?),
        ["make", rp_id, challenge, pin] => {
            let challenge = HEX.decode(challenge.as_bytes())?;
            let made = key.make_credential_with_args(
                &MakeCredentialArgsBuilder::new(rp_id, &challenge).pin(pin).build(),
            )?;
            json!({
                "authData": HEX.encode(&made.auth_data),
                "credentialId": HEX.encode(&made.credential_descriptor.id),
                "signature": HEX.encode(&made.attstmt_sig),
            })
        }
        ["assert", rp_id, challenge, pin, credential_id] => {
            let assertion = assertion(key, rp_id, challenge, pin, credential_id)?;
            json!({
                "authData": HEX.encode(&assertion.auth_data),
                "signature": HEX.encode(&assertion.signature),
                "signCount": assertion.sign_count,
            })
        }
        ["pay", rp_id, challenge, pin, credential_id, public_key] => {
            key.get_info()?;
            let retries = key.get_pin_retries()?;
            let assertion = assertion(key, rp_id, challenge, pin, credential_id)?;
            let point = HEX.decode(public_key.as_bytes())?;
            let public_key = PublicKey::with_der(&point, PublicKeyType::Ecdsa256);
            let challenge = HEX.decode(challenge.as_bytes())?;
            if !verify_assertion(rp_id, &public_key, &challenge, &assertion) {
                return Err("the signature does not verify".into());
            }
            json!({"retries": retries, "signature": HEX.encode(&assertion.signature)})
        }
        _ => return Err(format!("no such command: {line}").into()),
    })
}

fn assertion(
    key: &FidoKeyHid,
    rp_id: &str,
    challenge: &str,
    pin: &str,
    credential_id: &str,
) -> Result<Assertion, Box<dyn Error>> {
    let challenge = HEX.decode(challenge.as_bytes())?;
    let credential_id = HEX.decode(credential_id.as_bytes())?;
    let arguments =
        GetAssertionArgsBuilder::new(rp_id, &challenge).pin(pin).credential_id(&credential_id).build();
    Ok(key.get_assertion_with_args(&arguments)?.into_iter().next().ok_or("no assertion")?)
}
