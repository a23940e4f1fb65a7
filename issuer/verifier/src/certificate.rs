//! Attestation certificates (WebAuthn section 8.2.1): what one must say, and the signatures of its key. Those of a TPM's keys have
//! other names and purposes: [`crate::tpm_certificate`].

use crate::error::Refusal;
use fwp_cose::{SignatureAlgorithm, SignatureError};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;
use x509_parser::asn1_rs::{OctetString, Oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

/// Most certificates in `x5c`.
pub const MAX_CERTIFICATES: usize = 8;
/// Most bytes of one certificate in `x5c`.
pub const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;
/// What the subject's OU of every attestation certificate is.
const UNIT: &str = "Authenticator Attestation";
/// id-fido-gen-ce-aaguid: the model that the certificate is for.
const AAGUID: Oid<'static> = oid!(1.3.6.1.4.1.45724.1.1.4);

/// What is wrong with the certificates of an attestation, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// None, or too many.
    #[error("x5c has {found} certificates; 1 to {MAX_CERTIFICATES} are taken")]
    Count {
        /// How many there are.
        found: usize,
    },
    /// Too long.
    #[error("certificate {at} of x5c has {bytes} bytes; at most {MAX_CERTIFICATE_BYTES} are taken")]
    Length {
        /// Which one; 0 is the attestation certificate.
        at: usize,
        /// Its length.
        bytes: usize,
    },
    /// Not DER of an X.509 certificate, or with an extension that is malformed, there twice, or critical and unknown.
    #[error("certificate {at} of x5c is malformed, or has a critical extension that is not known")]
    Malformed {
        /// Which one; 0 is the attestation certificate.
        at: usize,
    },
    /// The attestation certificate is not X.509 version 3.
    #[error("the attestation certificate is not of X.509 version 3")]
    Version,
    /// The attestation certificate's subject is not as section 8.2.1 says.
    #[error(
        "the attestation certificate's subject has no {0}, several, or not what WebAuthn section 8.2.1 says"
    )]
    Subject(&'static str),
    /// The certificate of a TPM's attestation key names a subject (section 8.3.1).
    #[error("the certificate of the TPM's attestation key has a subject; WebAuthn section 8.3.1 wants none")]
    NamedSubject,
    /// The certificate of a TPM's attestation key does not name the TPM as section 8.3.1 says.
    #[error("the certificate of the TPM's attestation key has no {0}, several, or a malformed one")]
    TpmName(&'static str),
    /// The certificate is not for a TPM's attestation key (section 8.3.1).
    #[error(
        "the certificate's extended key usage leaves out a TPM's attestation key (tcg-kp-AIKCertificate)"
    )]
    Purpose,
    /// The certificate of a TPM's attestation key has another kind of key.
    #[error("the certificate of the TPM's attestation key has no key on P-256")]
    AttestationKey,
    /// The attestation certificate is a certificate authority's, or (section 8.3.1) does not say that it is none.
    #[error("the attestation certificate is a certificate authority's, or does not say that it is none")]
    Authority,
    /// The attestation certificate's key is not for signatures (its key usage says so).
    #[error("the attestation certificate's key usage leaves out digital signatures")]
    Usage,
    /// id-fido-gen-ce-aaguid is critical, or not 16 bytes in an octet string.
    #[error("the attestation certificate's extension id-fido-gen-ce-aaguid is critical or malformed")]
    ModelForm,
    /// The attestation certificate is for another model.
    #[error("the attestation certificate is for authenticators with another AAGUID than the one in authData")]
    Model,
    /// The attestation is signed with an algorithm that is not verified here.
    #[error("the attestation is signed with COSE algorithm {0}; ES256, EdDSA and RS256 are taken")]
    Algorithm(i64),
}

impl CertificateError {
    /// A word for programs that stays the same from version to version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } | Self::Length { .. } | Self::Malformed { .. } => "attestation-certificates",
            Self::Version
            | Self::Subject(_)
            | Self::NamedSubject
            | Self::TpmName(_)
            | Self::Purpose
            | Self::AttestationKey
            | Self::Authority
            | Self::Usage => "attestation-certificate",
            Self::ModelForm | Self::Model => "attestation-model",
            Self::Algorithm(_) => "attestation-algorithm",
        }
    }
}

/// Checks that `x5c` has certificates, the first of them an attestation certificate (section 8.2.1) for the model
/// `aaguid`. Who signed them is not asked here.
///
/// # Errors
/// [`CertificateError`], all but [`CertificateError::Algorithm`] and those of TPMs.
pub fn check_certificates(x5c: &[Vec<u8>], aaguid: &[u8; 16]) -> Result<(), CertificateError> {
    check_leaf(&read_all(x5c)?, aaguid)
}

/// Reads all certificates of `x5c`, and returns the first.
pub(crate) fn read_all(x5c: &[Vec<u8>]) -> Result<X509Certificate<'_>, CertificateError> {
    if x5c.len() > MAX_CERTIFICATES {
        return Err(CertificateError::Count { found: x5c.len() });
    }
    for (at, der) in x5c.iter().enumerate() {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::Length { at, bytes: der.len() });
        }
        read(der).ok_or(CertificateError::Malformed { at })?;
    }
    let leaf = x5c.first().ok_or(CertificateError::Count { found: 0 })?;
    read(leaf).ok_or(CertificateError::Malformed { at: 0 })
}

/// Reads a certificate to its last byte, with all its extensions.
pub(crate) fn read(der: &[u8]) -> Option<X509Certificate<'_>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    // Malformed extensions are kept as such, and the getters would say that they are not there.
    let is_malformed =
        |extension: &ParsedExtension<'_>| matches!(extension, ParsedExtension::ParseError { .. });
    let sound = rest.is_empty()
        && certificate.extensions_map().is_ok()
        && !certificate.iter_extensions().any(|extension| is_malformed(extension.parsed_extension()));
    sound.then_some(certificate)
}

fn check_leaf(leaf: &X509Certificate<'_>, aaguid: &[u8; 16]) -> Result<(), CertificateError> {
    if leaf.version() != X509Version::V3 {
        return Err(CertificateError::Version);
    }
    let subject = leaf.subject();
    // ISO 3166: two letters.
    only("C", subject.iter_country(), |country| {
        country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic())
    })?;
    only("O", subject.iter_organization(), |name| !name.is_empty())?;
    only("OU", subject.iter_organizational_unit(), |unit| unit == UNIT)?;
    only("CN", subject.iter_common_name(), |name| !name.is_empty())?;
    // Without basic constraints it is no authority's either (RFC 5280 section 4.2.1.9), and such ones are sold.
    if leaf.is_ca() {
        return Err(CertificateError::Authority);
    }
    check_usage(leaf)?;
    check_model(leaf, aaguid)
}

/// Checks that the key is for signatures, if its usage is limited at all.
pub(crate) fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let is_left_out = leaf.key_usage().ok().flatten().is_some_and(|usage| !usage.value.digital_signature());
    if is_left_out { Err(CertificateError::Usage) } else { Ok(()) }
}

/// Checks that the certificate is for the model `aaguid`, if it is for one.
pub(crate) fn check_model(leaf: &X509Certificate<'_>, aaguid: &[u8; 16]) -> Result<(), CertificateError> {
    let Some(model) = leaf.iter_extensions().find(|extension| extension.oid == AAGUID) else { return Ok(()) };
    if model.critical {
        return Err(CertificateError::ModelForm);
    }
    match OctetString::from_der(model.value) {
        Ok(([], named)) if named.as_ref() == aaguid => Ok(()),
        Ok(([], named)) if named.as_ref().len() == aaguid.len() => Err(CertificateError::Model),
        _ => Err(CertificateError::ModelForm),
    }
}

/// Checks that a subject has one such attribute and that it is `good`.
fn only<'a>(
    name: &'static str,
    mut attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>,
    good: impl Fn(&str) -> bool,
) -> Result<(), CertificateError> {
    match (attributes.next().map(AttributeTypeAndValue::as_str), attributes.next()) {
        (Some(Ok(value)), None) if good(value) => Ok(()),
        _ => Err(CertificateError::Subject(name)),
    }
}

/// Verifies `signature` over `message` with the key of the attestation certificate `leaf`; `algorithm` is COSE's number.
///
/// # Errors
/// [`Refusal::Certificate`], [`Refusal::Signature`].
pub(crate) fn verify_signature(
    leaf: &CertificateDer<'_>,
    algorithm: i64,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refusal> {
    let algorithm = SignatureAlgorithm::from_id(algorithm).ok_or(CertificateError::Algorithm(algorithm))?;
    let verifier: &dyn SignatureVerificationAlgorithm = match algorithm {
        SignatureAlgorithm::Es256 => webpki::aws_lc_rs::ECDSA_P256_SHA256,
        SignatureAlgorithm::Ed25519 => webpki::aws_lc_rs::ED25519,
        SignatureAlgorithm::Rs256 => webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    };
    let leaf = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::Malformed { at: 0 })?;
    leaf.verify_signature(verifier, message, signature).map_err(|error| match error {
        webpki::Error::InvalidSignatureForPublicKey => SignatureError::Invalid.into(),
        _ => SignatureError::KeyMismatch.into(),
    })
}
