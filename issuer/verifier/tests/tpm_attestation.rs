//! Attestation by a TPM (WebAuthn sections 8.3 and 8.3.1), with statements of a real one (swtpm): which the bank takes, and which it
//! does not. Where what the TPM said has to be bent, it is signed anew with a key of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod maker;
mod offer;

use ctap_authenticator::software::InMemory;
use ctap_authenticator::{KeyStore, Os};
use ctap_core::Pin;
use ctap_tpm::{AAGUID, AttestationKey, TpmKeyStore};
use fwp::CredentialId;
use fwp::enrollment::Attestation;
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::P256Key;
use fwp_cose::tpm::{TpmStatement, TpmStatementError as Bad};
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};
use fwp_verifier::certificate::{CertificateError, MAX_CERTIFICATES};
use fwp_verifier::maker::MakerError;
use fwp_verifier::{AttestationRoots, AttestedKey, Refusal, Vouched, verify_attestation};
use maker::{
    ATTESTATION_PURPOSE, ENDORSEMENT_PURPOSE, Maker, NOT_AFTER_MS, NOW_MS, TPM, leaf_params, tpm_leaf_params,
    tpm_name_extension,
};
use offer::offer;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData,
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use virtual_tpm::Swtpm;

/// A key in the TPM, with what the TPM's attestation key says of it for [`offer`].
struct Made {
    credential_id: Vec<u8>,
    auth_data: Vec<u8>,
    /// Without certificates.
    statement: TpmStatement,
}

/// Two keys of one TPM, its attestation key, and what that says of the first one for another offer.
struct Real {
    first: Made,
    second: Made,
    for_another_offer: TpmStatement,
    attestation_key: PublicPoint,
}

static REAL: LazyLock<Real> = LazyLock::new(|| {
    let swtpm = Swtpm::new();
    let tpm = swtpm.tpm();
    let attester = tpm.create_attestation_key().unwrap();
    let mut store = TpmKeyStore::open(tpm, InMemory::default(), Os::new()).unwrap();
    let pin = Pin::new("4711").unwrap().hash();
    store.set_pin(&pin).unwrap();
    store.unlock(&pin).unwrap();
    let rp_id_hash: [u8; 32] = Sha256::digest("bank.example").into();
    let key = store.create_key(&rp_id_hash).unwrap();
    let other = store.create_key(&rp_id_hash).unwrap();
    let mut make = |key: &ctap_authenticator::CreatedKey, hash: &[u8]| {
        let id = key.credential_id.as_bytes().to_vec();
        let public_key = PublicKey::P256(key.public_key.clone());
        let auth_data = auth_data(&id, &public_key, 0x45);
        let extra_data = Sha256::digest([&auth_data[..], hash].concat()).into();
        let certified = store.certify(&rp_id_hash, &key.credential_id, &attester, &extra_data).unwrap();
        let statement = TpmStatement {
            alg: -7,
            certificates: Vec::new(),
            signature: certified.signature,
            cert_info: certified.cert_info,
            pub_area: certified.public,
        };
        Made { credential_id: id, auth_data, statement }
    };
    let hash = offer().client_data_hash();
    let for_another_offer = make(&key, &[0; 32]).statement;
    let (first, second) = (make(&key, &hash), make(&other, &hash));
    Real { first, second, for_another_offer, attestation_key: PublicPoint::of(&attester) }
});

fn auth_data(id: &[u8], key: &PublicKey, flags: u8) -> Vec<u8> {
    [
        &Sha256::digest("bank.example")[..],
        &[flags],
        &[0; 4],
        &AAGUID,
        &(id.len() as u16).to_be_bytes(),
        id,
        &key.to_credential_value(SignatureAlgorithm::Es256).encode(),
    ]
    .concat()
}

/// A public key on P-256 for a certificate.
struct PublicPoint(Vec<u8>);

impl PublicPoint {
    fn of(attester: &AttestationKey) -> Self {
        let key: P256Key = attester.public_key().unwrap();
        Self([&[4], &key.x()[..], key.y()].concat())
    }
}

impl PublicKeyData for PublicPoint {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

static CA: LazyLock<Maker> = LazyLock::new(|| Maker::new("CA for TPMs"));

static CERTIFICATE: LazyLock<Vec<u8>> = LazyLock::new(|| CA.sign(tpm_leaf_params(), &REAL.attestation_key));

/// The TPM's statement about the first key, with a certificate by [`CA`].
fn good() -> TpmStatement {
    TpmStatement { certificates: vec![CERTIFICATE.clone()], ..REAL.first.statement.clone() }
}

fn roots(ca: &Maker) -> AttestationRoots {
    AttestationRoots::from_der([ca.certificate()]).unwrap()
}

fn object(auth_data: &[u8], statement: Map) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("fmt".into(), "tpm".into());
    map.insert("attStmt".into(), Value::Map(statement));
    map.insert("authData".into(), auth_data.into());
    Value::Map(map).encode()
}

fn verify_object(attestation_object: Vec<u8>) -> Result<AttestedKey, Refusal> {
    let offer = offer();
    let attestation = Attestation {
        rp_id: offer.rp_id.clone(),
        challenge: offer.challenge.clone(),
        credential_id: CredentialId::new(REAL.first.credential_id.clone()).unwrap(),
        attestation_object,
    };
    verify_attestation(&attestation, &offer)
}

fn verify(statement: &TpmStatement) -> Result<AttestedKey, Refusal> {
    verify_object(object(&REAL.first.auth_data, statement.to_map()))
}

fn refused(statement: &TpmStatement) -> Refusal {
    verify(statement).unwrap_err()
}

/// The good statement, changed after the TPM had signed.
fn bent(change: impl FnOnce(&mut TpmStatement)) -> TpmStatement {
    let mut statement = good();
    change(&mut statement);
    statement
}

/// The good statement, changed and signed anew by a key that is in no TPM, with a certificate as good as the other.
fn forged(change: impl FnOnce(&mut TpmStatement)) -> TpmStatement {
    let key = SigningKey::from_slice(&[5; 32]).unwrap();
    let public = PublicPoint(key.verifying_key().to_sec1_point(false).as_bytes().to_vec());
    let mut statement = bent(change);
    let signature: Signature = key.sign(&statement.cert_info);
    let (r, s) = signature.split_bytes();
    statement.signature = [&[0, 0x18, 0, 0x0b, 0, 32], &r[..], &[0, 32], &s[..]].concat();
    statement.certificates = vec![CA.sign(tpm_leaf_params(), &public)];
    statement
}

/// The good statement with a certificate as `change` made it.
fn with_leaf(change: impl FnOnce(&mut CertificateParams)) -> Result<AttestedKey, Refusal> {
    let mut params = tpm_leaf_params();
    change(&mut params);
    verify(&bent(|it| it.certificates = vec![CA.sign(params, &REAL.attestation_key)]))
}

fn leaf_refused(change: impl FnOnce(&mut CertificateParams)) -> CertificateError {
    match with_leaf(change) {
        Err(Refusal::Certificate(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Where a part begins whose bytes are `part`.
fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

#[test]
fn a_key_of_a_real_tpm_is_taken_and_its_authority_verified() {
    let key = verify(&good()).unwrap();
    assert_eq!((key.aaguid, key.algorithm), (AAGUID, SignatureAlgorithm::Es256));
    let Vouched::ByTpm(chain) = &key.vouched else { panic!("{:?}", key.vouched) };
    assert_eq!(chain.certificates().collect::<Vec<_>>(), good().certificates);
    assert_eq!(key.check_maker(&roots(&CA), NOW_MS), Ok(()));
    assert_eq!(key.check_maker(&roots(&Maker::new("CA for TPMs")), NOW_MS), Err(MakerError::UnknownMaker));
    assert_eq!(key.check_maker(&roots(&CA), NOT_AFTER_MS + 1000), Err(MakerError::Expired));
    // The forger's bench is sound: what it does not change is taken.
    assert!(verify(&forged(|_| {})).is_ok());
}

#[test]
fn an_authority_below_the_root_is_verified() {
    let below = CA.authority("Line 1", |_| {});
    let leaf = below.sign(tpm_leaf_params(), &REAL.attestation_key);
    let with = |certificates| verify(&bent(|it| it.certificates = certificates)).unwrap();
    let key = with(vec![leaf.clone(), below.certificate().to_vec()]);
    assert_eq!(key.check_maker(&roots(&CA), NOW_MS), Ok(()));
    assert_eq!(with(vec![leaf]).check_maker(&roots(&CA), NOW_MS), Err(MakerError::UnknownMaker));
}

#[test]
fn another_keys_statement_is_refused() {
    let second = &REAL.second.statement;
    let all = bent(|it| {
        it.pub_area = second.pub_area.clone();
        it.cert_info = second.cert_info.clone();
        it.signature = second.signature.clone();
    });
    assert_eq!(refused(&all), Refusal::TpmStatement(Bad::OtherKey));
    let area = bent(|it| it.pub_area = second.pub_area.clone());
    assert_eq!(refused(&area), Refusal::TpmStatement(Bad::OtherKey));
}

#[test]
fn a_name_of_another_key_is_refused() {
    let second = &REAL.second.statement;
    let info = bent(|it| {
        it.cert_info = second.cert_info.clone();
        it.signature = second.signature.clone();
    });
    assert_eq!(refused(&info), Refusal::TpmStatement(Bad::Name));
    assert_eq!(refused(&info).code(), "tpm-name");
}

#[test]
fn a_statement_for_another_offer_is_refused() {
    let other = &REAL.for_another_offer;
    let statement = bent(|it| {
        it.cert_info = other.cert_info.clone();
        it.signature = other.signature.clone();
    });
    assert_eq!(refused(&statement), Refusal::TpmStatement(Bad::ExtraData));
    assert_eq!(refused(&statement).code(), "tpm-extra-data");
}

#[test]
fn what_no_tpm_generated_is_refused() {
    for at in 0..4 {
        let refusal = refused(&forged(|it| it.cert_info[at] ^= 1));
        assert_eq!(refusal, Refusal::TpmStatement(Bad::Magic), "byte {at}");
    }
    assert_eq!(refused(&forged(|it| it.cert_info.truncate(3))).code(), "tpm-magic");
}

#[test]
fn what_the_tpm_says_with_another_command_is_refused() {
    // TPM_ST_ATTEST_QUOTE, TPM_ST_ATTEST_CREATION.
    for kind in [0x18, 0x1a] {
        let refusal = refused(&forged(|it| it.cert_info[5] = kind));
        assert_eq!(refusal, Refusal::TpmStatement(Bad::Kind));
        assert_eq!(refusal.code(), "tpm-type");
    }
}

#[test]
fn a_key_that_could_leave_the_tpm_or_came_from_outside_is_refused() {
    for (bit, name) in [(1, "fixedTPM"), (4, "fixedParent"), (5, "sensitiveDataOrigin")] {
        let statement = forged(|it| {
            let before = Sha256::digest(&it.pub_area);
            let at = find(&it.cert_info, &before);
            it.pub_area[7] &= !(1 << bit);
            it.cert_info[at..at + 32].copy_from_slice(&Sha256::digest(&it.pub_area));
        });
        assert_eq!(refused(&statement), Refusal::TpmStatement(Bad::NotBound), "{name}");
    }
}

#[test]
fn rs1_and_every_other_algorithm_than_es256_is_refused() {
    for alg in [-65535, -257, -8, -35, 0] {
        assert_eq!(refused(&bent(|it| it.alg = alg)), Refusal::TpmAlgorithm(alg));
    }
}

#[test]
fn a_signature_by_another_key_or_over_other_data_is_refused() {
    let invalid = Refusal::Signature(SignatureError::Invalid);
    let by_other = bent(|it| it.signature = forged(|_| {}).signature);
    assert_eq!(refused(&by_other), invalid);
    // The firmware's version, which nothing else here depends on.
    let over_other = bent(|it| {
        let at = find(&it.cert_info, &Sha256::digest(&it.pub_area)) - 12;
        it.cert_info[at] ^= 1;
    });
    assert_eq!(refused(&over_other), invalid);
    let another = KeyPair::generate().unwrap();
    let certificate = bent(|it| it.certificates = vec![CA.sign(tpm_leaf_params(), &another)]);
    assert_eq!(refused(&certificate), invalid);
}

#[test]
fn bytes_at_the_end_and_missing_ones_are_refused() {
    let form = |name| Refusal::TpmStatement(Bad::Structure(name));
    assert_eq!(refused(&forged(|it| it.cert_info.push(0))), form("certInfo"));
    assert_eq!(refused(&bent(|it| it.pub_area.push(0))), form("pubArea"));
    assert_eq!(refused(&bent(|it| it.signature.push(0))), form("sig"));
    assert_eq!(refused(&bent(|it| it.signature.truncate(it.signature.len() - 1))), form("sig"));
    assert_eq!(refused(&bent(|it| it.certificates[0].push(0))), CertificateError::Malformed { at: 0 }.into());
    let mut object = object(&REAL.first.auth_data, good().to_map());
    object.push(0);
    assert_eq!(verify_object(object).unwrap_err(), Refusal::AttestationForm);
}

#[test]
fn another_version_and_more_or_fewer_members_are_refused() {
    let with = |name: &str, value: Option<Value>| {
        let mut map = good().to_map();
        match value {
            Some(value) => drop(map.insert(name.into(), value)),
            None => drop(map.remove(&name.into())),
        }
        verify_object(object(&REAL.first.auth_data, map)).unwrap_err()
    };
    assert_eq!(with("ver", Some("1.2".into())), Refusal::TpmStatement(Bad::Version));
    assert_eq!(with("ver", Some("1.2".into())).code(), "tpm-version");
    assert_eq!(with("ecdaaKeyId", Some(vec![0].as_slice().into())), Refusal::TpmStatement(Bad::Unknown));
    for member in ["ver", "alg", "x5c", "sig", "certInfo", "pubArea"] {
        assert_eq!(with(member, None), Refusal::TpmStatement(Bad::Member(member)));
        assert_eq!(with(member, Some(Value::Null)), Refusal::TpmStatement(Bad::Member(member)));
    }
    for count in [0, MAX_CERTIFICATES + 1] {
        let certificates = vec![good().certificates.remove(0); count];
        let many = bent(|it| it.certificates = certificates);
        assert_eq!(refused(&many), Refusal::TpmStatement(Bad::Member("x5c")));
    }
}

#[test]
fn a_security_keys_certificate_is_refused() {
    let params = leaf_params(None);
    let certificate = CA.sign(params, &REAL.attestation_key);
    let refusal = refused(&bent(|it| it.certificates = vec![certificate]));
    assert_eq!(refusal, CertificateError::NamedSubject.into());
}

#[test]
fn a_tpms_certificate_does_not_pass_for_a_security_keys() {
    let mut statement = good().to_map();
    for name in ["ver", "certInfo", "pubArea"] {
        statement.remove(&name.into());
    }
    let mut map = Map::new();
    map.insert("fmt".into(), "packed".into());
    map.insert("attStmt".into(), Value::Map(statement));
    map.insert("authData".into(), REAL.first.auth_data.as_slice().into());
    let refusal = verify_object(Value::Map(map).encode()).unwrap_err();
    assert_eq!(refusal, CertificateError::Subject("C").into());
}

#[test]
fn a_certificate_for_another_purpose_is_refused() {
    assert_eq!(leaf_refused(|params| params.extended_key_usages.clear()), CertificateError::Purpose);
    for other in [ENDORSEMENT_PURPOSE, &[1, 3, 6, 1, 5, 5, 7, 3, 1], &[2, 23, 133, 8, 3, 1]] {
        let usage = vec![ExtendedKeyUsagePurpose::Other(other.to_vec())];
        assert_eq!(leaf_refused(|params| params.extended_key_usages = usage), CertificateError::Purpose);
    }
    let any = vec![ExtendedKeyUsagePurpose::Any];
    assert_eq!(leaf_refused(|params| params.extended_key_usages = any), CertificateError::Purpose);
    let both = [ENDORSEMENT_PURPOSE, ATTESTATION_PURPOSE];
    let usage = both.map(|purpose| ExtendedKeyUsagePurpose::Other(purpose.to_vec())).to_vec();
    assert!(with_leaf(|params| params.extended_key_usages = usage).is_ok());
}

#[test]
fn an_authority_or_what_does_not_say_that_it_is_none_is_refused() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::NoCa] {
        assert_eq!(leaf_refused(|params| params.is_ca = is_ca), CertificateError::Authority);
    }
    let usage = vec![KeyUsagePurpose::KeyEncipherment];
    assert_eq!(leaf_refused(|params| params.key_usages = usage), CertificateError::Usage);
}

#[test]
fn the_certificate_of_another_model_is_refused() {
    let with = |model: &[u8; 16]| with_leaf(|it| it.custom_extensions.push(maker::model_extension(model)));
    assert_eq!(with(&[0x11; 16]).unwrap_err(), CertificateError::Model.into());
    assert!(with(&AAGUID).is_ok());
    let mut critical = maker::model_extension(&AAGUID);
    critical.set_criticality(true);
    assert_eq!(leaf_refused(|it| it.custom_extensions.push(critical)), CertificateError::ModelForm);
}

#[test]
fn a_certificate_that_does_not_name_the_tpm_is_refused() {
    let with = |names: &[&[(u64, &str)]]| {
        with_leaf(|params| params.custom_extensions = vec![tpm_name_extension(names)])
    };
    let part = |names: &[&[(u64, &str)]]| match with(names).unwrap_err() {
        Refusal::Certificate(CertificateError::TpmName(part)) => part,
        other => panic!("{other:?}"),
    };
    let [manufacturer, model, version] = TPM;
    assert!(with(&[&TPM]).is_ok() && with(&[&[version, model, manufacturer]]).is_ok());
    assert_eq!(part(&[&[model, version]]), "TPM manufacturer");
    assert_eq!(part(&[&[manufacturer, version]]), "TPM model");
    assert_eq!(part(&[&[manufacturer, model]]), "TPM version");
    assert_eq!(part(&[&[manufacturer, model, model, version]]), "TPM model", "twice");
    for wrong in ["", "IBM", "id:1014", "id:0000101g", "id:000010140"] {
        assert_eq!(part(&[&[(1, wrong), model, version]]), "TPM manufacturer", "{wrong}");
    }
    for wrong in ["", "sw\u{202e}tpm", "sw\ntpm", &"x".repeat(65)] {
        assert_eq!(part(&[&[manufacturer, (2, wrong), version]]), "TPM model", "{wrong}");
    }
    let directory_name = "directoryName in a subject alternative name";
    assert_eq!(part(&[]), directory_name);
    assert_eq!(part(&[&TPM, &TPM]), directory_name, "two names");
    assert_eq!(leaf_refused(|it| it.custom_extensions.clear()), CertificateError::TpmName(directory_name));
    let mut optional = tpm_name_extension(&[&TPM]);
    optional.set_criticality(false);
    let error = leaf_refused(|params| params.custom_extensions = vec![optional]);
    assert_eq!(error, CertificateError::TpmName("critical subject alternative name"));
}

#[test]
fn an_attestation_key_of_another_kind_is_refused() {
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let refusal = refused(&bent(|it| it.certificates = vec![CA.sign(tpm_leaf_params(), &other)]));
    assert_eq!(refusal, CertificateError::AttestationKey.into());
}

#[test]
fn the_user_must_have_been_present_and_verified() {
    let [yes, no] = [0x45, 0x41].map(|flags| {
        let data = &REAL.first.auth_data;
        [&data[..32], &[flags], &data[33..]].concat()
    });
    assert_eq!(yes, REAL.first.auth_data);
    assert_eq!(verify_object(object(&no, good().to_map())).unwrap_err(), Refusal::UserNotVerified);
}

/// No changed byte of a good attestation object gets a key that a known authority vouches for, and none makes it panic.
#[test]
fn no_changed_byte_is_vouched_for() {
    let good = object(&REAL.first.auth_data, good().to_map());
    let roots = roots(&CA);
    assert!(verify_object(good.clone()).unwrap().check_maker(&roots, NOW_MS).is_ok());
    TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(512) })
        .run(&(0..good.len(), 1u8..=255), |(at, by)| {
            let mut object = good.clone();
            object[at] ^= by;
            let vouched = verify_object(object).is_ok_and(|key| key.check_maker(&roots, NOW_MS).is_ok());
            prop_assert!(!vouched, "byte {} ^ {:#x}", at, by);
            Ok(())
        })
        .unwrap();
}
