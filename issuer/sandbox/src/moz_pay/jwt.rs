//! Signing and verifying JWTs (RFC 7519), with one algorithm a key.

use crate::error::SandboxError;
use fwp::json::FieldError;
use fwp::moz_pay::MAX_CLOCK_AHEAD_S;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;

/// Signs JWTs.
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

/// Verifies JWTs.
pub struct Checker {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a JWT is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// It is malformed.
    #[error("{0}")]
    Form(String),
    /// Its algorithm is not the one that its type is signed with.
    #[error("it is not signed with the algorithm that its type wants")]
    Algorithm,
    /// It names a key that there is not.
    #[error("it names a key (kid) that is not known")]
    Key,
    /// It is of another type.
    #[error("its typ is not one that is taken here")]
    Type,
    /// It is by somebody else.
    #[error("its iss is not known here")]
    Issuer,
    /// It is for somebody else.
    #[error("its aud is somebody else")]
    Audience,
    /// It was not signed with the right key, or was changed.
    #[error("its signature is wrong: it was forged or changed")]
    Signature,
    /// Its time is over.
    #[error("it has expired (exp)")]
    Expired,
    /// Its time has not come.
    #[error("it is not valid yet (iat or nbf is in the future)")]
    NotYetValid,
}

impl JwtRefusal {
    /// A word for programs that stays the same from version to version.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "jwt-form",
            Self::Algorithm => "jwt-algorithm",
            Self::Key => "jwt-key",
            Self::Type => "jwt-type",
            Self::Issuer => "jwt-issuer",
            Self::Audience => "jwt-audience",
            Self::Signature => "jwt-signature",
            Self::Expired => "jwt-expired",
            Self::NotYetValid => "jwt-not-yet-valid",
        }
    }
}

impl From<FieldError> for JwtRefusal {
    fn from(error: FieldError) -> Self {
        if error.field.ends_with(".header.alg") { Self::Algorithm } else { Self::Form(error.to_string()) }
    }
}

impl Signer {
    /// HS256 with a shared secret.
    pub fn hs256(secret: &[u8]) -> Self {
        Self { header: Header::new(Algorithm::HS256), key: EncodingKey::from_secret(secret) }
    }

    /// ES256 with a private key (PKCS #8) of that name.
    pub fn es256(pkcs8: &[u8], kid: &str) -> Self {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
        Self { header, key: EncodingKey::from_ec_der(pkcs8) }
    }

    /// A JWT with these claims.
    ///
    /// # Errors
    /// [`SandboxError::Jwt`].
    pub fn sign(&self, claims: &Value) -> Result<String, SandboxError> {
        Ok(jsonwebtoken::encode(&self.header, claims, &self.key)?)
    }
}

impl Checker {
    /// HS256 with a shared secret.
    pub fn hs256(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// ES256 with a public key (SEC 1, uncompressed).
    pub fn es256(sec1: &[u8]) -> Self {
        Self { algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(sec1) }
    }

    /// The claims of `jwt`, if it is signed with this key and algorithm, by `issuer` for `audience`, and its time is now: `now_s`
    /// (seconds since 1970) for `iat`, the system's clock for `exp` and `nbf`, without leeway.
    ///
    /// # Errors
    /// [`JwtRefusal`].
    pub fn check(&self, jwt: &str, issuer: &str, audience: &str, now_s: i64) -> Result<Value, JwtRefusal> {
        let mut validation = Validation::new(self.algorithm);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        let checked = jsonwebtoken::decode::<Value>(jwt, &self.key, &validation);
        let claims = checked.map_err(|error| refusal(error.kind()))?.claims;
        match claims.get("iat").and_then(Value::as_i64) {
            None => Err(JwtRefusal::Form("iat is missing, or no whole number of seconds".to_owned())),
            Some(iat) if iat > now_s.saturating_add(MAX_CLOCK_AHEAD_S) => Err(JwtRefusal::NotYetValid),
            Some(_) => Ok(claims),
        }
    }
}

fn refusal(kind: &ErrorKind) -> JwtRefusal {
    match kind {
        ErrorKind::InvalidSignature => JwtRefusal::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => JwtRefusal::Algorithm,
        ErrorKind::ExpiredSignature => JwtRefusal::Expired,
        ErrorKind::ImmatureSignature => JwtRefusal::NotYetValid,
        ErrorKind::InvalidIssuer => JwtRefusal::Issuer,
        ErrorKind::InvalidAudience => JwtRefusal::Audience,
        // An unknown or no algorithm is malformed to the library.
        other => JwtRefusal::Form(format!("it is no JWT that can be read: {other:?}")),
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.header.alg).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
