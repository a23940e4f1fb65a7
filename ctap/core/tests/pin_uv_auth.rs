//! PINs, and PIN/UV auth protocols one and two, both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::pin_uv_auth::{
    KeyAgreement, KeyAgreementKey, Permissions, Protocol, SharedSecret, Token, encapsulate,
};
use ctap_core::{Pin, PinError, Random, RandomError};
use data_encoding::HEXLOWER;
use fwp_cose::cbor::{Map, Value};
use proptest::prelude::*;

/// Gives these bytes, over and over.
struct Given(Vec<u8>);

impl Random for Given {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        for (to, from) in out.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
        Ok(())
    }
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// Both sides' secrets.
fn secrets(protocol: Protocol, authenticator: u8, platform: u8) -> (SharedSecret, SharedSecret) {
    let authenticator = KeyAgreement::generate(&mut Given(vec![authenticator])).unwrap();
    let (public, platform) =
        encapsulate(protocol, authenticator.public_key(), &mut Given(vec![platform])).unwrap();
    (authenticator.shared_secret(protocol, &public), platform)
}

/// Values that python-fido2 (another author's client) tests itself with.
#[test]
fn protocol_one_agrees_with_the_values_of_another_client() {
    let scalar = hex("7452e599fee739d8a653f6a507343d12d382249108a651402520b72f24fe7684");
    let x = hex("0501d5bc78da9252560a26cb08fcc60cbe0b6d3b8e1d1fcee514fac0af675168");
    let y = hex("d551b3ed46f665731f95b4532939c25d91db7eb844bd96d4abd4083785f8df47");
    let peer = Map::new().with(1, 2).with(3, -25).with(-1, 1).with(-2, x).with(-3, y);
    let peer = KeyAgreementKey::from_value(Value::Map(peer)).unwrap();
    let (public, secret) = encapsulate(Protocol::One, &peer, &mut Given(scalar)).unwrap();
    let Value::Map(public) = public.to_value() else { panic!("not a map") };
    let public_x = hex("44d78d7989b97e62ea993496c9ef6e8fd58b8b00715f9a89153ddd9c4657e47f");
    assert_eq!(public.get(&Value::int(-2)), Some(&Value::Bytes(public_x)));
    let pin = Pin::new("1234").unwrap();
    let pin_hash_enc = secret.encrypt(pin.hash().as_bytes(), &mut Given(vec![0])).unwrap();
    assert_eq!(pin_hash_enc, hex("afe8327ce416da8ee3d057589c2ce1a9"));
    let token = secret.decrypt(&hex("7a9f98e31b77be90f9c64d12e9635040")).unwrap();
    assert_eq!(token.as_slice(), hex("aff12c6dcfbf9df52f7a09211e8865cd"));
}

#[test]
fn a_token_passes_from_the_authenticator_to_the_platform() {
    for protocol in Protocol::PREFERRED {
        let (authenticator, platform) = secrets(protocol, 1, 2);
        let issued = Token::generate(protocol, &mut Given(vec![7])).unwrap();
        let encrypted = issued.encrypt(&authenticator, &mut Given(vec![9])).unwrap();
        let token = Token::decrypt(&platform, &encrypted).unwrap();
        let param = token.authenticate(b"hash");
        assert_eq!(param.len(), if protocol == Protocol::One { 16 } else { 32 });
        assert!(issued.verify(b"hash", &param).is_ok());
        assert!(issued.verify(b"other", &param).is_err());
        assert!(issued.verify(b"hash", &param[..15]).is_err());
        assert!(issued.verify(b"hash", &[]).is_err());
    }
}

#[test]
fn tokens_have_32_bytes_or_16_in_protocol_one() {
    for protocol in Protocol::PREFERRED {
        let (authenticator, platform) = secrets(protocol, 1, 2);
        for len in [16, 32, 48, 64] {
            let encrypted = authenticator.encrypt(&vec![1; len], &mut Given(vec![9])).unwrap();
            let fits = len == 32 || (len == 16 && protocol == Protocol::One);
            assert_eq!(Token::decrypt(&platform, &encrypted).is_ok(), fits, "{protocol:?}, {len} bytes");
        }
    }
}

#[test]
fn key_agreement_keys_are_points_on_p256_with_alg_minus_25_and_nothing_else() {
    let key = KeyAgreement::generate(&mut Given(vec![1])).unwrap();
    let Value::Map(good) = key.public_key().to_value() else { panic!("not a map") };
    assert!(KeyAgreementKey::from_value(Value::Map(good.clone())).is_ok());
    let off_curve = good.clone().with(-3, vec![1; 32]);
    let other_alg = good.clone().with(3, -7);
    let more = good.clone().with(4, 1);
    let mut less = good;
    less.remove(&Value::int(3));
    for bad in [off_curve, other_alg, more, less] {
        assert!(KeyAgreementKey::from_value(Value::Map(bad)).is_err());
    }
    assert!(KeyAgreementKey::from_value(Value::Null).is_err());
}

#[test]
fn a_source_of_zeros_is_not_taken_for_random() {
    assert!(KeyAgreement::generate(&mut Given(vec![0])).is_err());
    assert!(KeyAgreement::generate(&mut Given(vec![0xff])).is_err());
}

#[test]
fn pins_are_four_characters_to_63_bytes_in_normal_form_c() {
    assert_eq!(Pin::new("123").unwrap_err(), PinError::TooShort);
    // Three characters, but more than four code points before they are composed.
    assert_eq!(Pin::new("e\u{301}e\u{301}e\u{301}").unwrap_err(), PinError::TooShort);
    assert!(Pin::new(&"1".repeat(63)).is_ok());
    assert_eq!(Pin::new(&"1".repeat(64)).unwrap_err(), PinError::TooLong);
    assert_eq!(Pin::new(&"é".repeat(32)).unwrap_err(), PinError::TooLong);
    assert_eq!(Pin::new("1234\0").unwrap_err(), PinError::Nul);
    let composed = Pin::new("\u{e9}tage").unwrap();
    let decomposed = Pin::new("e\u{301}tage").unwrap();
    assert_eq!(composed.hash().as_bytes(), decomposed.hash().as_bytes());
    assert_eq!(Pin::from_padded(&[0xff; 64]).unwrap_err(), PinError::Utf8);
    assert_eq!(Pin::from_padded(&[b'1'; 64]).unwrap_err(), PinError::TooLong);
    assert_eq!(Pin::from_padded(&[b'1'; 63]).unwrap_err(), PinError::TooLong);
    assert_eq!(Pin::from_padded(&[0; 64]).unwrap_err(), PinError::TooShort);
}

#[test]
fn no_secret_shows_in_debug() {
    let pin = Pin::new("secret-pin").unwrap();
    let (secret, _) = secrets(Protocol::Two, 1, 2);
    let token = Token::generate(Protocol::Two, &mut Given(vec![7])).unwrap();
    let shown = format!("{pin:?} {:?} {secret:?} {token:?}", pin.hash());
    assert_eq!(shown, "Pin(..) PinHash(..) SharedSecret(Two, ..) Token(Two, ..)");
}

#[test]
fn permissions_are_bits() {
    assert!(Permissions::DEFAULT.contains(Permissions::GET_ASSERTION));
    assert!(!Permissions::GET_ASSERTION.contains(Permissions::DEFAULT));
}

proptest! {
    #[test]
    fn what_one_side_encrypts_and_authenticates_the_other_reads(
        a in 1..=254u8, b in 1..=254u8, blocks in 1..8usize, byte: u8, iv: [u8; 16], flip: prop::sample::Index,
    ) {
        for protocol in Protocol::PREFERRED {
            let (ours, theirs) = secrets(protocol, a, b);
            let plain = vec![byte; blocks * 16];
            let sealed = ours.encrypt(&plain, &mut Given(iv.to_vec())).unwrap();
            let decrypted = theirs.decrypt(&sealed).unwrap();
            prop_assert_eq!(decrypted.as_slice(), plain.as_slice());
            let mut mac = ours.authenticate(&sealed);
            prop_assert!(theirs.verify(&sealed, &mac).is_ok());
            let at = flip.index(mac.len());
            mac[at] ^= 1;
            prop_assert!(theirs.verify(&sealed, &mac).is_err());
        }
    }

    #[test]
    fn any_ciphertext_is_decrypted_or_refused(bytes: Vec<u8>) {
        for protocol in Protocol::PREFERRED {
            let (secret, _) = secrets(protocol, 1, 2);
            let overhead = if protocol == Protocol::Two { 16 } else { 0 };
            let fits = bytes.len() > overhead && bytes.len() % 16 == 0;
            prop_assert_eq!(secret.decrypt(&bytes).is_ok(), fits);
        }
    }

    #[test]
    fn any_text_is_a_pin_or_refused(text: String) {
        if let Ok(pin) = Pin::new(&text) {
            prop_assert!(pin.code_points() >= 4);
        }
    }
}
