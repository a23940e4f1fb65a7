//! Certificates of a TPM's attestation keys (WebAuthn Level 2 section 8.3.1), and the name that a TPM has in them and in its maker's
//! certificate (TCG EK Credential Profile for TPM Family 2.0, section 3.2.9).

use crate::certificate::{CertificateError, check_model, check_usage, read_all};
use fwp_cose::PublicKey;
use fwp_cose::key::P256Key;
use x509_parser::asn1_rs::Oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name, X509Version};

/// tcg-at-tpmManufacturer, tcg-at-tpmModel, tcg-at-tpmVersion.
const MANUFACTURER: Oid<'static> = oid!(2.23.133.2.1);
const MODEL: Oid<'static> = oid!(2.23.133.2.2);
const VERSION: Oid<'static> = oid!(2.23.133.2.3);
/// tcg-kp-AIKCertificate.
const ATTESTATION_PURPOSE: Oid<'static> = oid!(2.23.133.8.3);
/// id-ecPublicKey, and secp256r1.
const EC_KEY: Oid<'static> = oid!(1.2.840.10045.2.1);
const P256: Oid<'static> = oid!(1.2.840.10045.3.1.7);
/// Most bytes of each part of a name; a limit of ours.
const MAX_NAME_BYTES: usize = 64;
/// Hexadecimal digits of a manufacturer behind `id:`.
const MANUFACTURER_DIGITS: usize = 8;

/// What a TPM's maker calls it: the same for all TPMs of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmName {
    /// `id:` and the maker's identifier in eight hexadecimal digits (TCG TPM Vendor ID Registry).
    pub manufacturer: String,
    /// The model, 1 to 64 bytes of printable ASCII.
    pub model: String,
    /// Its firmware's version, 1 to 64 bytes of printable ASCII; `id:` and hexadecimal digits mostly.
    pub version: String,
}

impl TpmName {
    /// The name in the subject alternative name of `certificate`: the one directoryName, with each part once.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let missing = CertificateError::TpmName("directoryName in a subject alternative name");
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Err(missing) };
        let mut names = extension.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DirectoryName(name) => Some(name),
            _ => None,
        });
        let (Some(name), None) = (names.next(), names.next()) else { return Err(missing) };
        let manufacturer = only(name, &MANUFACTURER).filter(|id| is_manufacturer(id));
        let (model, version) = (only(name, &MODEL), only(name, &VERSION));
        Ok(Self {
            manufacturer: manufacturer.ok_or(CertificateError::TpmName("TPM manufacturer"))?,
            model: model.ok_or(CertificateError::TpmName("TPM model"))?,
            version: version.ok_or(CertificateError::TpmName("TPM version"))?,
        })
    }
}

/// The one attribute of that type, as text.
fn only(name: &X509Name<'_>, kind: &Oid<'static>) -> Option<String> {
    let mut found = name.iter_by_oid(kind);
    let (Some(attribute), None) = (found.next(), found.next()) else { return None };
    let text = attribute.as_str().ok()?;
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (printable && (1..=MAX_NAME_BYTES).contains(&text.len())).then(|| text.to_owned())
}

fn is_manufacturer(text: &str) -> bool {
    text.strip_prefix("id:").is_some_and(|digits| {
        digits.len() == MANUFACTURER_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// Checks that `x5c` has certificates, the first of them one of a TPM's attestation key (section 8.3.1), and for the model
/// `aaguid` if it names one. Returns the attestation key, and the name of the TPM. Who signed them is not asked here.
///
/// # Errors
/// [`CertificateError`], all but [`CertificateError::Subject`] and [`CertificateError::Algorithm`].
pub fn check_tpm_certificates(
    x5c: &[Vec<u8>],
    aaguid: &[u8; 16],
) -> Result<(PublicKey, TpmName), CertificateError> {
    let leaf = read_all(x5c)?;
    if leaf.version() != X509Version::V3 {
        return Err(CertificateError::Version);
    }
    if leaf.subject().iter().next().is_some() {
        return Err(CertificateError::NamedSubject);
    }
    let name = TpmName::of(&leaf)?;
    // RFC 5280 section 4.1.2.6: there is no other name of the subject.
    if !leaf.subject_alternative_name().ok().flatten().is_some_and(|extension| extension.critical) {
        return Err(CertificateError::TpmName("critical subject alternative name"));
    }
    if !has_purpose(&leaf, &ATTESTATION_PURPOSE) {
        return Err(CertificateError::Purpose);
    }
    match leaf.basic_constraints() {
        Ok(Some(constraints)) if !constraints.value.ca => {}
        _ => return Err(CertificateError::Authority),
    }
    check_usage(&leaf)?;
    check_model(&leaf, aaguid)?;
    let key = p256_key(leaf.public_key()).ok_or(CertificateError::AttestationKey)?;
    Ok((PublicKey::P256(key), name))
}

/// Whether the certificate's extended key usage has this purpose.
pub(crate) fn has_purpose(certificate: &X509Certificate<'_>, purpose: &Oid<'static>) -> bool {
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_some_and(|usage| usage.value.other.contains(purpose))
}

fn p256_key(key: &SubjectPublicKeyInfo<'_>) -> Option<P256Key> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    let is_p256 = key.algorithm.algorithm == EC_KEY && curve == P256;
    is_p256.then(|| P256Key::from_sec1(&key.subject_public_key.data).ok()).flatten()
}
