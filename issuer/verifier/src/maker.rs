//! Who vouches for a new key: the key itself, its maker, or the TPM that it is in, by a chain of certificates that ends at a root
//! which the bank trusts (WebAuthn section 7.1 steps 20 and 21, RFC 5280).

use crate::attestation::AttestedKey;
use crate::certificate::read;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

/// How a new key was vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouched {
    /// By itself: whoever answered had the new private key. It says nothing of where that is kept.
    ByItself,
    /// By an attestation key with certificates. Whose they are is open until [`AttestedKey::check_maker`].
    ByMaker(MakerChain),
    /// By an attestation key of the TPM that the new key was made in and can't leave, with certificates by an authority that knows
    /// TPMs. Whether it is one that the bank trusts is open until [`AttestedKey::check_maker`]. The TPM vouches for the key, not for
    /// the program that uses it: AAGUID and flags are that program's own word.
    ByTpm(MakerChain),
}

/// The certificates that came with an attestation, which the first one's key has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakerChain(Vec<CertificateDer<'static>>);

impl MakerChain {
    pub(crate) fn new(x5c: Vec<Vec<u8>>) -> Self {
        Self(x5c.into_iter().map(CertificateDer::from).collect())
    }

    /// The certificates in DER, the attestation certificate first: 1 to
    /// [`MAX_CERTIFICATES`](crate::certificate::MAX_CERTIFICATES).
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }

    pub(crate) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.0.first()
    }
}

/// Why no maker that the bank knows vouches for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakerError {
    /// The key vouches for itself only.
    #[error("the key vouches for itself; only keys are taken that a known maker's certificate vouches for")]
    NoMaker,
    /// The certificates lead to none of the roots.
    #[error("the attestation certificate leads to none of the makers' roots that are trusted")]
    UnknownMaker,
    /// A certificate's time is over.
    #[error("a certificate of the attestation has expired")]
    Expired,
    /// A certificate's time has not come.
    #[error("a certificate of the attestation is not valid yet; check the clock")]
    NotYetValid,
    /// A certificate is used for what it is not for: one that is no authority's signed another, or one too many.
    #[error("a certificate of the attestation is used for what it is not meant for")]
    Usage,
    /// The chain can't be verified: an algorithm or a critical extension that is not known, or too many ways to go.
    #[error("the certificates of the attestation can't be verified")]
    Unverifiable,
}

impl MakerError {
    /// A word for programs that stays the same from version to version.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoMaker => "no-maker",
            Self::UnknownMaker => "unknown-maker",
            Self::Expired => "maker-expired",
            Self::NotYetValid => "maker-not-yet-valid",
            Self::Usage => "maker-usage",
            Self::Unverifiable => "maker-unverifiable",
        }
    }
}

/// Why something is no set of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// A certificate is malformed.
    #[error("certificate {0} (counted from 1) is no X.509 certificate in DER")]
    Certificate(usize),
    /// The PEM is malformed.
    #[error("PEM section {0} of the certificates (counted from 1) is malformed")]
    Pem(usize),
    /// There is no certificate.
    #[error("there is no certificate in it")]
    Empty,
}

/// The roots that the bank trusts to vouch for keys, such as `attestationRootCertificates` of the FIDO Metadata Service.
/// What is in here is trusted whatever its dates say; the list is the bank's to keep up.
#[derive(Clone, Debug)]
pub struct AttestationRoots {
    authorities: Vec<TrustAnchor<'static>>,
    /// Attestation certificates that are trusted by themselves, as the Metadata Service lists some.
    leaves: Vec<CertificateDer<'static>>,
}

impl AttestationRoots {
    /// Roots in DER.
    ///
    /// # Errors
    /// [`RootsError::Certificate`], [`RootsError::Empty`].
    pub fn from_der<'a>(roots: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, RootsError> {
        let mut all = Self { authorities: Vec::new(), leaves: Vec::new() };
        for (at, der) in (1..).zip(roots) {
            all.add(der).ok_or(RootsError::Certificate(at))?;
        }
        if all.authorities.is_empty() && all.leaves.is_empty() {
            return Err(RootsError::Empty);
        }
        Ok(all)
    }

    /// Roots in PEM; what is no certificate in it is passed over.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = Vec::new();
        for (at, root) in (1..).zip(CertificateDer::pem_slice_iter(pem)) {
            roots.push(root.map_err(|_| RootsError::Pem(at))?);
        }
        Self::from_der(roots.iter().map(AsRef::as_ref))
    }

    /// Checks that `leaf`, with the help of `others`, leads to one of these roots at `now_ms`.
    pub(crate) fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now_ms: i64,
    ) -> Result<(), MakerError> {
        let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
        if self.leaves.contains(leaf) {
            return check_validity(leaf, now);
        }
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &self.authorities,
                    others,
                    UnixTime::since_unix_epoch(now),
                    AnyPurpose,
                    None,
                    Some(&may_sign_certificates),
                )
                .map(|_| ())
            })
            .map_err(|error| maker_error(&error))
    }

    fn add(&mut self, der: &[u8]) -> Option<()> {
        let certificate = read(der)?;
        // Version 1 has no basic constraints to say it.
        let is_authority = certificate.is_ca() || certificate.version() == X509Version::V1;
        let der = CertificateDer::from(der.to_vec());
        if is_authority {
            self.authorities.push(webpki::anchor_from_trusted_cert(&der).ok()?.to_owned());
        } else {
            // As an anchor it could sign others.
            self.leaves.push(der);
        }
        Some(())
    }
}

impl AttestedKey {
    /// Checks that a maker whom the bank knows, or an authority that certifies TPMs' keys, vouches for this key: the certificates lead
    /// to one of `roots`, each is valid at `now_ms` (milliseconds since 1970), and each was allowed to sign the one before. Revocation
    /// is not looked up.
    ///
    /// A maker's root vouches for all of its models: to rely on [`AttestedKey::aaguid`], give the roots that the Metadata
    /// Service lists for it.
    ///
    /// # Errors
    /// [`MakerError`], by cause.
    pub fn check_maker(&self, roots: &AttestationRoots, now_ms: i64) -> Result<(), MakerError> {
        let (Vouched::ByMaker(chain) | Vouched::ByTpm(chain)) = &self.vouched else {
            return Err(MakerError::NoMaker);
        };
        let (leaf, others) = chain.0.split_first().ok_or(MakerError::NoMaker)?;
        roots.check(leaf, others, now_ms)
    }
}

fn check_validity(leaf: &[u8], now: Duration) -> Result<(), MakerError> {
    let leaf = read(leaf).ok_or(MakerError::Unverifiable)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let now = now.ok_or(MakerError::Unverifiable)?;
    if now < leaf.validity().not_before {
        return Err(MakerError::NotYetValid);
    }
    if now > leaf.validity().not_after {
        return Err(MakerError::Expired);
    }
    Ok(())
}

/// WebAuthn asks for no extended key usage, and has none of its own for this.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}

/// webpki looks at basic constraints alone; an authority's key usage may leave out signing certificates.
fn may_sign_certificates(path: &VerifiedPath<'_>) -> Result<(), Error> {
    let may = |authority: &X509Certificate<'_>| match authority.key_usage() {
        Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
        Err(_) => false,
    };
    let all =
        path.intermediate_certificates().all(|authority| read(&authority.der()).as_ref().is_some_and(may));
    if all { Ok(()) } else { Err(Error::EndEntityUsedAsCa) }
}

fn maker_error(error: &Error) -> MakerError {
    match error {
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => MakerError::UnknownMaker,
        Error::CertExpired { .. } => MakerError::Expired,
        Error::CertNotValidYet { .. } => MakerError::NotYetValid,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::PathLenConstraintViolated
        | Error::NameConstraintViolation => MakerError::Usage,
        _ => MakerError::Unverifiable,
    }
}
