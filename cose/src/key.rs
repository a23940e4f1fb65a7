//! COSE public keys with their core members only (protocol section 3): EC2 P-256 `{1: 2, -1: 1, -2: x, -3: y}`, OKP
//! `{1: 1, -1: crv, -2: x}` for Ed25519 and X25519, RSA `{1: 3, -1: n, -2: e}`. Each is valid by construction: points
//! are on their curve, RSA moduli have no leading zero and 2048 to 4096 bits.

use crate::algorithm::SignatureAlgorithm;
use crate::cbor::{Fields, Map, SchemaError, Value};

use sha2::{Digest, Sha256};
use std::fmt;

const KTY: i64 = 1;
const ALG: i64 = 3;
const KTY_OKP: i64 = 1;
const KTY_EC2: i64 = 2;
const KTY_RSA: i64 = 3;
const CRV_P256: i64 = 1;
const CRV_X25519: i64 = 4;
const CRV_ED25519: i64 = 6;
/// The one RSA public exponent that is taken.
pub(crate) const RSA_EXPONENT: u32 = 65537;
const RSA_EXPONENT_BYTES: [u8; 3] = [1, 0, 1];
/// RSA moduli, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Why a COSE key is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The map does not have the members of its key type.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A key type (label 1) other than OKP, EC2 or RSA.
    #[error("COSE key type {0} is not one of OKP (1), EC2 (2) and RSA (3)")]
    KeyType(i64),
    /// A curve (label -1) other than P-256, X25519 and Ed25519, or of another key type.
    #[error(
        "COSE curve {0} does not fit the key type or is not one of P-256 (1), X25519 (4) and Ed25519 (6)"
    )]
    Curve(i64),
    /// Coordinates that are no point of the curve, or not its one encoding.
    #[error("the COSE key is not a point on its curve")]
    NotOnCurve,
    /// An RSA modulus with leading zeros or not of 2048 to 4096 bits, or an exponent other than 65537.
    #[error("the RSA key must have 2048 to 4096 bits without leading zeros, and the exponent 65537")]
    Rsa,
    /// A FIDO credential's `alg` (label 3) that is none of ours or of another key type.
    #[error(
        "COSE algorithm {0} does not fit the key or is not one of ES256 (-7), Ed25519 (-8) and RS256 (-257)"
    )]
    Algorithm(i64),
}

/// A public key of one of the four kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// For ES256 signatures, or key agreement.
    P256(P256Key),
    /// For Ed25519 signatures.
    Ed25519(Ed25519Key),
    /// For key agreement.
    X25519(X25519Key),
    /// For RS256 signatures.
    Rsa(RsaKey),
}

/// A point on P-256, affine, 32 bytes each, big-endian.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct P256Key {
    x: [u8; 32],
    y: [u8; 32],
}

/// An Ed25519 public key (RFC 8032), 32 bytes: a canonical encoding of a point that is not of small order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ed25519Key([u8; 32]);

/// An X25519 public key (RFC 7748), 32 bytes. Any string of 32 bytes is one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct X25519Key([u8; 32]);

/// An RSA public key with exponent 65537.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RsaKey {
    n: Vec<u8>,
}

impl P256Key {
    /// The point with the affine coordinates `x` and `y`.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`].
    pub fn new(x: [u8; 32], y: [u8; 32]) -> Result<Self, KeyError> {
        let key = Self { x, y };
        key.verifying_key().map(|_| key)
    }

    /// The point that is `0x04 || x || y` (SEC 1 section 2.3.3, uncompressed).
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`], for any other form and length too.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, KeyError> {
        let Some((4, xy)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(KeyError::NotOnCurve);
        };
        let (x, y) = xy.split_at_checked(32).ok_or(KeyError::NotOnCurve)?;
        match (x.try_into(), y.try_into()) {
            (Ok(x), Ok(y)) => Self::new(x, y),
            _ => Err(KeyError::NotOnCurve),
        }
    }

    /// `0x04 || x || y` (SEC 1 section 2.3.3, uncompressed), 65 bytes.
    pub fn to_sec1(&self) -> [u8; 65] {
        let mut out = [4; 65];
        let (_, xy) = out.split_at_mut(1);
        for (to, from) in xy.iter_mut().zip(self.x.iter().chain(&self.y)) {
            *to = *from;
        }
        out
    }

    /// The affine x coordinate.
    pub fn x(&self) -> &[u8; 32] {
        &self.x
    }

    /// The affine y coordinate.
    pub fn y(&self) -> &[u8; 32] {
        &self.y
    }

    pub(crate) fn verifying_key(&self) -> Result<p256::ecdsa::VerifyingKey, KeyError> {
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.to_sec1()).map_err(|_| KeyError::NotOnCurve)
    }
}

impl Ed25519Key {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::NotOnCurve`] for no point, a point of small order, or an encoding that is not canonical.
    pub fn new(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotOnCurve)?;
        // Y is taken modulo the prime when it is read; encoded again it shows whether it was canonical.
        if key.is_weak() || key.to_edwards().compress().to_bytes() != bytes {
            return Err(KeyError::NotOnCurve);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl X25519Key {
    /// The key with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl RsaKey {
    /// The key with the big-endian modulus `n` and the exponent 65537.
    ///
    /// # Errors
    /// [`KeyError::Rsa`].
    pub fn new(n: Vec<u8>) -> Result<Self, KeyError> {
        let bits_fit = RSA_BYTES.contains(&n.len())
            && n.first().is_some_and(|first| *first >= 0x80 || (*first != 0 && n.len() > *RSA_BYTES.start()));
        let odd = n.last().is_some_and(|last| last & 1 == 1);
        if bits_fit && odd { Ok(Self { n }) } else { Err(KeyError::Rsa) }
    }

    /// The modulus, big-endian without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.n
    }
}

impl PublicKey {
    /// Reads a COSE key with core members only.
    ///
    /// # Errors
    /// [`KeyError`], also for any member that is not a core member.
    pub fn from_value(value: Value) -> Result<Self, KeyError> {
        let mut fields = Fields::of("COSE key", value)?;
        let key = Self::core(&mut fields)?;
        fields.finish()?;
        Ok(key)
    }

    /// Reads the credentialPublicKey of a FIDO attestation (WebAuthn section 6.5.1): core members and `alg` (3), which
    /// must be there.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_credential_value(value: Value) -> Result<(Self, SignatureAlgorithm), KeyError> {
        let mut fields = Fields::of("credentialPublicKey", value)?;
        let id = fields.int(ALG)?;
        let key = Self::core(&mut fields)?;
        fields.finish()?;
        let algorithm = SignatureAlgorithm::from_id(id)
            .filter(|algorithm| algorithm.fits(&key))
            .ok_or(KeyError::Algorithm(id))?;
        Ok((key, algorithm))
    }

    fn core(fields: &mut Fields) -> Result<Self, KeyError> {
        match fields.int(KTY)? {
            KTY_EC2 => match fields.int(-1)? {
                CRV_P256 => P256Key::new(fields.byte_array(-2)?, fields.byte_array(-3)?).map(Self::P256),
                curve => Err(KeyError::Curve(curve)),
            },
            KTY_OKP => match fields.int(-1)? {
                CRV_ED25519 => Ed25519Key::new(fields.byte_array(-2)?).map(Self::Ed25519),
                CRV_X25519 => Ok(Self::X25519(X25519Key::new(fields.byte_array(-2)?))),
                curve => Err(KeyError::Curve(curve)),
            },
            KTY_RSA => {
                let n = fields.bytes(-1)?;
                if fields.bytes(-2)? != RSA_EXPONENT_BYTES {
                    return Err(KeyError::Rsa);
                }
                RsaKey::new(n).map(Self::Rsa)
            }
            kty => Err(KeyError::KeyType(kty)),
        }
    }

    /// The COSE key with core members only.
    pub fn to_value(&self) -> Value {
        Value::Map(match self {
            Self::P256(key) => Map::new()
                .with(KTY, KTY_EC2)
                .with(-1, CRV_P256)
                .with(-2, key.x.as_slice())
                .with(-3, key.y.as_slice()),
            Self::Ed25519(key) => {
                Map::new().with(KTY, KTY_OKP).with(-1, CRV_ED25519).with(-2, key.0.as_slice())
            }
            Self::X25519(key) => {
                Map::new().with(KTY, KTY_OKP).with(-1, CRV_X25519).with(-2, key.0.as_slice())
            }
            Self::Rsa(key) => Map::new()
                .with(KTY, KTY_RSA)
                .with(-1, key.n.as_slice())
                .with(-2, RSA_EXPONENT_BYTES.as_slice()),
        })
    }

    /// The COSE key with core members and `alg` (3), as FIDO attestations carry it.
    pub fn to_credential_value(&self, algorithm: SignatureAlgorithm) -> Value {
        match self.to_value() {
            Value::Map(map) => Value::Map(map.with(ALG, algorithm.id())),
            other => other,
        }
    }

    /// SHA-256 of the deterministic encoding with core members only, by which a bank knows the key.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.to_value().encode()).into()
    }
}

impl SignatureAlgorithm {
    /// Whether `key` is of the type that this algorithm signs with.
    pub fn fits(self, key: &PublicKey) -> bool {
        matches!(
            (self, key),
            (Self::Es256, PublicKey::P256(_))
                | (Self::Ed25519, PublicKey::Ed25519(_))
                | (Self::Rs256, PublicKey::Rsa(_))
        )
    }
}

macro_rules! debug_as_hex {
    ($($key:ident $bytes:expr),*) => {$(
        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let bytes: fn(&Self) -> &[u8] = $bytes;
                f.write_str(concat!(stringify!($key), "("))?;
                bytes(self).iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("..)")
            }
        }
    )*};
}

debug_as_hex!(
    P256Key | key | &key.x,
    Ed25519Key | key | &key.0,
    X25519Key | key | &key.0,
    RsaKey | key | &key.n
);
