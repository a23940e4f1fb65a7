//! Packed attestation with certificates (WebAuthn sections 8.2 and 8.2.1): which the bank takes, and which it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod maker;
mod offer;

use fwp::CredentialId;
use fwp::enrollment::Attestation;
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::P256Key;
use fwp_cose::{PublicKey, SignatureAlgorithm, SignatureError};
use fwp_verifier::certificate::{CertificateError, MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES};
use fwp_verifier::maker::{MakerError, RootsError};
use fwp_verifier::{AttestationRoots, AttestedKey, Refusal, Vouched, verify_attestation};
use maker::{Maker, NOT_AFTER_MS, NOT_BEFORE_MS, NOW_MS, leaf_params};
use offer::offer;
use p256::ecdsa::SigningKey;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CustomExtension, DnType, DnValue, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use sha2::{Digest, Sha256};

const MODEL: [u8; 16] = [0xa5; 16];
const ID: [u8; 20] = [7; 20];

/// authData for a new ES256 key of the model [`MODEL`].
fn auth_data() -> Vec<u8> {
    let point = SigningKey::from_slice(&[3; 32]).unwrap().verifying_key().to_sec1_point(false);
    let key = PublicKey::P256(P256Key::from_sec1(point.as_bytes()).unwrap());
    let mut data = Sha256::digest("bank.example").to_vec();
    data.push(0x45);
    data.extend_from_slice(&[0; 4]);
    data.extend_from_slice(&MODEL);
    data.extend_from_slice(&[0, 20]);
    data.extend_from_slice(&ID);
    data.extend_from_slice(&key.to_credential_value(SignatureAlgorithm::Es256).encode());
    data
}

/// What an attestation signs.
fn message() -> Vec<u8> {
    [auth_data(), offer().client_data_hash().to_vec()].concat()
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    let mut map = Map::new();
    for (name, value) in entries {
        map.insert(name.into(), value);
    }
    Value::Map(map)
}

fn verify_statement(statement: Vec<(&str, Value)>) -> Result<AttestedKey, Refusal> {
    let object = map(vec![
        ("fmt", "packed".into()),
        ("attStmt", map(statement)),
        ("authData", auth_data().as_slice().into()),
    ]);
    let offer = offer();
    let attestation = Attestation {
        rp_id: offer.rp_id.clone(),
        challenge: offer.challenge.clone(),
        credential_id: CredentialId::new(ID.to_vec()).unwrap(),
        attestation_object: object.encode(),
    };
    verify_attestation(&attestation, &offer)
}

fn x5c(certificates: &[Vec<u8>]) -> Value {
    Value::Array(certificates.iter().map(|der| der.as_slice().into()).collect())
}

fn verify(algorithm: i64, signature: &[u8], certificates: &[Vec<u8>]) -> Result<AttestedKey, Refusal> {
    verify_statement(vec![("alg", algorithm.into()), ("sig", signature.into()), ("x5c", x5c(certificates))])
}

/// What the bank says to an attestation by a leaf of `maker` as `change` made it.
fn with_leaf(
    maker: &Maker,
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> Result<AttestedKey, Refusal> {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf_params(Some(MODEL));
    change(&mut params);
    let leaf = maker.sign(params, &key);
    verify(-7, &maker::signature(&key, &message()), &[leaf])
}

fn leaf_refused(change: impl FnOnce(&mut rcgen::CertificateParams)) -> CertificateError {
    match with_leaf(&Maker::new("Maker"), change) {
        Err(Refusal::Certificate(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn roots(maker: &Maker) -> AttestationRoots {
    AttestationRoots::from_der([maker.certificate()]).unwrap()
}

#[test]
fn a_makers_key_is_taken_with_its_root() {
    let maker = Maker::new("Maker");
    let key = with_leaf(&maker, |_| {}).unwrap();
    assert_eq!((key.aaguid, key.algorithm), (MODEL, SignatureAlgorithm::Es256));
    let Vouched::ByMaker(chain) = &key.vouched else { panic!("{:?}", key.vouched) };
    assert_eq!(chain.certificates().count(), 1);
    assert_eq!(key.check_maker(&roots(&maker), NOW_MS), Ok(()));
}

#[test]
fn attestation_keys_of_each_algorithm_are_taken() {
    let maker = Maker::new("Maker");
    for (id, algorithm) in [(-7, &PKCS_ECDSA_P256_SHA256), (-8, &PKCS_ED25519), (-257, &PKCS_RSA_SHA256)] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
        let attested = verify(id, &maker::signature(&key, &message()), &[leaf]).unwrap();
        assert_eq!(attested.check_maker(&roots(&maker), NOW_MS), Ok(()), "{id}");
    }
}

#[test]
fn self_attestation_is_taken_and_has_no_maker() {
    use p256::ecdsa::{Signature, signature::Signer};
    let signature: Signature = SigningKey::from_slice(&[3; 32]).unwrap().sign(&message());
    let statement = vec![("alg", (-7).into()), ("sig", signature.to_der().as_bytes().into())];
    let key = verify_statement(statement).unwrap();
    assert_eq!(key.vouched, Vouched::ByItself);
    assert_eq!(key.check_maker(&roots(&Maker::new("Maker")), NOW_MS), Err(MakerError::NoMaker));
}

#[test]
fn a_chain_through_an_intermediate_is_taken_in_any_order_and_with_the_root_in_it() {
    let maker = Maker::new("Maker");
    let intermediate = maker.authority("Maker's Line 1", |_| {});
    let key = KeyPair::generate().unwrap();
    let leaf = intermediate.sign(leaf_params(Some(MODEL)), &key);
    let signature = maker::signature(&key, &message());
    let (middle, root) = (intermediate.certificate().to_vec(), maker.certificate().to_vec());
    for chain in [
        vec![leaf.clone(), middle.clone()],
        vec![leaf.clone(), middle.clone(), root.clone()],
        vec![leaf.clone(), root, middle],
    ] {
        let key = verify(-7, &signature, &chain).unwrap();
        assert_eq!(key.check_maker(&roots(&maker), NOW_MS), Ok(()));
    }
    let key = verify(-7, &signature, &[leaf]).unwrap();
    assert_eq!(
        key.check_maker(&roots(&maker), NOW_MS),
        Err(MakerError::UnknownMaker),
        "the middle is missing"
    );
    assert_eq!(key.check_maker(&roots(&intermediate), NOW_MS), Ok(()), "trusted itself");
}

#[test]
fn an_attestation_certificate_that_is_listed_itself_is_trusted_but_signs_no_other() {
    let maker = Maker::new("Maker");
    let listed = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &listed);
    let roots = AttestationRoots::from_der([leaf.as_slice()]).unwrap();
    let key = verify(-7, &maker::signature(&listed, &message()), std::slice::from_ref(&leaf)).unwrap();
    assert_eq!(key.check_maker(&roots, NOW_MS), Ok(()));
    assert_eq!(key.check_maker(&roots, NOT_AFTER_MS + 1000), Err(MakerError::Expired));
    assert_eq!(key.check_maker(&roots, NOT_BEFORE_MS - 1000), Err(MakerError::NotYetValid));

    let forged = KeyPair::generate().unwrap();
    let forged_leaf =
        Maker::from_leaf(leaf_params(Some(MODEL)), listed, &leaf).sign(leaf_params(Some(MODEL)), &forged);
    let signature = maker::signature(&forged, &message());
    for (chain, error) in
        [(vec![forged_leaf.clone(), leaf], MakerError::Usage), (vec![forged_leaf], MakerError::UnknownMaker)]
    {
        assert_eq!(verify(-7, &signature, &chain).unwrap().check_maker(&roots, NOW_MS), Err(error));
    }
}

#[test]
fn a_signature_by_another_key_than_the_leafs_is_refused() {
    let maker = Maker::new("Maker");
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let refusal = verify(-7, &maker::signature(&other, &message()), &[leaf]).unwrap_err();
    assert_eq!(refusal, Refusal::Signature(SignatureError::Invalid));
}

#[test]
fn a_signature_over_other_data_is_refused() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    for other in [auth_data(), [auth_data(), vec![0; 32]].concat(), [vec![0], message()].concat()] {
        let refusal = verify(-7, &maker::signature(&key, &other), std::slice::from_ref(&leaf)).unwrap_err();
        assert_eq!(refusal, Refusal::Signature(SignatureError::Invalid));
    }
}

#[test]
fn an_alg_that_is_not_the_leaf_keys_is_refused() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let with = |algorithm, leaf| verify(algorithm, &maker::signature(&key, &message()), &[leaf]).unwrap_err();
    for algorithm in [-8, -257] {
        assert_eq!(with(algorithm, leaf.clone()), Refusal::Signature(SignatureError::KeyMismatch));
    }
    assert_eq!(with(-35, leaf.clone()), CertificateError::Algorithm(-35).into());
    assert_eq!(with(-65535, leaf), CertificateError::Algorithm(-65535).into(), "RS1");
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &p384);
    assert_eq!(with(-7, leaf), Refusal::Signature(SignatureError::KeyMismatch), "ES256 on another curve");
}

#[test]
fn the_certificate_of_another_model_is_refused() {
    let error = leaf_refused(|params| params.custom_extensions = vec![maker::model_extension(&[0x11; 16])]);
    assert_eq!(error, CertificateError::Model);
}

#[test]
fn a_certificate_without_a_model_is_taken() {
    let maker = Maker::new("Maker");
    let key = with_leaf(&maker, |params| params.custom_extensions.clear()).unwrap();
    assert_eq!(key.check_maker(&roots(&maker), NOW_MS), Ok(()));
}

#[test]
fn a_critical_or_malformed_model_extension_is_refused() {
    let with = |extension: CustomExtension| leaf_refused(|params| params.custom_extensions = vec![extension]);
    let mut critical = maker::model_extension(&MODEL);
    critical.set_criticality(true);
    assert_eq!(with(critical), CertificateError::ModelForm);
    let content = |bytes: &[u8]| CustomExtension::from_oid_content(maker::MODEL_OID, bytes.to_vec());
    assert_eq!(with(content(&MODEL)), CertificateError::ModelForm, "not in an octet string");
    assert_eq!(with(content(&[4, 2, 0xa5, 0xa5])), CertificateError::ModelForm, "too short");
    assert_eq!(
        with(content(&[&[4, 16][..], &MODEL, &[0]].concat())),
        CertificateError::ModelForm,
        "a byte too many"
    );
    assert_eq!(with(content(&[])), CertificateError::ModelForm);
    let twice = vec![maker::model_extension(&MODEL), maker::model_extension(&[0x11; 16])];
    let error = leaf_refused(|params| params.custom_extensions = twice);
    assert_eq!(error, CertificateError::Malformed { at: 0 }, "twice");
}

#[test]
fn a_critical_extension_that_nobody_knows_is_refused() {
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    unknown.set_criticality(true);
    let error = leaf_refused(|params| params.custom_extensions.push(unknown));
    assert_eq!(error, CertificateError::Malformed { at: 0 });
}

#[test]
fn a_subject_without_one_of_its_four_attributes_is_refused() {
    for (attribute, kind) in [
        ("C", DnType::CountryName),
        ("O", DnType::OrganizationName),
        ("OU", DnType::OrganizationalUnitName),
        ("CN", DnType::CommonName),
    ] {
        let error = leaf_refused(|params| {
            params.distinguished_name.remove(kind.clone());
        });
        assert_eq!(error, CertificateError::Subject(attribute));
        let error = leaf_refused(|params| params.distinguished_name.push(kind, ""));
        assert_eq!(error, CertificateError::Subject(attribute), "empty");
    }
}

#[test]
fn another_unit_than_authenticator_attestation_is_refused() {
    for unit in ["authenticator attestation", "Authenticator Attestation ", "Authenticator", "Web Server"] {
        let unit = DnValue::Utf8String(unit.into());
        let error =
            leaf_refused(|params| params.distinguished_name.push(DnType::OrganizationalUnitName, unit));
        assert_eq!(error, CertificateError::Subject("OU"));
    }
    let error = leaf_refused(|params| params.distinguished_name.push(DnType::CountryName, "Utopia"));
    assert_eq!(error, CertificateError::Subject("C"));
}

#[test]
fn an_authority_in_the_place_of_the_leaf_is_refused() {
    for constraints in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(0)] {
        let error = leaf_refused(|params| params.is_ca = IsCa::Ca(constraints));
        assert_eq!(error, CertificateError::Authority);
    }
}

#[test]
fn a_leaf_whose_key_is_not_for_signatures_is_refused() {
    let error = leaf_refused(|params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]);
    assert_eq!(error, CertificateError::Usage);
    assert!(
        with_leaf(&Maker::new("M"), |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature])
            .is_ok()
    );
}

#[test]
fn an_expired_leaf_is_refused_and_one_whose_time_has_not_come() {
    let maker = Maker::new("Maker");
    let key = with_leaf(&maker, |_| {}).unwrap();
    let roots = roots(&maker);
    assert_eq!(key.check_maker(&roots, NOT_BEFORE_MS), Ok(()));
    assert_eq!(key.check_maker(&roots, NOT_AFTER_MS), Ok(()));
    assert_eq!(key.check_maker(&roots, NOT_AFTER_MS + 1000), Err(MakerError::Expired));
    assert_eq!(key.check_maker(&roots, NOT_BEFORE_MS - 1000), Err(MakerError::NotYetValid));
    assert_eq!(key.check_maker(&roots, -1), Err(MakerError::NotYetValid));
    assert!(key.check_maker(&roots, i64::MAX).is_err());
}

#[test]
fn an_expired_intermediate_is_refused() {
    let maker = Maker::new("Maker");
    let middle = maker.authority("Old Line", |params| params.not_after = rcgen::date_time_ymd(2021, 1, 1));
    assert_eq!(through(&maker, &middle), Err(MakerError::Expired));
}

/// What comes of a leaf that `signer` signed and whose chain has the signer's certificate.
fn through(maker: &Maker, signer: &Maker) -> Result<(), MakerError> {
    let key = KeyPair::generate().unwrap();
    let leaf = signer.sign(leaf_params(Some(MODEL)), &key);
    let chain = [leaf, signer.certificate().to_vec()];
    verify(-7, &maker::signature(&key, &message()), &chain).unwrap().check_maker(&roots(maker), NOW_MS)
}

#[test]
fn a_chain_to_another_root_is_refused() {
    let maker = Maker::new("Maker");
    let key = with_leaf(&maker, |_| {}).unwrap();
    assert_eq!(key.check_maker(&roots(&Maker::new("Other Maker")), NOW_MS), Err(MakerError::UnknownMaker));
    let namesake = Maker::new("Maker");
    assert_eq!(key.check_maker(&roots(&namesake), NOW_MS), Err(MakerError::UnknownMaker), "its name alone");
    let both = AttestationRoots::from_der([namesake.certificate(), maker.certificate()]).unwrap();
    assert_eq!(key.check_maker(&both, NOW_MS), Ok(()));
}

#[test]
fn a_root_that_comes_with_the_attestation_is_not_trusted_for_that() {
    let (trusted, own) = (Maker::new("Maker"), Maker::new("Own"));
    let key = KeyPair::generate().unwrap();
    let chain = [own.sign(leaf_params(Some(MODEL)), &key), own.certificate().to_vec()];
    let key = verify(-7, &maker::signature(&key, &message()), &chain).unwrap();
    assert_eq!(key.check_maker(&roots(&trusted), NOW_MS), Err(MakerError::UnknownMaker));
}

#[test]
fn a_leaf_in_the_place_of_an_intermediate_is_refused() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let signer = Maker::from_leaf(leaf_params(Some(MODEL)), key, &leaf);
    assert_eq!(through(&maker, &signer), Err(MakerError::Usage));
}

#[test]
fn an_authority_that_may_not_sign_certificates_or_not_so_deep_is_refused() {
    let maker = Maker::new("Maker");
    let silent = maker.authority("Line", |params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(through(&maker, &silent), Err(MakerError::Usage));
    let signing = maker.authority("Line", |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    assert_eq!(through(&maker, &signing), Ok(()));

    let last = maker.authority("Last", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below = last.authority("Below", |_| {});
    let key = KeyPair::generate().unwrap();
    let chain = [
        below.sign(leaf_params(Some(MODEL)), &key),
        below.certificate().to_vec(),
        last.certificate().to_vec(),
    ];
    let key = verify(-7, &maker::signature(&key, &message()), &chain).unwrap();
    assert_eq!(key.check_maker(&roots(&maker), NOW_MS), Err(MakerError::Usage));
}

#[test]
fn no_certificates_and_nine_are_refused_and_eight_are_taken() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let with = |certificates: &[Vec<u8>]| verify(-7, &maker::signature(&key, &message()), certificates);
    assert_eq!(with(&[]), Err(CertificateError::Count { found: 0 }.into()));
    let many = vec![leaf; MAX_CERTIFICATES + 1];
    assert_eq!(with(&many), Err(CertificateError::Count { found: 9 }.into()));
    let key = with(&many[1..]).unwrap();
    assert_eq!(key.check_maker(&roots(&maker), NOW_MS), Ok(()), "the same one eight times");
}

#[test]
fn certificates_that_are_too_long_or_garbage_are_refused_each_by_its_place() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let with = |certificates: Vec<Vec<u8>>| {
        verify(-7, &maker::signature(&key, &message()), &certificates).unwrap_err()
    };
    let bytes = MAX_CERTIFICATE_BYTES + 1;
    assert_eq!(with(vec![vec![0x30; bytes]]), CertificateError::Length { at: 0, bytes }.into());
    assert_eq!(with(vec![leaf.clone(), vec![0; bytes]]), CertificateError::Length { at: 1, bytes }.into());
    for garbage in [vec![], vec![0x30, 0], vec![0xff; 100], [&leaf[..], &[0]].concat(), leaf[1..].to_vec()] {
        assert_eq!(with(vec![garbage.clone()]), CertificateError::Malformed { at: 0 }.into());
        assert_eq!(with(vec![leaf.clone(), garbage]), CertificateError::Malformed { at: 1 }.into());
    }
}

#[test]
fn unknown_members_and_members_of_another_type_are_refused() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let signature = maker::signature(&key, &message());
    let with = |member: (&'static str, Value)| {
        let mut statement = vec![("alg", (-7).into()), ("sig", signature.as_slice().into())];
        statement.push(member);
        verify_statement(statement).unwrap_err()
    };
    assert_eq!(with(("ecdaaKeyId", leaf.as_slice().into())), Refusal::AttestationFormat);
    assert_eq!(with(("ver", "2.0".into())), Refusal::AttestationFormat);
    assert_eq!(with(("x5c", leaf.as_slice().into())), Refusal::AttestationForm);
    assert_eq!(with(("x5c", Value::Array(vec!["leaf".into()]))), Refusal::AttestationForm);
    assert_eq!(with(("x5c", Value::Null)), Refusal::AttestationForm);
    let statement = vec![("sig", signature.as_slice().into()), ("x5c", x5c(&[leaf]))];
    assert_eq!(verify_statement(statement).unwrap_err(), Refusal::AttestationForm, "no alg");
}

#[test]
fn roots_come_in_pem_and_what_is_no_root_is_named() {
    let (one, two) = (Maker::new("One"), Maker::new("Two"));
    let pem = format!("some text\n{}\n{}", one.pem(), two.pem());
    let roots = AttestationRoots::from_pem(pem.as_bytes()).unwrap();
    for maker in [&one, &two] {
        assert_eq!(with_leaf(maker, |_| {}).unwrap().check_maker(&roots, NOW_MS), Ok(()));
    }
    assert_eq!(AttestationRoots::from_pem(b"").unwrap_err(), RootsError::Empty);
    assert_eq!(AttestationRoots::from_pem(b"no pem\n").unwrap_err(), RootsError::Empty);
    let cut = &pem.as_bytes()[..pem.len() - 40];
    assert_eq!(AttestationRoots::from_pem(cut).unwrap_err(), RootsError::Pem(2));
    let two = [one.certificate(), &[0x30, 0]];
    assert_eq!(AttestationRoots::from_der(two).unwrap_err(), RootsError::Certificate(2));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_certificates_are_refused_by_name(
        certificates in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
        signature in prop::collection::vec(any::<u8>(), 0..100),
        algorithm in prop::sample::select(vec![-7i64, -8, -257, -35, 0]),
    ) {
        let refusal = verify(algorithm, &signature, &certificates).unwrap_err();
        prop_assert!(matches!(refusal, Refusal::Certificate(_)), "{refusal:?}");
    }

    #[test]
    fn any_bytes_are_roots_or_named(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(AttestationRoots::from_der([bytes.as_slice()]).unwrap_err(), RootsError::Certificate(1));
        let _ = AttestationRoots::from_pem(&bytes);
    }
}

/// Each byte of a good leaf, changed: refused by name here or at the root, and never taken.
#[test]
fn no_changed_leaf_is_taken() {
    let maker = Maker::new("Maker");
    let key = KeyPair::generate().unwrap();
    let leaf = maker.sign(leaf_params(Some(MODEL)), &key);
    let (signature, roots) = (maker::signature(&key, &message()), roots(&maker));
    for at in 0..leaf.len() {
        for by in [0x01, 0x80, 0xff] {
            let mut changed = leaf.clone();
            changed[at] ^= by;
            if let Ok(attested) = verify(-7, &signature, &[changed]) {
                assert!(attested.check_maker(&roots, NOW_MS).is_err(), "byte {at} ^ {by:#x}");
            }
        }
    }
}
