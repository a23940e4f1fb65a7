//! Enrollment (FIDO Web Pay section 5 leaves it open; protocol section 8 gives the outline). Three messages:
//!
//! 1. **Offer**, bank to wallet: for which rpId a FIDO key is to be made, a challenge, and where the attestation goes.
//! 2. **Attestation**, wallet to bank: the key's WebAuthn attestation object over [`client_data_hash`].
//! 3. **Cards**, bank to wallet: `[{credentialId, cardData, providers}]`, cardData being labels 6 to 14 of a credential,
//!    providers (optional) those that book payments with it for pages that ask by signed requests.
//!
//! JSON throughout, binary as base64url without padding; unknown attributes are refused.

use crate::assertion::decode_base64url;
use crate::credential::{CardData, CredentialId, MAX_CARD_IMAGE_BYTES, MAX_CREDENTIAL_ID_BYTES};
use crate::host::RpId;
use crate::json::{Attributes, FieldError, Json};
use crate::provider::Provider;
use crate::text::check_shown;
use data_encoding::BASE64URL_NOPAD;
use fwp_cose::SignatureAlgorithm;
use fwp_cose::cbor::{Map, Value};
use sha2::{Digest, Sha256};

/// Version of the three messages.
pub const ENROLLMENT_VERSION: &str = "fwpd-enrollment/1";
/// Most bytes of an offer as JSON.
pub const MAX_OFFER_BYTES: usize = 64 * 1024;
/// Most bytes of the cards as JSON.
pub const MAX_CARDS_BYTES: usize = 8 << 20;
/// Most cards for one key.
pub const MAX_CARDS: usize = 16;
/// Most bytes of an attestation object.
pub const MAX_ATTESTATION_BYTES: usize = 64 * 1024;
/// Most UTF-16 code units of rpName and userName.
const MAX_NAME: usize = 256;
/// Most bytes of one card's data.
const MAX_CARD_DATA_BYTES: usize = MAX_CARD_IMAGE_BYTES + 64 * 1024;

/// An offer to enroll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The issuer's relying party identifier. Whether the offer's origin may use it, its receiver has to check.
    pub rp_id: RpId,
    /// Name of the issuer, as it calls itself.
    pub rp_name: String,
    /// The issuer's handle of the user, 1 to 64 bytes (WebAuthn section 5.4.3).
    pub user_id: Vec<u8>,
    /// The user's name at the issuer.
    pub user_name: String,
    /// Fresh from the issuer, 16 to 64 bytes.
    pub challenge: Vec<u8>,
    /// Signature algorithms that the issuer verifies, best first; at least one.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Where the attestation is to be sent; on the offer's own origin. None when it goes by another way.
    pub attestation_url: Option<String>,
}

/// What the bank gets of a new FIDO key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The relying party that the key was made for.
    pub rp_id: RpId,
    /// The offer's challenge.
    pub challenge: Vec<u8>,
    /// Identifier of the new key.
    pub credential_id: CredentialId,
    /// WebAuthn attestation object (WebAuthn section 6.5.4): CBOR with fmt, attStmt and authData.
    pub attestation_object: Vec<u8>,
}

/// A card as issued for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCard {
    /// The key.
    pub credential_id: CredentialId,
    /// Labels 6 to 14.
    pub card: CardData,
    /// Its providers, at most [`crate::provider::MAX_PROVIDERS`] of different types.
    pub providers: Vec<Provider>,
}

/// `clientDataHash` of authenticatorMakeCredential: SHA-256 of the CBOR map `{1: version, 2: rpId, 3: challenge}`. No AD
/// can have this shape, so that neither can be taken for the other.
pub fn client_data_hash(rp_id: &RpId, challenge: &[u8]) -> [u8; 32] {
    let data = Map::new().with(1, ENROLLMENT_VERSION).with(2, rp_id.as_str()).with(3, challenge);
    Sha256::digest(Value::Map(data).encode()).into()
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        check_size("offer", text, MAX_OFFER_BYTES)?;
        let mut offer = Attributes::parse("offer", text)?;
        check_version(&mut offer)?;
        let name = |text: &str| check_shown(text, MAX_NAME).map(|()| text.to_owned());
        let parsed = Self {
            rp_id: offer.parsed("rpId", RpId::parse)?,
            rp_name: offer.parsed("rpName", name)?,
            user_id: offer.parsed("userId", |text| bounded_base64url(text, 1, 64))?,
            user_name: offer.parsed("userName", name)?,
            challenge: offer.parsed("challenge", |text| bounded_base64url(text, 16, 64))?,
            algorithms: read_algorithms(&mut offer)?,
            attestation_url: if offer.has("attestationUrl") {
                Some(
                    offer
                        .parsed("attestationUrl", |text| check_shown(text, 2048).map(|()| text.to_owned()))?,
                )
            } else {
                None
            },
        };
        offer.finish()?;
        Ok(parsed)
    }

    /// The offer as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "version": ENROLLMENT_VERSION,
            "rpId": self.rp_id.as_str(),
            "rpName": self.rp_name,
            "userId": BASE64URL_NOPAD.encode(&self.user_id),
            "userName": self.user_name,
            "challenge": BASE64URL_NOPAD.encode(&self.challenge),
            "algorithms": self.algorithms.iter().map(|algorithm| algorithm.id()).collect::<Vec<_>>(),
        });
        if let (Some(url), Some(object)) = (&self.attestation_url, json.as_object_mut()) {
            object.insert("attestationUrl".to_owned(), url.as_str().into());
        }
        json
    }

    /// `clientDataHash` for this offer's key.
    pub fn client_data_hash(&self) -> [u8; 32] {
        client_data_hash(&self.rp_id, &self.challenge)
    }
}

impl Attestation {
    /// Reads an attestation.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        check_size("attestation", text, 2 * MAX_ATTESTATION_BYTES)?;
        let mut attestation = Attributes::parse("attestation", text)?;
        check_version(&mut attestation)?;
        let parsed = Self {
            rp_id: attestation.parsed("rpId", RpId::parse)?,
            challenge: attestation.parsed("challenge", |text| bounded_base64url(text, 16, 64))?,
            credential_id: read_credential_id(&mut attestation)?,
            attestation_object: attestation
                .parsed("attestationObject", |text| bounded_base64url(text, 1, MAX_ATTESTATION_BYTES))?,
        };
        attestation.finish()?;
        Ok(parsed)
    }

    /// The attestation as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "version": ENROLLMENT_VERSION,
            "rpId": self.rp_id.as_str(),
            "challenge": BASE64URL_NOPAD.encode(&self.challenge),
            "credentialId": BASE64URL_NOPAD.encode(self.credential_id.as_bytes()),
            "attestationObject": BASE64URL_NOPAD.encode(&self.attestation_object),
        })
    }
}

impl IssuedCard {
    /// Reads the cards that a bank answers with: 1 to [`MAX_CARDS`].
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn parse_all(text: &str) -> Result<Vec<Self>, FieldError> {
        check_size("cards", text, MAX_CARDS_BYTES)?;
        let Json::Array(entries) = Json::parse(text).map_err(|error| FieldError::invalid("cards", error))?
        else {
            return Err(FieldError::not_a("cards", "an array"));
        };
        if !(1..=MAX_CARDS).contains(&entries.len()) {
            return Err(FieldError::invalid("cards", format_args!("it must have 1 to {MAX_CARDS} entries")));
        }
        entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| Self::from_json(Attributes::of(format!("cards[{index}]"), entry)?))
            .collect()
    }

    fn from_json(mut entry: Attributes) -> Result<Self, FieldError> {
        let credential_id = read_credential_id(&mut entry)?;
        let card = entry.parsed("cardData", |text| {
            let cbor = decode_base64url(text, MAX_CARD_DATA_BYTES)?;
            CardData::decode(&cbor).map_err(|error| error.to_string())
        })?;
        let path = entry.path("providers");
        let providers =
            entry.optional("providers").map_or(Ok(Vec::new()), |value| Provider::parse_all(&path, value))?;
        entry.finish()?;
        Ok(Self { credential_id, card, providers })
    }

    /// The entry as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({
            "credentialId": BASE64URL_NOPAD.encode(self.credential_id.as_bytes()),
            "cardData": BASE64URL_NOPAD.encode(&self.card.encode()),
        });
        if let (false, Some(object)) = (self.providers.is_empty(), json.as_object_mut()) {
            object.insert("providers".to_owned(), self.providers.iter().map(Provider::to_json).collect());
        }
        json
    }
}

fn check_size(what: &str, text: &str, max: usize) -> Result<(), FieldError> {
    if text.len() <= max {
        Ok(())
    } else {
        Err(FieldError::invalid(what, format_args!("it has more than {max} bytes")))
    }
}

fn check_version(attributes: &mut Attributes) -> Result<(), FieldError> {
    attributes.parsed("version", |version| {
        if version == ENROLLMENT_VERSION {
            Ok(())
        } else {
            Err(format!("only {ENROLLMENT_VERSION} is known"))
        }
    })
}

fn read_credential_id(attributes: &mut Attributes) -> Result<CredentialId, FieldError> {
    attributes.parsed("credentialId", |text| {
        let bytes = decode_base64url(text, MAX_CREDENTIAL_ID_BYTES)?;
        CredentialId::new(bytes).map_err(|error| error.to_string())
    })
}

fn read_algorithms(offer: &mut Attributes) -> Result<Vec<SignatureAlgorithm>, FieldError> {
    let path = offer.path("algorithms");
    let mut algorithms = Vec::new();
    for (index, entry) in offer.array("algorithms")?.into_iter().enumerate() {
        let field = format!("{path}[{index}]");
        let Json::Int(id) = entry else {
            return Err(FieldError::not_a(field, "an integer"));
        };
        match SignatureAlgorithm::from_id(id) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            _ => return Err(FieldError::invalid(field, "it must be one of -7, -8 and -257, each once")),
        }
    }
    if algorithms.is_empty() {
        Err(FieldError::invalid(path, "it must not be empty"))
    } else {
        Ok(algorithms)
    }
}

fn bounded_base64url(text: &str, min: usize, max: usize) -> Result<Vec<u8>, String> {
    let bytes = decode_base64url(text, max)?;
    if bytes.len() < min { Err(format!("it must have {min} to {max} bytes")) } else { Ok(bytes) }
}
