//! Endorsement certificates: that of a real (software) TPM by its maker, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod maker;

use fwp_verifier::AttestationRoots;
use fwp_verifier::certificate::MAX_CERTIFICATE_BYTES;
use fwp_verifier::endorsement::{EndorsementError, EndorsementKey, check_endorsement};
use fwp_verifier::maker::MakerError;
use maker::{ATTESTATION_PURPOSE, ENDORSEMENT_PURPOSE, Maker, NOT_AFTER_MS, NOT_BEFORE_MS, NOW_MS, TPM};
use maker::{tpm_leaf_params, tpm_name_extension};
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rcgen::{PKCS_RSA_SHA256, RsaKeySize};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};
use virtual_tpm::Swtpm;

static MAKER: LazyLock<Maker> = LazyLock::new(|| Maker::new("TPM Maker"));
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());

fn params() -> CertificateParams {
    let mut params = tpm_leaf_params();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(ENDORSEMENT_PURPOSE.to_vec())];
    params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    params
}

fn roots() -> AttestationRoots {
    AttestationRoots::from_der([MAKER.certificate()]).unwrap()
}

fn check(change: impl FnOnce(&mut CertificateParams)) -> Result<EndorsementKey, EndorsementError> {
    let mut params = params();
    change(&mut params);
    check_endorsement(&MAKER.sign(params, &*KEY), &roots(), NOW_MS)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_real_tpms_certificate_is_taken_with_its_makers_root_only() {
    let swtpm = Swtpm::from_the_maker();
    let der = swtpm.tpm().endorsement_certificate().unwrap().unwrap();
    let roots = AttestationRoots::from_pem(swtpm.makers_roots().as_bytes()).unwrap();
    let key = check_endorsement(&der, &roots, now_ms()).unwrap();
    assert_eq!((key.tpm.manufacturer.as_str(), key.tpm.model.as_str()), ("id:00001014", "swtpm"));
    assert!(key.tpm.version.starts_with("id:"));
    // The public area that another program made of the template ends with the same modulus.
    swtpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    assert!(std::fs::read(swtpm.state.path().join("ek.pub")).unwrap().ends_with(&key.modulus));

    let unknown = EndorsementError::Maker(MakerError::UnknownMaker);
    let other = AttestationRoots::from_der([MAKER.certificate()]).unwrap();
    assert_eq!(check_endorsement(&der, &other, now_ms()), Err(unknown));
    let other = AttestationRoots::from_pem(Swtpm::from_the_maker().makers_roots().as_bytes()).unwrap();
    assert_eq!(check_endorsement(&der, &other, now_ms()), Err(unknown), "of that name only");
    let early = now_ms() - 86_400_000;
    let error = check_endorsement(&der, &roots, early).unwrap_err();
    assert_eq!(error, EndorsementError::Maker(MakerError::NotYetValid));
}

#[test]
fn a_certificate_is_taken_while_it_is_valid() {
    let der = MAKER.sign(params(), &*KEY);
    assert!(check_endorsement(&der, &roots(), NOW_MS).is_ok());
    let at = |now_ms| check_endorsement(&der, &roots(), now_ms).unwrap_err();
    assert_eq!(at(NOT_AFTER_MS + 1000), EndorsementError::Maker(MakerError::Expired));
    assert_eq!(at(NOT_BEFORE_MS - 1000), EndorsementError::Maker(MakerError::NotYetValid));
    assert_eq!(at(NOT_AFTER_MS + 1000).code(), "endorsement-time");
}

#[test]
fn a_certificate_for_something_else_is_refused() {
    let purpose = |oid: &[u64]| vec![ExtendedKeyUsagePurpose::Other(oid.to_vec())];
    let error = Err(EndorsementError::Purpose);
    assert_eq!(check(|params| params.extended_key_usages = purpose(ATTESTATION_PURPOSE)), error);
    assert_eq!(check(|params| params.extended_key_usages.clear()), error);
    assert_eq!(check(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), error);
    assert!(check(|params| params.key_usages.clear()).is_ok());
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        assert_eq!(check(|params| params.is_ca = is_ca), Err(EndorsementError::Authority));
    }
    assert_eq!(check(|params| params.custom_extensions.clear()), Err(EndorsementError::TpmName));
    let nameless = tpm_name_extension(&[&TPM[1..]]);
    assert_eq!(check(|params| params.custom_extensions = vec![nameless]), Err(EndorsementError::TpmName));
}

#[test]
fn another_kind_of_key_is_refused() {
    let p256 = KeyPair::generate().unwrap();
    let longer = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).unwrap();
    for key in [p256, longer] {
        let der = MAKER.sign(params(), &key);
        assert_eq!(check_endorsement(&der, &roots(), NOW_MS), Err(EndorsementError::Key));
    }
}

#[test]
fn bytes_that_are_no_certificate_are_refused() {
    let good = MAKER.sign(params(), &*KEY);
    let long = vec![0; MAX_CERTIFICATE_BYTES + 1];
    for der in [&[][..], &good[1..], &good[..good.len() - 1], &[&good[..], &[0]].concat(), &long] {
        assert_eq!(check_endorsement(der, &roots(), NOW_MS), Err(EndorsementError::Malformed));
    }
}

proptest! {
    #[test]
    fn no_changed_certificate_is_taken(at: prop::sample::Index, by in 1u8..=255) {
        let mut der = MAKER.sign(params(), &*KEY);
        let at = at.index(der.len());
        der[at] ^= by;
        prop_assert!(check_endorsement(&der, &roots(), NOW_MS).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(der in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = check_endorsement(&der, &roots(), NOW_MS);
    }
}
