//! Certification of a TPM's attestation key, so that a bank can verify what the key says (WebAuthn Level 2 section 8.3). A
//! certification authority makes sure that the key is in a TPM by a maker whom it knows, by TPM2_MakeCredential and
//! TPM2_ActivateCredential (TPM 2.0 Library, Part 1, section 24). Two questions and two answers:
//!
//! 1. [`CertificationRequest`], wallet to authority: the maker's certificate of the endorsement key, and the attestation key.
//! 2. [`CredentialChallenge`], authority to wallet: a secret that this TPM alone can open, for that attestation key alone.
//! 3. [`ActivatedCredential`], wallet to authority: the secret.
//! 4. [`IssuedCertificates`], authority to wallet: the attestation key's certificate, and those it leads to.
//!
//! JSON throughout, binary as base64url without padding; unknown attributes are refused. Both questions go to one address;
//! [`CertificationQuestion`] tells them apart.

use crate::assertion::decode_base64url;
use crate::json::{Attributes, FieldError, Json};
use data_encoding::BASE64URL_NOPAD;
use std::fmt;
use std::ops::RangeInclusive;
use zeroize::Zeroizing;

/// Version of the four messages.
pub const CERTIFICATION_VERSION: &str = "fwpd-certification/1";
/// Most bytes of one certificate in DER.
pub const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;
/// Most certificates that an authority answers with.
pub const MAX_CERTIFICATES: usize = 8;
/// Most bytes of the attestation key's TPMT_PUBLIC.
pub const MAX_ATTESTATION_KEY_BYTES: usize = 512;
/// Most bytes of the contents of TPM2B_ID_OBJECT and of TPM2B_ENCRYPTED_SECRET, each.
pub const MAX_CREDENTIAL_BYTES: usize = 1024;
/// Most bytes of the secret: a TPM with SHA-256 opens no more.
pub const MAX_SECRET_BYTES: usize = 32;
/// Bytes of the name of an exchange.
const CHALLENGE_BYTES: RangeInclusive<usize> = 16..=64;
/// Most bytes of a message as JSON; eight of the longest certificates fit in.
pub const MAX_MESSAGE_BYTES: usize = 2 * MAX_CERTIFICATES * MAX_CERTIFICATE_BYTES;

/// Asks for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificationRequest {
    /// Of the endorsement key, by the TPM's maker: X.509 in DER, 1 to [`MAX_CERTIFICATE_BYTES`].
    pub endorsement_certificate: Vec<u8>,
    /// The attestation key: TPMT_PUBLIC, 1 to [`MAX_ATTESTATION_KEY_BYTES`].
    pub attestation_key: Vec<u8>,
}

/// What the TPM has to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChallenge {
    /// Names this exchange; fresh from the authority, 16 to 64 bytes.
    pub challenge: Vec<u8>,
    /// Contents of TPM2B_ID_OBJECT (Part 2, section 12.4.3), 1 to [`MAX_CREDENTIAL_BYTES`].
    pub credential_blob: Vec<u8>,
    /// Contents of TPM2B_ENCRYPTED_SECRET (Part 2, section 11.4.3), 1 to [`MAX_CREDENTIAL_BYTES`].
    pub encrypted_secret: Vec<u8>,
}

/// Shows that the TPM opened it.
#[derive(Clone, PartialEq, Eq)]
pub struct ActivatedCredential {
    /// Of the [`CredentialChallenge`].
    pub challenge: Vec<u8>,
    /// What was in it, 1 to [`MAX_SECRET_BYTES`]. Compare it in constant time.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for ActivatedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActivatedCredential").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

/// What the authority gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificates {
    /// X.509 in DER, the attestation key's first: 1 to [`MAX_CERTIFICATES`], each of 1 to [`MAX_CERTIFICATE_BYTES`].
    pub certificates: Vec<Vec<u8>>,
}

/// What a wallet sends to an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificationQuestion {
    /// The first question.
    Request(CertificationRequest),
    /// The second: it has a `challenge`.
    Activated(ActivatedCredential),
}

impl CertificationRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::read(message("certificationRequest", text)?)
    }

    fn read(mut request: Attributes) -> Result<Self, FieldError> {
        let parsed = Self {
            endorsement_certificate: bytes(
                &mut request,
                "endorsementCertificate",
                1..=MAX_CERTIFICATE_BYTES,
            )?,
            attestation_key: bytes(&mut request, "attestationKey", 1..=MAX_ATTESTATION_KEY_BYTES)?,
        };
        request.finish()?;
        Ok(parsed)
    }

    /// The request as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": CERTIFICATION_VERSION,
            "endorsementCertificate": BASE64URL_NOPAD.encode(&self.endorsement_certificate),
            "attestationKey": BASE64URL_NOPAD.encode(&self.attestation_key),
        })
    }
}

impl CredentialChallenge {
    /// Reads a challenge.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let mut challenge = message("credentialChallenge", text)?;
        let parsed = Self {
            challenge: bytes(&mut challenge, "challenge", CHALLENGE_BYTES)?,
            credential_blob: bytes(&mut challenge, "credentialBlob", 1..=MAX_CREDENTIAL_BYTES)?,
            encrypted_secret: bytes(&mut challenge, "encryptedSecret", 1..=MAX_CREDENTIAL_BYTES)?,
        };
        challenge.finish()?;
        Ok(parsed)
    }

    /// The challenge as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": CERTIFICATION_VERSION,
            "challenge": BASE64URL_NOPAD.encode(&self.challenge),
            "credentialBlob": BASE64URL_NOPAD.encode(&self.credential_blob),
            "encryptedSecret": BASE64URL_NOPAD.encode(&self.encrypted_secret),
        })
    }
}

impl ActivatedCredential {
    /// Reads an opened credential.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        Self::read(message("activatedCredential", text)?)
    }

    fn read(mut activated: Attributes) -> Result<Self, FieldError> {
        let parsed = Self {
            challenge: bytes(&mut activated, "challenge", CHALLENGE_BYTES)?,
            secret: Zeroizing::new(bytes(&mut activated, "secret", 1..=MAX_SECRET_BYTES)?),
        };
        activated.finish()?;
        Ok(parsed)
    }

    /// The opened credential as JSON. It has the secret, which is good for this one exchange.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": CERTIFICATION_VERSION,
            "challenge": BASE64URL_NOPAD.encode(&self.challenge),
            "secret": BASE64URL_NOPAD.encode(&self.secret),
        })
    }
}

impl IssuedCertificates {
    /// Reads certificates. What is in them is not looked at.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let mut issued = message("issuedCertificates", text)?;
        let path = issued.path("certificates");
        let entries = issued.array("certificates")?;
        if !(1..=MAX_CERTIFICATES).contains(&entries.len()) {
            let rule = format!("it must have 1 to {MAX_CERTIFICATES} entries");
            return Err(FieldError::invalid(path, rule));
        }
        let certificate = |(index, entry): (usize, Json)| {
            let field = format!("{path}[{index}]");
            let Json::Text(text) = entry else { return Err(FieldError::not_a(field, "a string")) };
            bounded(&text, 1..=MAX_CERTIFICATE_BYTES).map_err(|rule| FieldError::invalid(field, rule))
        };
        let certificates = entries.into_iter().enumerate().map(certificate).collect::<Result<_, _>>()?;
        issued.finish()?;
        Ok(Self { certificates })
    }

    /// The certificates as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let certificates = self.certificates.iter().map(|der| BASE64URL_NOPAD.encode(der));
        serde_json::json!({
            "version": CERTIFICATION_VERSION,
            "certificates": certificates.collect::<Vec<_>>(),
        })
    }
}

impl CertificationQuestion {
    /// Reads either question.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let question = message("certification", text)?;
        if question.has("challenge") {
            ActivatedCredential::read(question).map(Self::Activated)
        } else {
            CertificationRequest::read(question).map(Self::Request)
        }
    }
}

/// The attributes of a message of ours, without its version.
fn message(path: &str, text: &str) -> Result<Attributes, FieldError> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(FieldError::invalid(path, format_args!("it has more than {MAX_MESSAGE_BYTES} bytes")));
    }
    let mut attributes = Attributes::parse(path, text)?;
    attributes.parsed("version", |version| {
        if version == CERTIFICATION_VERSION {
            Ok(())
        } else {
            Err(format!("only {CERTIFICATION_VERSION} is known"))
        }
    })?;
    Ok(attributes)
}

fn bytes(
    attributes: &mut Attributes,
    name: &str,
    length: RangeInclusive<usize>,
) -> Result<Vec<u8>, FieldError> {
    attributes.parsed(name, |text| bounded(text, length))
}

fn bounded(text: &str, length: RangeInclusive<usize>) -> Result<Vec<u8>, String> {
    let bytes = decode_base64url(text, *length.end())?;
    if length.contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(format!("it must have {} to {} bytes", length.start(), length.end()))
    }
}
