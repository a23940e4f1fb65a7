//! Payment requests of `navigator.mozPay` (Mozilla's WebPaymentProvider): a JWT that a provider's shop signed. The user
//! authorizes exactly this text (networkOptions of AD), and the provider verifies it before anything is booked.
//!
//! JWS compact (RFC 7515 section 7.1), algorithms HS256 and ES256 (RFC 7518 section 3). HS256 the wallet can't verify: the
//! secret is the shop's and the provider's. Where the provider's keys came with a card, only ES256 by one of them is believed.
//!
//! Stricter than the RFCs: at most [`MAX_REQUEST_BYTES`]; base64url without stray bits; no attribute twice, no header
//! attribute but `alg`, `typ` and `kid`; numbers, wherever they stand, are integers in -2^53 ..= 2^53.

mod claims;

pub use claims::{MAX_CLOCK_AHEAD_S, MAX_LIFE_S, MozPayRequest, TimeProblem};

use crate::assertion::decode_base64url;
use crate::json::{Attributes, FieldError, Json};
use crate::provider::{MAX_KID, Provider};
use crate::text::check_shown;
use fwp_cose::{PublicKey, SignatureAlgorithm};

/// Most requests that a page may give at a time.
pub const MAX_REQUESTS: usize = 8;
/// Most bytes of one request.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Bytes of an HS256 signature (RFC 7518 section 3.2).
const HS256_BYTES: usize = 32;
/// Bytes of an ES256 signature, r and s (RFC 7518 section 3.4).
const ES256_BYTES: usize = 64;

/// Who can verify a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever has the secret, which is the shop and the provider.
    Hs256,
    /// ECDSA on P-256 with SHA-256: whoever has the public key.
    Es256,
}

/// What the wallet knows of a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is by a key of the provider's.
    Verified,
    /// The wallet can't tell: no key of the provider's came with the card.
    NotPossible,
}

/// A request that is not by a key of its provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongSignature {
    /// HS256, where the provider's keys came with the card: its requests are signed with those.
    #[error("it is signed with a shared secret (HS256), and those of this provider with its keys (ES256)")]
    Algorithm,
    /// It names a key that the provider does not have.
    #[error("it names a key (kid) that the provider's bank does not know")]
    UnknownKey,
    /// No key of the provider's made the signature.
    #[error("its signature (ES256) is not by a key of the provider's: it was forged or changed")]
    Invalid,
}

/// A JWS in its compact form, taken apart; nothing is verified.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Jws {
    text: String,
    /// Bytes of header and payload with the dot between: what is signed.
    signed: usize,
    algorithm: Algorithm,
    kid: Option<String>,
    signature: Vec<u8>,
}

impl Jws {
    /// Takes `text` apart: the JWS, and its payload, a JSON object. `path` names it in errors.
    fn parse(path: &str, text: &str) -> Result<(Self, Attributes), FieldError> {
        let invalid = |part: &str, rule: &dyn std::fmt::Display| {
            FieldError::invalid(
                if part.is_empty() { path.to_owned() } else { format!("{path}.{part}") },
                rule,
            )
        };
        if text.len() > MAX_REQUEST_BYTES {
            return Err(invalid("", &format_args!("it has more than {MAX_REQUEST_BYTES} bytes")));
        }
        let form = "it is not header.payload.signature (JWS compact)";
        let (signed, signature) = text.rsplit_once('.').ok_or_else(|| invalid("", &form))?;
        let (header, payload) = signed.split_once('.').ok_or_else(|| invalid("", &form))?;
        let decode = |part: &str, text: &str| {
            decode_base64url(text, MAX_REQUEST_BYTES).map_err(|error| invalid(part, &error))
        };
        let object = |part: &str, text: &str| {
            let json =
                String::from_utf8(decode(part, text)?).map_err(|_| invalid(part, &"it is not UTF-8"))?;
            Json::parse(&json).map_err(|error| invalid(part, &error))
        };

        let mut header = Attributes::of(format!("{path}.header"), object("header", header)?)?;
        let algorithm = header.parsed("alg", |alg| match alg {
            "HS256" => Ok(Algorithm::Hs256),
            "ES256" => Ok(Algorithm::Es256),
            _ => Err("it is HS256 or ES256"),
        })?;
        if header.has("typ") {
            header.parsed("typ", |typ| if typ == "JWT" { Ok(()) } else { Err("it is JWT") })?;
        }
        let kid = match header.has("kid") {
            true => Some(header.parsed("kid", |kid| check_shown(kid, MAX_KID).map(|()| kid.to_owned()))?),
            false => None,
        };
        header.finish()?;

        // The path of a claim is that of the request: requests[0].exp.
        let payload = Attributes::of(path, object("payload", payload)?)?;
        let signature = decode("signature", signature)?;
        let length = match algorithm {
            Algorithm::Hs256 => HS256_BYTES,
            Algorithm::Es256 => ES256_BYTES,
        };
        if signature.len() != length {
            return Err(invalid("signature", &format_args!("it must have {length} bytes")));
        }
        let jws = Self { text: text.to_owned(), signed: signed.len(), algorithm, kid, signature };
        Ok((jws, payload))
    }

    /// Verifies the signature with the provider's keys: the one that the request names, or else each.
    fn verify(&self, provider: &Provider) -> Result<Verification, WrongSignature> {
        if provider.keys.is_empty() {
            return Ok(Verification::NotPossible);
        }
        // The type says how its requests are signed, not their own header: else a forger would say HS256.
        if self.algorithm == Algorithm::Hs256 {
            return Err(WrongSignature::Algorithm);
        }
        let named = |kid: &String| self.kid.as_ref().is_none_or(|wanted| wanted == kid);
        let mut keys = provider.keys.iter().filter(|key| named(&key.kid)).peekable();
        if keys.peek().is_none() {
            return Err(WrongSignature::UnknownKey);
        }
        // r || s (RFC 7518 section 3.4) in the form that FIDO has them in.
        let der = p256::ecdsa::Signature::from_slice(&self.signature)
            .map_err(|_| WrongSignature::Invalid)?
            .to_der();
        let message = self.text.as_bytes().get(..self.signed).unwrap_or_default();
        let verified = keys.any(|key| {
            let key = PublicKey::P256(key.public_key.clone());
            fwp_cose::signature::verify(SignatureAlgorithm::Es256, &key, message, der.as_bytes()).is_ok()
        });
        if verified { Ok(Verification::Verified) } else { Err(WrongSignature::Invalid) }
    }
}

impl std::fmt::Debug for Jws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jws")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
