//! The certificate of a TPM's endorsement key, by the TPM's maker (TCG EK Credential Profile for TPM Family 2.0): what a
//! certification authority asks for before it certifies an attestation key of that TPM. A bank needs none of this.

use crate::certificate::{MAX_CERTIFICATE_BYTES, read};
use crate::maker::{AttestationRoots, MakerError};
use crate::tpm_certificate::{TpmName, has_purpose};
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::Oid;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Version};

/// tcg-kp-EKCertificate.
const ENDORSEMENT_PURPOSE: Oid<'static> = oid!(2.23.133.8.1);
/// rsaEncryption, and id-RSAES-OAEP, which some makers write.
const RSA: [Oid<'static>; 2] = [oid!(1.2.840.113549.1.1.1), oid!(1.2.840.113549.1.1.7)];
/// Bytes of the modulus: RSA 2048, the one kind of endorsement key that every TPM has (section B.3.3, template L-1).
const MODULUS_BYTES: usize = 256;
/// The exponent of that template.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// An endorsement key whose maker was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndorsementKey {
    /// Of RSA 2048, big-endian; its highest bit is set.
    pub modulus: [u8; MODULUS_BYTES],
    /// What the maker calls the TPM.
    pub tpm: TpmName,
}

impl EndorsementKey {
    /// The public exponent, big-endian: 65537.
    pub const EXPONENT: &[u8] = &EXPONENT;
}

/// Why an endorsement certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// Not DER of an X.509 certificate, too long, or with an extension that is malformed or there twice.
    #[error("the endorsement certificate is malformed, or has more than {MAX_CERTIFICATE_BYTES} bytes")]
    Malformed,
    /// Not X.509 version 3.
    #[error("the endorsement certificate is not of X.509 version 3")]
    Version,
    /// A certificate authority's, or it does not say that it is none.
    #[error("the endorsement certificate is a certificate authority's, or does not say that it is none")]
    Authority,
    /// For something else.
    #[error("the certificate is not that of an endorsement key (tcg-kp-EKCertificate, for key encipherment)")]
    Purpose,
    /// It does not name the TPM.
    #[error("the endorsement certificate does not name the TPM's manufacturer, model and version")]
    TpmName,
    /// Another kind of key.
    #[error("the endorsement key is not of RSA 2048 with the exponent 65537")]
    Key,
    /// No maker that is known here stands behind it, or not at this time.
    #[error("no maker of TPMs whose root is known here vouches for the endorsement key ({code})", code = .0.code())]
    Maker(MakerError),
}

impl EndorsementError {
    /// A word for programs that stays the same from version to version.
    pub fn code(self) -> &'static str {
        match self {
            Self::Key => "endorsement-key",
            Self::Maker(MakerError::Expired | MakerError::NotYetValid) => "endorsement-time",
            Self::Maker(_) => "endorsement-maker",
            _ => "endorsement-certificate",
        }
    }
}

/// Checks that `der` is the certificate of an endorsement key, by a maker with one of `roots` (which may hold authorities below a
/// root, too), and valid at `now_ms` (milliseconds since 1970).
///
/// # Errors
/// [`EndorsementError`].
pub fn check_endorsement(
    der: &[u8],
    roots: &AttestationRoots,
    now_ms: i64,
) -> Result<EndorsementKey, EndorsementError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(EndorsementError::Malformed);
    }
    let certificate = read(der).ok_or(EndorsementError::Malformed)?;
    if certificate.version() != X509Version::V3 {
        return Err(EndorsementError::Version);
    }
    match certificate.basic_constraints() {
        Ok(Some(constraints)) if !constraints.value.ca => {}
        _ => return Err(EndorsementError::Authority),
    }
    if !has_purpose(&certificate, &ENDORSEMENT_PURPOSE) {
        return Err(EndorsementError::Purpose);
    }
    let tpm = TpmName::of(&certificate).map_err(|_| EndorsementError::TpmName)?;
    let modulus = rsa_2048(certificate.public_key()).ok_or(EndorsementError::Key)?;
    if certificate.key_usage().ok().flatten().is_some_and(|usage| !usage.value.key_encipherment()) {
        return Err(EndorsementError::Purpose);
    }
    roots.check(&CertificateDer::from(der), &[], now_ms).map_err(EndorsementError::Maker)?;
    Ok(EndorsementKey { modulus, tpm })
}

fn rsa_2048(key: &SubjectPublicKeyInfo<'_>) -> Option<[u8; MODULUS_BYTES]> {
    if !RSA.contains(&key.algorithm.algorithm) {
        return None;
    }
    let (rest, key) = RSAPublicKey::from_der(&key.subject_public_key.data).ok()?;
    // A zero before each highest bit that is set: these are signed integers.
    let (sign, modulus) = key.modulus.split_first()?;
    let modulus: &[u8; MODULUS_BYTES] = modulus.try_into().ok()?;
    let is_sound = rest.is_empty()
        && *sign == 0
        && modulus.first().is_some_and(|byte| byte & 0x80 != 0)
        && key.exponent == EXPONENT;
    is_sound.then_some(*modulus)
}
