//! The authority's own key and root certificate, and the certificates that it issues (WebAuthn Level 2 section 8.3.1).

use super::exchanges::Applicant;
use crate::error::SandboxError;
use fwp_cose::key::P256Key;
use fwp_verifier::AttestationRoots;
use fwp_verifier::tpm_certificate::TpmName;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use yasna::models::ObjectIdentifier;
use yasna::{Tag, construct_der};
use zeroize::Zeroizing;

/// The root's name.
const ROOT_NAME: &str = "Sandbox Bank TPM CA";
/// How long the root and an attestation key's certificate are good, in days; both begin a bit early, for clocks that are slow.
const ROOT_DAYS: i64 = 3650;
const CERTIFICATE_DAYS: i64 = 365;
const EARLY: Duration = Duration::minutes(5);
/// id-ce-subjectAltName.
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
/// tcg-at-tpmManufacturer, tcg-at-tpmModel, tcg-at-tpmVersion.
const MANUFACTURER: &[u64] = &[2, 23, 133, 2, 1];
const MODEL: &[u64] = &[2, 23, 133, 2, 2];
const VERSION: &[u64] = &[2, 23, 133, 2, 3];
/// tcg-kp-AIKCertificate.
const ATTESTATION_PURPOSE: &[u64] = &[2, 23, 133, 8, 3];

/// The authority's file in the sandbox's directory: its private key and its root certificate in PEM.
pub fn ca_file(dir: &Path) -> PathBuf {
    dir.join("tpm-ca.pem")
}

/// The authority's key and root.
pub struct CaIssuer {
    issuer: Issuer<'static, KeyPair>,
    roots: AttestationRoots,
}

impl fmt::Debug for CaIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaIssuer").finish_non_exhaustive()
    }
}

impl CaIssuer {
    /// Reads the authority's file in `dir`, or makes a key and a root if there is none.
    ///
    /// # Errors
    /// [`SandboxError::File`], [`SandboxError::CaFile`], [`SandboxError::Certificate`].
    pub fn read_or_make(dir: &Path, now_ms: i64) -> Result<Self, SandboxError> {
        let path = ca_file(dir);
        if !path.exists() {
            make(&path, now_ms)?;
        }
        let pem = Zeroizing::new(std::fs::read(&path).map_err(SandboxError::file(&path))?);
        let wrong = || SandboxError::CaFile(path.clone());
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| wrong())?;
        let key =
            KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(|_| wrong())?;
        let root = CertificateDer::from_pem_slice(&pem).map_err(|_| wrong())?;
        let roots = AttestationRoots::from_der([root.as_ref()]).map_err(|_| wrong())?;
        Ok(Self { issuer: Issuer::new(root_params(), key), roots })
    }

    /// Its root, for those who trust this authority.
    pub fn roots(&self) -> &AttestationRoots {
        &self.roots
    }

    /// Issues a certificate, in DER.
    ///
    /// # Errors
    /// [`SandboxError::Certificate`], [`SandboxError::Randomness`], [`SandboxError::Clock`].
    pub fn issue(&self, applicant: &Applicant, now_ms: i64) -> Result<Vec<u8>, SandboxError> {
        let mut params = CertificateParams::default();
        // 8.3.1: the subject is empty, the alternative name says which TPM, by the words of its maker.
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![alternative_name(&applicant.tpm)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(ATTESTATION_PURPOSE.to_vec())];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // It does not name a model (id-fido-gen-ce-aaguid): which program uses the TPM is not known here.
        limit(&mut params, now_ms, CERTIFICATE_DAYS)?;
        let key = AttestationPoint::new(&applicant.attestation_key);
        Ok(params.signed_by(&key, &self.issuer)?.der().to_vec())
    }
}

/// Makes the authority's file, for its owner only.
fn make(path: &Path, now_ms: i64) -> Result<(), SandboxError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = root_params();
    limit(&mut params, now_ms, ROOT_DAYS)?;
    let root: Certificate = params.self_signed(&key)?;
    let text = Zeroizing::new(format!("{}{}", *Zeroizing::new(key.serialize_pem()), root.pem()));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(SandboxError::file(path))
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, ROOT_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// Gives a certificate its time and a serial number that tells nothing.
fn limit(params: &mut CertificateParams, now_ms: i64, days: i64) -> Result<(), SandboxError> {
    let now = OffsetDateTime::from_unix_timestamp(now_ms / 1000).map_err(|_| SandboxError::Clock)?;
    params.not_before = now.checked_sub(EARLY).ok_or(SandboxError::Clock)?;
    params.not_after = now.checked_add(Duration::days(days)).ok_or(SandboxError::Clock)?;
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(())
}

/// The subject alternative name (TCG EK Credential Profile, section 3.2.9), critical since there is no subject.
fn alternative_name(tpm: &TpmName) -> CustomExtension {
    let parts = [(MANUFACTURER, &tpm.manufacturer), (MODEL, &tpm.model), (VERSION, &tpm.version)];
    let content = construct_der(|writer| {
        writer.write_sequence(|names| {
            // directoryName: a choice, so that its tag stands before the one of the sequence.
            names.next().write_tagged(Tag::context(4), |name| {
                name.write_sequence(|name| {
                    for (kind, value) in parts {
                        name.next().write_set(|set| {
                            set.next().write_sequence(|attribute| {
                                attribute.next().write_oid(&ObjectIdentifier::from_slice(kind));
                                attribute.next().write_utf8_string(value);
                            });
                        });
                    }
                });
            });
        });
    });
    let mut extension = CustomExtension::from_oid_content(SUBJECT_ALT_NAME, content);
    extension.set_criticality(true);
    extension
}

/// An attestation key as certificates have it.
struct AttestationPoint([u8; 65]);

impl AttestationPoint {
    fn new(key: &P256Key) -> Self {
        let mut point = [4; 65];
        for (to, from) in point.iter_mut().skip(1).zip(key.x().iter().chain(key.y())) {
            *to = *from;
        }
        Self(point)
    }
}

impl PublicKeyData for AttestationPoint {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
