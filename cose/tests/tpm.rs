//! The TPM's structures that come from outside: which are taken. Statements by a real TPM are in the tests of those who make and
//! verify them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp_cose::cbor::Value;
use fwp_cose::tpm::{PublicArea, PublicAreaError, TpmStatement, TpmStatementError};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign.
const ATTESTATION_KEY: u32 = 0x0005_0472;
/// Byte of the attributes in [`area`].
const ATTRIBUTES: usize = 4;

/// TPMT_PUBLIC of the key whose private key is 3.
fn area(attributes: u32) -> Vec<u8> {
    let mut secret = [0; 32];
    secret[31] = 3;
    let key = p256::ecdsa::SigningKey::from_slice(&secret).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    [
        &[0x00, 0x23, 0x00, 0x0b],
        &attributes.to_be_bytes()[..],
        &[0, 0, 0x00, 0x10, 0x00, 0x18, 0x00, 0x0b, 0x00, 0x03, 0x00, 0x10, 0, 32],
        x,
        &[0, 32],
        y,
    ]
    .concat()
}

#[test]
fn an_attestation_keys_area_is_read_with_its_name() {
    let bytes = area(ATTESTATION_KEY);
    let read = PublicArea::parse(&bytes).unwrap();
    assert!(read.is_bound() && read.is_attestation_key());
    assert!(bytes.ends_with(read.key().y()));
    assert_eq!(read.name()[..], [&[0, 0x0b], &Sha256::digest(&bytes)[..]].concat());
}

#[test]
fn a_key_that_lacks_an_attribute_or_decrypts_is_no_attestation_key() {
    for (bit, name) in
        [(1, "fixedTPM"), (4, "fixedParent"), (5, "sensitiveDataOrigin"), (16, "restricted"), (18, "sign")]
    {
        let read = PublicArea::parse(&area(ATTESTATION_KEY & !(1 << bit))).unwrap();
        assert!(!read.is_attestation_key(), "{name}");
        assert_eq!(read.is_bound(), bit > 5, "{name}");
    }
    assert!(!PublicArea::parse(&area(ATTESTATION_KEY | 1 << 17)).unwrap().is_attestation_key(), "decrypt");
}

#[test]
fn other_algorithms_short_ones_and_long_ones_are_refused() {
    let good = area(ATTESTATION_KEY);
    for length in 0..good.len() {
        assert_eq!(PublicArea::parse(&good[..length]), Err(PublicAreaError), "{length}");
    }
    assert_eq!(PublicArea::parse(&[&good[..], &[0]].concat()), Err(PublicAreaError), "trailing byte");
    // type, nameAlg, symmetric, scheme, its hash, curve, KDF, and the point.
    for at in [1, 3, 11, 13, 15, 17, 19, 40] {
        let mut other = good.clone();
        other[at] ^= 1;
        assert_eq!(PublicArea::parse(&other), Err(PublicAreaError), "byte {at}");
    }
    let mut other = good;
    other[ATTRIBUTES] ^= 1;
    assert!(PublicArea::parse(&other).is_ok());
}

#[test]
fn a_statement_of_another_version_or_with_more_members_is_refused() {
    let bytes = vec![1];
    let statement = TpmStatement {
        alg: -7,
        certificates: vec![bytes.clone()],
        signature: bytes.clone(),
        cert_info: bytes.clone(),
        pub_area: bytes,
    };
    let with = |name: &str, value: Value| {
        let mut map = statement.to_map();
        map.insert(name.into(), value);
        TpmStatement::from_map(&map)
    };
    assert_eq!(with("alg", (-7).into()), Ok(statement.clone()));
    assert_eq!(with("ver", "1.2".into()), Err(TpmStatementError::Version));
    assert_eq!(with("ver", 2.into()), Err(TpmStatementError::Member("ver")));
    assert_eq!(with("ecdaaKeyId", vec![0].as_slice().into()), Err(TpmStatementError::Unknown));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, by: u8) {
        let _ = PublicArea::parse(&bytes);
        let mut bent = area(ATTESTATION_KEY);
        let at = at.index(bent.len());
        bent[at] = by;
        let _ = PublicArea::parse(&bent);
    }
}
