//! Which FIDO keys the bank gives cards to, and which it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{FidoKey, UP_UV, attestation_object};
use fwp::enrollment::{Attestation, Offer};
use fwp::{CredentialId, RpId};
use fwp_cose::cbor::{Value, decode};
use fwp_sandbox::bank::issued::{Voucher, read_roots};
use fwp_sandbox::bank::{Bank, OFFER_OPEN_MS, PRODUCTS};
use proptest::prop_assert;
use proptest::test_runner::{Config, TestRunner};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SigningKey};

const NOW: i64 = 1_767_225_600_000;
const ID: [u8; 20] = [7; 20];

struct Fixture {
    _dir: tempfile::TempDir,
    bank: Bank,
    offer: Offer,
    key: FidoKey,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let bank = Bank::open(dir.path(), None).unwrap();
    let offer = bank.offer("http://localhost:1/bank/attestation".into(), NOW).unwrap();
    Fixture { _dir: dir, bank, offer, key: FidoKey::es256(7) }
}

impl Fixture {
    fn good(&self) -> Attestation {
        self.key.attest(&self.offer, &ID)
    }

    /// The code of the refusal, or `None` if cards were issued.
    fn send(&self, attestation: &Attestation) -> Option<&'static str> {
        self.send_at(attestation, NOW)
    }

    fn send_at(&self, attestation: &Attestation, now_ms: i64) -> Option<&'static str> {
        let text = attestation.to_json().to_string();
        self.bank.enroll(&text, now_ms).unwrap().err().map(|refusal| refusal.code())
    }

    /// The good attestation with another attestation object.
    fn with_object(&self, object: Vec<u8>) -> Attestation {
        Attestation { attestation_object: object, ..self.good() }
    }

    /// authData as the key states it, and its signature over it and the offer.
    fn data_and_signature(&self, flags: u8) -> (Vec<u8>, Vec<u8>) {
        let hash = self.offer.client_data_hash();
        let object = decode(&self.key.attestation_object("localhost", &ID, flags, &hash)).unwrap();
        let Value::Map(map) = object else { panic!("a map") };
        let Some(Value::Bytes(data)) = map.get(&"authData".into()) else { panic!("authData") };
        let signature = self.key.sign(&[&data[..], &hash].concat());
        (data.clone(), signature)
    }
}

#[test]
fn a_good_key_gets_a_card_on_each_network() {
    for key in [FidoKey::es256 as fn(u8) -> FidoKey, FidoKey::ed25519] {
        let fixture = Fixture { key: key(7), ..fixture() };
        let cards = fixture.bank.enroll(&fixture.good().to_json().to_string(), NOW).unwrap().unwrap();
        assert_eq!(cards.len(), 2);
        let serials: Vec<_> = cards.iter().map(|card| card.card.serial_number.as_str()).collect();
        assert_eq!(serials, ["0057162932", "0057162933"]);
        for (card, product) in cards.iter().zip(&PRODUCTS) {
            assert_eq!(card.credential_id.as_bytes(), ID);
            assert_eq!(card.card.payment_network_id, product.network);
            assert!(card.card.card_image.starts_with("<svg "));
        }
        assert_ne!(cards[0].card.encryption_key, cards[1].card.encryption_key);
        assert!(cards[0].card.encryption_key_id.is_some() && cards[1].card.encryption_key_id.is_none());
    }
}

#[test]
fn an_offer_is_open_for_ten_minutes() {
    let fixture = fixture();
    assert_eq!(fixture.send_at(&fixture.good(), NOW + OFFER_OPEN_MS + 1), Some("challenge"));
    assert_eq!(fixture.send_at(&fixture.good(), NOW + OFFER_OPEN_MS), None);
    assert_eq!(fixture.send(&fixture.good()), Some("challenge"), "used up");
}

#[test]
fn a_refused_key_leaves_the_offer_open() {
    let fixture = fixture();
    let (data, _) = fixture.data_and_signature(UP_UV);
    let bad = attestation_object("packed", -7, &[0x30, 0], &data, &[]);
    assert_eq!(fixture.send(&fixture.with_object(bad)), Some("signature"));
    assert_eq!(fixture.send(&fixture.good()), None);
}

#[test]
fn another_challenge_relying_party_or_key_is_refused() {
    let fixture = fixture();
    let good = fixture.good();
    assert_eq!(fixture.send(&Attestation { challenge: vec![1; 32], ..good.clone() }), Some("challenge"));
    let rp_id = RpId::parse("bank.example").unwrap();
    assert_eq!(fixture.send(&Attestation { rp_id, ..good.clone() }), Some("rp-id"));
    let credential_id = CredentialId::new(vec![8; 20]).unwrap();
    assert_eq!(fixture.send(&Attestation { credential_id, ..good }), Some("attested-credential"));

    let hash = fixture.offer.client_data_hash();
    let elsewhere = fixture.key.attestation_object("bank.example", &ID, UP_UV, &hash);
    assert_eq!(fixture.send(&fixture.with_object(elsewhere)), Some("rp-id"));
    // Made for another offer of the same bank.
    let other = fixture.bank.offer("http://localhost:1/".into(), NOW).unwrap();
    let object = fixture.key.attestation_object("localhost", &ID, UP_UV, &other.client_data_hash());
    assert_eq!(fixture.send(&fixture.with_object(object)), Some("signature"));
}

#[test]
fn the_user_must_have_been_present_and_verified() {
    let fixture = fixture();
    let hash = fixture.offer.client_data_hash();
    for (flags, code) in [(0x01, "user-not-verified"), (0x04, "user-not-present"), (0x00, "user-not-present")]
    {
        let object = fixture.key.attestation_object("localhost", &ID, flags, &hash);
        assert_eq!(fixture.send(&fixture.with_object(object)), Some(code), "{flags:#x}");
    }
}

#[test]
fn only_packed_attestation_is_taken() {
    let fixture = fixture();
    let (data, signature) = fixture.data_and_signature(UP_UV);
    let x5c = [("x5c", Value::Array(vec![Value::Bytes(vec![0x30, 0])]))];
    let with = |object: Vec<u8>| fixture.send(&fixture.with_object(object));
    assert_eq!(with(attestation_object("none", -7, &signature, &data, &[])), Some("attestation-format"));
    assert_eq!(with(attestation_object("fido-u2f", -7, &signature, &data, &[])), Some("attestation-format"));
    assert_eq!(
        with(attestation_object("packed", -7, &signature, &data, &x5c)),
        Some("attestation-certificates")
    );
    let unknown = [("ecdaaKeyId", Value::Bytes(vec![0]))];
    assert_eq!(
        with(attestation_object("packed", -7, &signature, &data, &unknown)),
        Some("attestation-format")
    );
    assert_eq!(with(attestation_object("packed", -8, &signature, &data, &[])), Some("signature"));
    assert_eq!(
        with(attestation_object("packed", -7, &signature, &data[..37], &[])),
        Some("authenticator-data")
    );
    assert_eq!(
        with(attestation_object("packed", -7, &signature, &[&data[..], &[0]].concat(), &[])),
        Some("authenticator-data")
    );
    assert_eq!(with(vec![0xa0]), Some("attestation-form"));
    assert_eq!(with(vec![0x80]), Some("attestation-form"));
    assert_eq!(with(b"o".to_vec()), Some("attestation-form"));
    assert_eq!(with(attestation_object("packed", -7, &signature, &data, &[])), None);
}

/// A maker of security keys: its root, and a key's attestation certificate with its private key.
struct Maker {
    root_pem: String,
    certificate: Vec<u8>,
    key: KeyPair,
}

fn maker(name: &str) -> Maker {
    let (root_key, mut root) = (KeyPair::generate().unwrap(), CertificateParams::default());
    root.distinguished_name.push(DnType::CommonName, name);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let (key, mut leaf) = (KeyPair::generate().unwrap(), CertificateParams::default());
    for (kind, value) in [
        (DnType::CountryName, "SE"),
        (DnType::OrganizationName, name),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, "EE"),
    ] {
        leaf.distinguished_name.push(kind, value);
    }
    let certificate = leaf.signed_by(&key, &Issuer::new(root, root_key)).unwrap().der().to_vec();
    Maker { root_pem, certificate, key }
}

impl Fixture {
    /// The key's attestation, signed by its maker.
    fn certified(&self, maker: &Maker) -> Attestation {
        let (data, _) = self.data_and_signature(UP_UV);
        let message = [&data[..], &self.offer.client_data_hash()].concat();
        let x5c = [("x5c", Value::Array(vec![Value::Bytes(maker.certificate.clone())]))];
        let signature = maker.key.sign(&message).unwrap();
        self.with_object(attestation_object("packed", -7, &signature, &data, &x5c))
    }

    /// The fixture whose bank has the root of `maker`, read from a file.
    fn with_root_of(self, maker: &Maker) -> Self {
        let file = self._dir.path().join("roots.pem");
        std::fs::write(&file, &maker.root_pem).unwrap();
        Self { bank: self.bank.with_roots(read_roots(&file).unwrap()), ..self }
    }

    /// What the bank shows of its cards' keys.
    fn keys(&self) -> Vec<Option<([u8; 16], Voucher)>> {
        self.bank.books.issued(10).unwrap().into_iter().map(|card| card.key).collect()
    }
}

#[test]
fn a_bank_with_roots_takes_the_keys_of_those_makers_only() {
    let known = maker("Known");
    let fixture = fixture().with_root_of(&known);
    assert_eq!(fixture.send(&fixture.good()), Some("no-maker"));
    assert_eq!(fixture.send(&fixture.certified(&maker("Unknown"))), Some("unknown-maker"));
    assert_eq!(fixture.send(&fixture.certified(&maker("Known"))), Some("unknown-maker"), "of that name only");
    assert_eq!(fixture.keys(), []);
    assert_eq!(fixture.send(&fixture.certified(&known)), None);
    assert_eq!(fixture.keys(), [Some(([0xa5; 16], Voucher::Maker)); 2]);
}

#[test]
fn a_bank_without_roots_takes_certificates_for_no_more_than_the_keys_own_word() {
    let fixture = fixture();
    assert_eq!(fixture.send(&fixture.certified(&maker("Any"))), None);
    assert_eq!(fixture.keys(), [Some(([0xa5; 16], Voucher::Certificates)); 2]);
    let card = fixture.bank.books.issued(1).unwrap().remove(0).to_json();
    assert_eq!(card["aaguid"], "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5");
    assert_eq!(card["vouchedBy"], "certificates");
}

#[test]
fn books_from_before_it_was_noted_who_vouched_are_kept() {
    let fixture = fixture();
    assert_eq!(fixture.send(&fixture.good()), None);
    assert_eq!(fixture.keys(), [Some(([0xa5; 16], Voucher::Itself)); 2]);
    let Fixture { _dir: dir, bank, .. } = fixture;
    drop(bank);
    let books = rusqlite::Connection::open(dir.path().join("bank.sqlite")).unwrap();
    books.execute_batch("DROP TABLE attested_keys; DROP TABLE refunds; PRAGMA user_version = 1").unwrap();
    drop(books);
    let cards = Bank::open(dir.path(), None).unwrap().books.issued(10).unwrap();
    assert_eq!(cards.iter().map(|card| card.key).collect::<Vec<_>>(), [None, None]);
    assert!(cards[0].to_json()["vouchedBy"].is_null());
}

#[test]
fn a_file_without_roots_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("roots.pem");
    assert!(read_roots(&file).unwrap_err().to_string().contains("roots.pem"));
    std::fs::write(&file, "no root").unwrap();
    let error = read_roots(&file).unwrap_err().to_string();
    assert!(error.contains("roots.pem") && error.contains("no certificate"), "{error}");
}

#[test]
fn an_assertion_does_not_pass_for_an_attestation() {
    let fixture = fixture();
    // Without attested credential data, as an assertion's authenticatorData is.
    let data = FidoKey::authenticator_data("localhost", UP_UV, 1);
    let signature = fixture.key.sign(&[&data[..], &fixture.offer.client_data_hash()].concat());
    let object = attestation_object("packed", -7, &signature, &data, &[]);
    assert_eq!(fixture.send(&fixture.with_object(object)), Some("authenticator-data"));
}

#[test]
fn text_that_is_no_attestation_names_the_field() {
    let fixture = fixture();
    for (text, field) in [("", "attestation"), ("[]", "attestation"), ("{}", "attestation.version")] {
        let refusal = fixture.bank.enroll(text, NOW).unwrap().unwrap_err();
        assert_eq!(refusal.code(), "envelope");
        assert!(refusal.to_string().starts_with(field), "{refusal}");
    }
    let mut extra = fixture.good().to_json();
    extra["x"] = 1.into();
    let refusal = fixture.bank.enroll(&extra.to_string(), NOW).unwrap().unwrap_err();
    assert!(refusal.to_string().contains("attestation.x"), "{refusal}");
}

/// No changed byte of a good attestation object gets a card, and none makes the bank panic.
#[test]
fn no_changed_attestation_object_gets_a_card() {
    let fixture = fixture();
    let good = fixture.good().attestation_object;
    let changes = (0..good.len(), 1u8..=255);
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
        .run(&changes, |(at, by)| {
            let mut object = good.clone();
            object[at] ^= by;
            prop_assert!(fixture.send(&fixture.with_object(object)).is_some(), "byte {} ^ {:#x}", at, by);
            Ok(())
        })
        .unwrap();
    assert_eq!(fixture.send(&fixture.good()), None);
}
