//! The bank's certification authority for TPMs, with a real (software) TPM that its maker gave a certificate, and tpm2-tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::tpm::{TpmKey, certify, question};
use ctap_authenticator::HardwareError;
use ctap_tpm::{AAGUID, AttestationKey, Tpm};
use fwp::certification::{ActivatedCredential, CertificationRequest, CredentialChallenge};
use fwp::enrollment::Offer;
use fwp_cose::PublicKey;
use fwp_cose::tpm::PublicArea;
use fwp_sandbox::bank::Bank;
use fwp_sandbox::bank::issued::Voucher;
use fwp_sandbox::ca::exchanges::{MAX_OPEN, OPEN_MS};
use fwp_sandbox::ca::issuer::{CaIssuer, ca_file};
use fwp_sandbox::ca::make_credential::make_credential;
use fwp_sandbox::ca::{CaAnswer, CaRefusal, CertificationAuthority};
use fwp_sandbox::error::SandboxError;
use fwp_sandbox::http::now_ms;
use fwp_verifier::AttestationRoots;
use fwp_verifier::endorsement::{EndorsementError, check_endorsement};
use fwp_verifier::maker::MakerError;
use fwp_verifier::tpm_certificate::check_tpm_certificates;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;
use virtual_tpm::Swtpm;
use zeroize::Zeroizing;

/// A computer with a TPM, and an authority that knows its maker.
struct Fixture {
    dir: TempDir,
    swtpm: Swtpm,
    tpm: Arc<Tpm>,
    ca: CertificationAuthority,
    key: AttestationKey,
    now_ms: i64,
}

fn makers(swtpm: &Swtpm) -> AttestationRoots {
    AttestationRoots::from_pem(swtpm.makers_roots().as_bytes()).unwrap()
}

fn issuer(dir: &TempDir) -> CaIssuer {
    CaIssuer::read_or_make(dir.path(), now_ms().unwrap()).unwrap()
}

fn fixture() -> Fixture {
    let (dir, swtpm) = (tempfile::tempdir().unwrap(), Swtpm::from_the_maker());
    let (tpm, now_ms) = (swtpm.tpm(), now_ms().unwrap());
    let ca = CertificationAuthority::new(issuer(&dir), makers(&swtpm));
    let key = tpm.create_attestation_key().unwrap();
    Fixture { dir, swtpm, tpm, ca, key, now_ms }
}

impl Fixture {
    fn request(&self) -> CertificationRequest {
        question(&self.tpm, &self.key)
    }

    fn ask(&self, request: &CertificationRequest) -> Result<CredentialChallenge, CaRefusal> {
        match self.ca.answer(&request.to_json().to_string(), self.now_ms).unwrap()? {
            CaAnswer::Challenge(challenge) => Ok(challenge),
            other => panic!("{other:?}"),
        }
    }

    fn activated(&self, challenge: &CredentialChallenge) -> ActivatedCredential {
        let (blob, secret) = (&challenge.credential_blob, &challenge.encrypted_secret);
        let secret = self.tpm.activate_credential(&self.key, blob, secret).unwrap();
        ActivatedCredential { challenge: challenge.challenge.clone(), secret: secret.into() }
    }

    fn finish(&self, activated: &ActivatedCredential, now_ms: i64) -> Result<Vec<Vec<u8>>, CaRefusal> {
        match self.ca.answer(&activated.to_json().to_string(), now_ms).unwrap()? {
            CaAnswer::Certificates(issued) => Ok(issued.certificates),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_real_tpms_attestation_key_gets_a_certificate_that_says_nothing_of_which_tpm_it_is() {
    let fixture = fixture();
    let activated = fixture.activated(&fixture.ask(&fixture.request()).unwrap());
    assert_eq!(activated.secret.len(), 32);
    let certificates = fixture.finish(&activated, fixture.now_ms).unwrap();
    let (key, name) = check_tpm_certificates(&certificates, &AAGUID).unwrap();
    assert_eq!(key, PublicKey::P256(fixture.key.public_key().unwrap()));
    assert_eq!((name.manufacturer.as_str(), name.model.as_str()), ("id:00001014", "swtpm"));
    let endorsement = fixture.tpm.endorsement_certificate().unwrap().unwrap();
    let modulus = check_endorsement(&endorsement, &makers(&fixture.swtpm), fixture.now_ms).unwrap().modulus;
    assert!(!certificates[0].windows(16).any(|part| modulus.windows(16).any(|other| other == part)));
    // It is over: neither once more, nor for the next.
    assert_eq!(fixture.finish(&activated, fixture.now_ms), Err(CaRefusal::Challenge));
}

#[test]
fn another_secret_or_time_ends_a_certification() {
    let fixture = fixture();
    let request = fixture.request();
    let activated = fixture.activated(&fixture.ask(&request).unwrap());
    for secret in [vec![0; 32], activated.secret[..31].to_vec()] {
        let activated = fixture.activated(&fixture.ask(&request).unwrap());
        let wrong = ActivatedCredential { secret: secret.into(), ..activated.clone() };
        assert_eq!(fixture.finish(&wrong, fixture.now_ms), Err(CaRefusal::Secret));
        assert_eq!(fixture.finish(&activated, fixture.now_ms), Err(CaRefusal::Challenge), "one try");
    }
    let unknown = ActivatedCredential { challenge: vec![7; 32], ..activated.clone() };
    assert_eq!(fixture.finish(&unknown, fixture.now_ms), Err(CaRefusal::Challenge));
    let late = fixture.now_ms + OPEN_MS + 1;
    assert_eq!(fixture.finish(&activated, late), Err(CaRefusal::Challenge));
    let activated = fixture.activated(&fixture.ask(&request).unwrap());
    assert!(fixture.finish(&activated, fixture.now_ms + OPEN_MS).is_ok());
}

#[test]
fn the_open_certifications_are_bounded_and_make_room_with_time() {
    let mut fixture = fixture();
    let request = fixture.request();
    for _ in 0..MAX_OPEN {
        fixture.ask(&request).unwrap();
    }
    assert_eq!(fixture.ask(&request), Err(CaRefusal::Busy));
    fixture.now_ms += OPEN_MS + 1;
    assert!(fixture.ask(&request).is_ok());
}

#[test]
fn what_is_made_opens_in_that_tpm_and_for_that_key_only() {
    let fixture = fixture();
    let challenge = fixture.ask(&fixture.request()).unwrap();
    let (blob, secret) = (&challenge.credential_blob, &challenge.encrypted_secret);
    let other = fixture.tpm.create_attestation_key().unwrap();
    let refused = fixture.tpm.activate_credential(&other, blob, secret);
    assert!(matches!(refused, Err(HardwareError::Failed { .. })), "{refused:?}");
    let elsewhere = Swtpm::from_the_maker();
    let key = elsewhere.tpm().create_attestation_key().unwrap();
    let refused = elsewhere.tpm().activate_credential(&key, blob, secret);
    assert!(matches!(refused, Err(HardwareError::Failed { .. })), "{refused:?}");
    assert!(fixture.tpm.activate_credential(&fixture.key, blob, secret).is_ok());
}

#[test]
fn another_program_opens_what_is_made() {
    let fixture = fixture();
    let swtpm = &fixture.swtpm;
    let endorsement = fixture.tpm.endorsement_certificate().unwrap().unwrap();
    let endorsement = check_endorsement(&endorsement, &makers(swtpm), fixture.now_ms).unwrap();
    swtpm.tool("tpm2_createek", &["-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let ak = ["-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa", "-n", "ak.name"];
    swtpm.tool("tpm2_createak", &ak);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let directory = swtpm.state.path();
    let name = std::fs::read(directory.join("ak.name")).unwrap();
    for secret in [&[0x5a; 32][..], b"s"] {
        let made = make_credential(&endorsement, &name, secret, &Zeroizing::new([3; 32])).unwrap();
        // The form of tpm2-tools: a magic, a version, and both structures.
        let sized = |part: &[u8]| [&(part.len() as u16).to_be_bytes(), part].concat();
        let head = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
        let file = [&head[..], &sized(&made.id_object), &sized(&made.encrypted_secret)].concat();
        std::fs::write(directory.join("made"), file).unwrap();
        swtpm.tool("tpm2_startauthsession", &["--policy-session", "-S", "session.ctx"]);
        swtpm.tool("tpm2_policysecret", &["-S", "session.ctx", "-c", "e"]);
        let open =
            ["-c", "ak.ctx", "-C", "ek.ctx", "-i", "made", "-o", "opened", "-P", "session:session.ctx"];
        swtpm.tool("tpm2_activatecredential", &open);
        swtpm.tool("tpm2_flushcontext", &["session.ctx"]);
        swtpm.tool("tpm2_flushcontext", &["-t"]);
        assert_eq!(std::fs::read(directory.join("opened")).unwrap(), secret);
    }
    assert_eq!(make_credential(&endorsement, &name, &[0; 33], &Zeroizing::new([3; 32])), None, "too long");
}

#[test]
fn a_tpm_by_a_maker_whom_nobody_knows_is_refused() {
    let fixture = fixture();
    let ca = CertificationAuthority::new(issuer(&fixture.dir), makers(&Swtpm::from_the_maker()));
    let unknown = CaRefusal::Endorsement(EndorsementError::Maker(MakerError::UnknownMaker));
    let text = fixture.request().to_json().to_string();
    assert_eq!(ca.answer(&text, fixture.now_ms).unwrap(), Err(unknown.clone()));
    assert_eq!(unknown.code(), "endorsement-maker");
    let early = fixture.ca.answer(&text, fixture.now_ms - 86_400_000).unwrap().unwrap_err();
    assert_eq!(early.code(), "endorsement-time");
    let request = CertificationRequest { endorsement_certificate: vec![0x30, 0], ..fixture.request() };
    assert_eq!(fixture.ask(&request).unwrap_err().code(), "endorsement-certificate");
}

#[test]
fn a_key_that_signs_anything_or_could_leave_the_tpm_is_refused() {
    let fixture = fixture();
    let good = fixture.request();
    let bits = [
        (1, "fixedTPM"),
        (4, "fixedParent"),
        (5, "sensitiveDataOrigin"),
        (16, "restricted"),
        (17, "decrypt"),
        (18, "sign"),
    ];
    for (bit, name) in bits {
        let mut request = good.clone();
        request.attestation_key[7 - bit / 8] ^= 1 << (bit % 8);
        assert_eq!(fixture.ask(&request), Err(CaRefusal::AttestationKeyAttributes), "{name}");
    }
    let mut longer = good.clone();
    longer.attestation_key.push(0);
    assert_eq!(fixture.ask(&longer), Err(CaRefusal::AttestationKeyForm));
    // An attribute that is asked for nowhere gives another name, for which the TPM opens nothing.
    let mut other = good;
    other.attestation_key[6] ^= 1 << 2;
    assert!(PublicArea::parse(&other.attestation_key).unwrap().is_attestation_key());
    let challenge = fixture.ask(&other).unwrap();
    let (blob, secret) = (&challenge.credential_blob, &challenge.encrypted_secret);
    assert!(fixture.tpm.activate_credential(&fixture.key, blob, secret).is_err());
}

#[test]
fn the_authority_keeps_its_key_for_its_owner_alone_and_is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    drop(issuer(&dir));
    let before = std::fs::read(ca_file(dir.path())).unwrap();
    drop(issuer(&dir));
    assert_eq!(std::fs::read(ca_file(dir.path())).unwrap(), before);
    assert_eq!(std::fs::metadata(ca_file(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
    for bad in [&b""[..], b"no PEM", &before[..before.len() / 2]] {
        std::fs::write(ca_file(dir.path()), bad).unwrap();
        let error = CaIssuer::read_or_make(dir.path(), 0).unwrap_err();
        assert!(matches!(error, SandboxError::CaFile(_)), "{error}");
    }
}

/// A bank, with an offer.
fn bank(dir: &TempDir) -> (Bank, Offer) {
    let bank = Bank::open(dir.path(), None).unwrap().with_tpm_roots(issuer(dir).roots().clone());
    let offer = bank.offer("http://localhost:1/bank/attestation".into(), now_ms().unwrap()).unwrap();
    (bank, offer)
}

fn enroll(bank: &Bank, key: &TpmKey, offer: &Offer) -> Option<&'static str> {
    let text = key.attest(offer).to_json().to_string();
    bank.enroll(&text, now_ms().unwrap()).unwrap().err().map(|refusal| refusal.code())
}

#[test]
fn the_bank_says_that_a_tpm_which_it_certified_vouches_for_a_key() {
    let fixture = fixture();
    let (bank, offer) = bank(&fixture.dir);
    let certificates = certify(&fixture.tpm, &fixture.key, |question| {
        fixture.ca.answer(&question, fixture.now_ms).unwrap().unwrap().to_json().to_string()
    });
    let key = TpmKey::new(&fixture.tpm, &fixture.key, certificates);
    assert_eq!(enroll(&bank, &key, &offer), None);
    let cards = bank.books.issued(10).unwrap();
    assert_eq!(cards[0].key, Some((AAGUID, Voucher::Tpm)));
    assert_eq!(cards[0].to_json()["vouchedBy"], "tpm");
    assert_eq!(Voucher::Tpm.text(), "a TPM, verified");

    // A bank that takes the keys of known makers only takes this one, too.
    let bank = bank.with_roots(makers(&fixture.swtpm));
    let offer = bank.offer("http://localhost:1/".into(), now_ms().unwrap()).unwrap();
    assert_eq!(enroll(&bank, &key, &offer), None);
    // Another bank knows nothing of this one's authority.
    let dir = tempfile::tempdir().unwrap();
    let (other, offer) = self::bank(&dir);
    assert_eq!(enroll(&other, &key, &offer), None);
    assert_eq!(other.books.issued(1).unwrap()[0].key, Some((AAGUID, Voucher::Certificates)));
    let other = other.with_roots(makers(&fixture.swtpm));
    let offer = other.offer("http://localhost:1/".into(), now_ms().unwrap()).unwrap();
    assert_eq!(enroll(&other, &key, &offer), Some("unknown-maker"));
}

/// An authority that knows no maker, and certifies nothing.
static STRICT: LazyLock<CertificationAuthority> = LazyLock::new(|| {
    let issuer = issuer(&tempfile::tempdir().unwrap());
    let itself = issuer.roots().clone();
    CertificationAuthority::new(issuer, itself)
});

proptest! {
    #[test]
    fn no_question_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let ca = &*STRICT;
        prop_assert!(ca.answer(&String::from_utf8_lossy(&bytes), 0).unwrap().is_err());
        let request = CertificationRequest { endorsement_certificate: bytes.clone(), attestation_key: bytes };
        prop_assert!(ca.answer(&request.to_json().to_string(), 0).unwrap().is_err());
    }
}
