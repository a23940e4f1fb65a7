//! COSE keys are valid by construction; signatures are verified strictly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use coset::CborSerializable;
use data_encoding::HEXLOWER;
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::{Ed25519Key, P256Key, RsaKey};
use fwp_cose::{KeyError, PublicKey, SignatureAlgorithm, SignatureError, signature::verify};
use p256::ecdsa::signature::Signer;

fn bytes32(hex: &str) -> [u8; 32] {
    HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap()
}

fn p256_signer() -> (p256::ecdsa::SigningKey, PublicKey) {
    let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = secret.verifying_key().to_sec1_point(false);
    (secret, PublicKey::P256(P256Key::from_sec1(point.as_bytes()).unwrap()))
}

fn ed25519_signer() -> (ed25519_dalek::SigningKey, PublicKey) {
    let secret = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let public = Ed25519Key::new(secret.verifying_key().to_bytes()).unwrap();
    (secret, PublicKey::Ed25519(public))
}

#[test]
fn every_kind_of_key_goes_both_ways_and_coset_reads_it() {
    let keys = [
        p256_signer().1,
        ed25519_signer().1,
        PublicKey::X25519(fwp_cose::key::X25519Key::new([5; 32])),
        PublicKey::Rsa(RsaKey::new([vec![0xc1], vec![3; 255]].concat()).unwrap()),
    ];
    for key in keys {
        assert_eq!(PublicKey::from_value(key.to_value()).unwrap(), key);
        assert!(coset::CoseKey::from_slice(&key.to_value().encode()).is_ok());
    }
}

#[test]
fn only_core_members_are_taken() {
    let Value::Map(map) = p256_signer().1.to_value() else { panic!("a key is a map") };
    for (label, value) in [(2, Value::Bytes(vec![1])), (3, Value::int(-7)), (-4, Value::Bytes(vec![1; 32]))] {
        assert!(matches!(
            PublicKey::from_value(Value::Map(map.clone().with(label, value))),
            Err(KeyError::Schema(_))
        ));
    }
}

#[test]
fn a_fido_credential_key_has_its_algorithm() {
    let (_, key) = p256_signer();
    let with_alg = key.to_credential_value(SignatureAlgorithm::Es256);
    assert_eq!(PublicKey::from_credential_value(with_alg).unwrap(), (key.clone(), SignatureAlgorithm::Es256));
    assert_eq!(
        PublicKey::from_credential_value(key.to_credential_value(SignatureAlgorithm::Ed25519)),
        Err(KeyError::Algorithm(-8))
    );
    assert!(matches!(PublicKey::from_credential_value(key.to_value()), Err(KeyError::Schema(_))));
}

#[test]
fn points_off_the_curve_and_other_forms_are_refused() {
    let PublicKey::P256(key) = p256_signer().1 else { panic!("P-256") };
    let mut y = *key.y();
    y[31] ^= 1;
    assert_eq!(P256Key::new(*key.x(), y), Err(KeyError::NotOnCurve));
    assert_eq!(P256Key::new([0; 32], [0; 32]), Err(KeyError::NotOnCurve));
    let compressed = Map::new().with(1, 2).with(-1, 1).with(-2, key.x().as_slice()).with(-3, true);
    assert!(matches!(PublicKey::from_value(compressed.into()), Err(KeyError::Schema(_))));
    let ed448 = Map::new().with(1, 1).with(-1, 7).with(-2, vec![1u8; 57]);
    assert_eq!(PublicKey::from_value(ed448.into()), Err(KeyError::Curve(7)));
}

#[test]
fn ed25519_keys_of_small_order_or_in_another_encoding_are_refused() {
    for key in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        // y = 2^255 - 16, a point that is not of small order, written as p + 3
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        assert_eq!(Ed25519Key::new(bytes32(key)), Err(KeyError::NotOnCurve), "{key}");
    }
}

#[test]
fn rsa_keys_have_2048_to_4096_bits_and_the_exponent_65537() {
    let modulus = |first: u8, len: usize| [vec![first], vec![0xff; len - 1]].concat();
    assert!(RsaKey::new(modulus(0x80, 256)).is_ok() && RsaKey::new(modulus(0xff, 512)).is_ok());
    assert!(RsaKey::new(modulus(0x01, 257)).is_ok());
    for wrong in [modulus(0x7f, 256), modulus(0x80, 255), modulus(0, 257), modulus(0x80, 513)] {
        assert_eq!(RsaKey::new(wrong), Err(KeyError::Rsa));
    }
    let with_exponent = |e: &[u8]| Map::new().with(1, 3).with(-1, modulus(0xc0, 256)).with(-2, e);
    assert!(PublicKey::from_value(with_exponent(&[1, 0, 1]).into()).is_ok());
    for exponent in [&[3][..], &[0, 1, 0, 1], &[1, 0, 3], &[]] {
        assert_eq!(PublicKey::from_value(with_exponent(exponent).into()), Err(KeyError::Rsa));
    }
}

#[test]
fn es256_takes_high_s_and_strict_der_only() {
    let (secret, key) = p256_signer();
    let signature: p256::ecdsa::Signature = secret.sign(b"message");
    let es256 = |der: &[u8]| verify(SignatureAlgorithm::Es256, &key, b"message", der);
    let der = signature.to_der().as_bytes().to_vec();
    assert_eq!(es256(&der), Ok(()));
    let twin = p256::ecdsa::Signature::from_scalars(signature.r(), -*signature.s()).unwrap();
    assert_eq!(es256(twin.to_der().as_bytes()), Ok(()));
    assert_eq!(es256(&[der.as_slice(), &[0]].concat()), Err(SignatureError::Malformed));
    assert_eq!(es256(&der[..der.len() - 1]), Err(SignatureError::Malformed));
    assert_eq!(es256(&signature.to_bytes()), Err(SignatureError::Malformed));
    assert_eq!(es256(&hex("3006020100020100")), Err(SignatureError::Malformed));
    assert_eq!(verify(SignatureAlgorithm::Es256, &key, b"other", &der), Err(SignatureError::Invalid));
    assert_eq!(verify(SignatureAlgorithm::Ed25519, &key, b"message", &der), Err(SignatureError::KeyMismatch));
}

#[test]
fn ed25519_is_strict() {
    let (secret, key) = ed25519_signer();
    let signature = secret.sign(b"message").to_bytes();
    let ed25519 = |bytes: &[u8]| verify(SignatureAlgorithm::Ed25519, &key, b"message", bytes);
    assert_eq!(ed25519(&signature), Ok(()));
    for wrong in [&signature[..63], &[signature.as_slice(), &[0]].concat(), &[]] {
        assert_eq!(ed25519(wrong), Err(SignatureError::Malformed));
    }
    // S + L verifies with those who do not reduce it first.
    let mut malleable = signature;
    let order = bytes32("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0u16;
    for (s, l) in malleable[32..].iter_mut().zip(order) {
        carry += u16::from(*s) + u16::from(l);
        *s = carry as u8;
        carry >>= 8;
    }
    assert!(ed25519(&malleable).is_err());
}

#[test]
fn rs256_wants_the_length_of_the_modulus() {
    let key = PublicKey::Rsa(RsaKey::new([vec![0xc1], vec![3; 255]].concat()).unwrap());
    let rs256 = |len: usize| verify(SignatureAlgorithm::Rs256, &key, b"message", &vec![1; len]);
    assert_eq!(rs256(256), Err(SignatureError::Invalid));
    assert_eq!((rs256(255), rs256(257)), (Err(SignatureError::Malformed), Err(SignatureError::Malformed)));
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}
