//! The TPM's attestation key with its certificates, as the store keeps them: a map of deterministic CBOR, 1: the key, 2: the
//! certificates in DER, its own first. Nothing in it is secret.

use ctap_tpm::{Attestation, AttestationKey};
use fwp_cose::cbor::{Fields, Map, Value, decode};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::AuthenticatorState;
use zeroize::Zeroizing;

use crate::vault::Vault;

/// As the store keeps it.
pub(super) fn encode(attestation: &Attestation) -> Zeroizing<Vec<u8>> {
    let certificates = attestation.certificates.iter().cloned().map(Value::Bytes).collect();
    let map = Map::new().with(1, attestation.key.encode()).with(2, Value::Array(certificates));
    Zeroizing::new(Value::Map(map).encode())
}

/// `None` for what [`encode`] doesn't write.
pub(super) fn parse(bytes: &[u8]) -> Option<Attestation> {
    let mut fields = Fields::of("the attestation", decode(bytes).ok()?).ok()?;
    let key = AttestationKey::decode(&fields.bytes(1).ok()?)?;
    let Value::Array(entries) = fields.required(2).ok()? else { return None };
    fields.finish().ok()?;
    let certificate = |entry| match entry {
        Value::Bytes(der) => Some(der),
        _ => None,
    };
    let certificates = entries.into_iter().map(certificate).collect::<Option<Vec<_>>>()?;
    Some(Attestation { key, certificates })
}

/// What vouches for new keys in the TPM, if something was certified. For threads that may wait.
///
/// # Errors
/// Those of the store; `AuthenticatorFailed` for what can't be read.
pub(super) fn read(vault: &Vault) -> Result<Option<Attestation>, Error> {
    let which = AuthenticatorState::TpmAttestation;
    let kept = vault.read_here(|store| store.map_or(Ok(None), |store| store.authenticator_state(which)))?;
    let parsed = kept.map(|bytes| {
        parse(&bytes).ok_or_else(|| {
            let text = "the TPM's attestation key is kept in a form that this version doesn't know: have it certified again \
                        (fwpctl authenticators certify)";
            Error::new(ErrorName::AuthenticatorFailed, text)
        })
    });
    parsed.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_as_it_was(
            public in any::<Vec<u8>>(),
            private in any::<Vec<u8>>(),
            certificates in any::<Vec<Vec<u8>>>(),
        ) {
            let key = AttestationKey::decode(&[sized(&public), sized(&private)].concat()).unwrap();
            let attestation = Attestation { key, certificates };
            let bytes = encode(&attestation);
            prop_assert_eq!(parse(&bytes), Some(attestation));
            for len in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..len]), None);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }
    }
}
