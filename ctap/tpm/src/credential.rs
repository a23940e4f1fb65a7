//! Credential IDs: `version (1) || TPM2B_PUBLIC || TPM2B_PRIVATE` (TPM 2.0 Library, Part 2, sections 12.2.5 and 12.3.7), as the
//! TPM made them, so that tpm2-tools can look at them.
//!
//! The public area is always the same but for its policy and its point:
//!
//! | attribute or member | value |
//! |---|---|
//! | type, nameAlg | ECC on P-256, SHA-256 |
//! | fixedTPM, fixedParent, sensitiveDataOrigin | set: made in this TPM and never leaves it |
//! | sign | set, with ECDSA and SHA-256 |
//! | userWithAuth | clear: only the policy lets it sign |
//! | adminWithPolicy | clear: certifying it takes its authorization value |
//! | noDA | set: its authorization value is 32 random bytes that nobody guesses |
//! | authPolicy | PolicySecret(PIN object, policyRef = wallet and SHA-256(rpId)), then PolicyAuthValue |
//!
//! The rpId is in the policy, and the policy in the name, which the private part is bound to: a credential ID with another
//! public area does not load, and with another rpId it does not sign.

use crate::connection::Tried;
use crate::failure::Failure;
use crate::policy::{NAME, PolicyDigest};
use ctap_core::messages::CredentialId;
use fwp_cose::key::P256Key;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    Digest, EccParameter, EccPoint, EccScheme, HashScheme, Private, Public, PublicBuilder,
    PublicEccParametersBuilder,
};
use tss_esapi::traits::Marshall;

const VERSION: u8 = 1;
/// The longest credential ID, in bytes. What TPMs put into TPM2B_PRIVATE differs; libtpms makes 126 bytes of it.
pub(crate) const MAX_CREDENTIAL_ID: usize = 512;
/// The length of a coordinate, in bytes.
const COORDINATE: usize = 32;

/// What binds a key to a wallet and an rpId: the policyRef of its PolicySecret.
pub(crate) type PolicyRef = [u8; 48];

pub(crate) fn policy_ref(wallet: &[u8; 16], rp_id_hash: &[u8; 32]) -> PolicyRef {
    let mut policy_ref = [0; 48];
    policy_ref.iter_mut().zip(wallet.iter().chain(rp_id_hash)).for_each(|(to, from)| *to = *from);
    policy_ref
}

/// The policy of the keys for `policy_ref`, whose PIN object has the name `pin_object`.
pub(crate) fn policy(pin_object: &[u8; NAME], policy_ref: &PolicyRef) -> PolicyDigest {
    PolicyDigest::new().secret(pin_object, policy_ref).auth_value()
}

/// The public area of a key. The template for a new one has an empty point.
pub(crate) fn public(policy: &PolicyDigest, point: Option<(&[u8], &[u8])>) -> Tried<Public> {
    let build = || {
        let attributes = ObjectAttributesBuilder::new()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_sensitive_data_origin(true)
            .with_no_da(true)
            .with_sign_encrypt(true)
            .build()?;
        let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
        let parameters =
            PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256).build()?;
        let unique = match point {
            Some((x, y)) => EccPoint::new(EccParameter::try_from(x)?, EccParameter::try_from(y)?),
            None => EccPoint::default(),
        };
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_auth_policy(Digest::try_from(policy.as_bytes().as_slice())?)
            .with_ecc_parameters(parameters)
            .with_ecc_unique_identifier(unique)
            .build()
    };
    build().map_err(|error| Failure::new("TPM2_Create", &error))
}

/// The bytes of a TPMT_PUBLIC.
pub(crate) fn marshalled(public: &Public) -> Tried<Vec<u8>> {
    public.marshall().map_err(|error| Failure::new("TPM2_Create", &error))
}

/// The key as CTAP has it.
pub(crate) fn public_key(public: &Public) -> Tried<P256Key> {
    let bad = |text: String| Failure::local("TPM2_Create", text);
    let Public::Ecc { unique, .. } = public else {
        return Err(bad("the new key is none on P-256".to_owned()));
    };
    let mut sec1 = vec![4];
    for coordinate in [unique.x().value(), unique.y().value()] {
        sec1.resize(sec1.len() + COORDINATE.saturating_sub(coordinate.len()), 0);
        sec1.extend_from_slice(coordinate);
    }
    P256Key::from_sec1(&sec1).map_err(|error| bad(error.to_string()))
}

/// Puts a credential ID together.
pub(crate) fn encode(public: &Public, private: &Private) -> Tried<CredentialId> {
    let command = "TPM2_Create";
    let public = marshalled(public)?;
    let mut out = vec![VERSION];
    for part in [public.as_slice(), private.value()] {
        let len = u16::try_from(part.len()).map_err(|error| Failure::local(command, error))?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(part);
    }
    if out.len() > MAX_CREDENTIAL_ID {
        return Err(Failure::local(command, "the TPM's private parts are too long for a credential ID"));
    }
    CredentialId::new(out).map_err(|error| Failure::local(command, error))
}

/// The two parts of a credential ID, not yet looked into. `None`: not one of ours.
pub(crate) fn split(credential_id: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&VERSION, rest) = credential_id.split_first()? else { return None };
    let (public, rest) = sized(rest)?;
    let (private, rest) = sized(rest)?;
    rest.is_empty().then_some((public, private))
}

pub(crate) fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*len).into())
}

/// What to load for a credential ID that is one of ours for `policy`. `None`: it is not.
pub(crate) fn decode(
    credential_id: &CredentialId,
    policy: &PolicyDigest,
) -> Tried<Option<(Public, Private)>> {
    let Some((bytes, private)) = split(credential_id.as_bytes()) else { return Ok(None) };
    let template = marshalled(&self::public(policy, None)?)?;
    // All but the two empty coordinates at its end.
    let fixed = template.len().saturating_sub(4);
    let Some((head, point)) = bytes.split_at_checked(fixed) else { return Ok(None) };
    if !template.starts_with(head) {
        return Ok(None);
    }
    let coordinates = sized(point).and_then(|(x, rest)| sized(rest).map(|(y, rest)| (x, y, rest)));
    let Some((x, y, [])) = coordinates.filter(|(x, y, _)| x.len().max(y.len()) <= COORDINATE) else {
        return Ok(None);
    };
    let public = self::public(policy, Some((x, y)))?;
    Ok(Private::try_from(private).ok().map(|private| (public, private)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some_policy(rp: u8) -> PolicyDigest {
        policy(&[7; NAME], &policy_ref(&[1; 16], &[rp; 32]))
    }

    fn some_id(rp: u8) -> CredentialId {
        let public = public(&some_policy(rp), Some((&[2; 32], &[3; 32]))).unwrap();
        encode(&public, &Private::try_from([9; 126].as_slice()).unwrap()).unwrap()
    }

    #[test]
    fn a_credential_id_is_read_for_its_own_rp_id_only() {
        let (public, private) = decode(&some_id(1), &some_policy(1)).unwrap().unwrap();
        assert_eq!(encode(&public, &private).unwrap(), some_id(1));
        assert_eq!(decode(&some_id(1), &some_policy(2)).unwrap(), None);
        assert!(some_id(1).as_bytes().len() < 260, "{}", some_id(1).as_bytes().len());
    }

    #[test]
    fn a_cut_or_longer_one_is_not_ours() {
        let bytes = some_id(1).as_bytes().to_vec();
        for len in 1..bytes.len() {
            let cut = CredentialId::new(bytes[..len].to_vec()).unwrap();
            assert_eq!(decode(&cut, &some_policy(1)).unwrap(), None, "{len} bytes");
        }
        let longer = CredentialId::new([bytes.as_slice(), &[0]].concat()).unwrap();
        assert_eq!(decode(&longer, &some_policy(1)).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not_ours(bytes in proptest::collection::vec(any::<u8>(), 1..600), at in 0..1000usize) {
            let _ = decode(&CredentialId::new(bytes.clone()).unwrap(), &some_policy(1)).unwrap();
            let mut mixed = some_id(1).as_bytes().to_vec();
            let at = at % mixed.len();
            mixed[at..].iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
            let _ = decode(&CredentialId::new(mixed).unwrap(), &some_policy(1)).unwrap();
        }
    }
}
