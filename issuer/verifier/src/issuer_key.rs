//! The bank's private decryption keys: ECDH on P-256 and X25519.

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519};
use fwp_cose::PublicKey;
use fwp_cose::cbor::{self, DecodeError, SchemaError, Value};
use fwp_cose::key::KeyError;
use std::fmt;
use zeroize::Zeroizing;

/// COSE label of a private scalar (RFC 9053 section 7).
const D: i64 = -4;

/// One of the bank's key pairs. Its Debug shows the public half only.
pub struct IssuerKey {
    key_id: Option<Vec<u8>>,
    public: PublicKey,
    private: PrivateKey,
}

/// Why bytes are not a key pair of a bank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// Not deterministic CBOR.
    #[error("the issuer's private COSE key is not deterministic CBOR: {0}")]
    Cbor(#[from] DecodeError),
    /// The private member is missing or is no byte string of 32 bytes.
    #[error("the issuer's private COSE key: {0}")]
    Private(#[from] SchemaError),
    /// The public members are no key.
    #[error("the issuer's COSE key: {0}")]
    Public(#[from] KeyError),
    /// An Ed25519 or RSA key: these don't agree on keys.
    #[error("the issuer's key must be of P-256 or X25519")]
    Type,
    /// The private scalar is out of range, or is not that of the public key.
    #[error("the private and public halves of the issuer's key do not belong together")]
    Pair,
}

/// The bytes that two keys agree on.
pub(crate) type SharedSecret = Zeroizing<[u8; 32]>;

impl IssuerKey {
    /// Reads a private COSE key: the core members of the public key and `d` (-4), in deterministic CBOR. `key_id` is the
    /// keyId's CBOR value, if the bank's cards name the key by one.
    ///
    /// # Errors
    /// [`IssuerKeyError`].
    pub fn from_cose_private(cose_private: &[u8], key_id: Option<&Value>) -> Result<Self, IssuerKeyError> {
        let mut public = cbor::decode(cose_private)?;
        let d = match &mut public {
            Value::Map(map) => map.remove(&Value::int(D)),
            _ => None,
        };
        let d: Zeroizing<Vec<u8>> = match d {
            Some(Value::Bytes(d)) => Zeroizing::new(d),
            _ => {
                return Err(SchemaError::NotA { object: "issuer key", expected: "a private COSE key" }.into());
            }
        };
        let public = PublicKey::from_value(public)?;
        let algorithm = match &public {
            PublicKey::P256(_) => &ECDH_P256,
            PublicKey::X25519(_) => &X25519,
            PublicKey::Ed25519(_) | PublicKey::Rsa(_) => return Err(IssuerKeyError::Type),
        };
        let private = PrivateKey::from_private_key(algorithm, &d).map_err(|_| IssuerKeyError::Pair)?;
        let computed = private.compute_public_key().map_err(|_| IssuerKeyError::Pair)?;
        let belongs = match &public {
            PublicKey::P256(key) => computed.as_ref() == key.to_sec1(),
            PublicKey::X25519(key) => computed.as_ref() == key.as_bytes(),
            PublicKey::Ed25519(_) | PublicKey::Rsa(_) => false,
        };
        if !belongs {
            return Err(IssuerKeyError::Pair);
        }
        Ok(Self { key_id: key_id.map(Value::encode), public, private })
    }

    /// The public half, as cards carry it (`encryptionKey`).
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The deterministic CBOR of the keyId, if there is one.
    pub fn key_id(&self) -> Option<&[u8]> {
        self.key_id.as_deref()
    }

    /// ECDH with the wallet's ephemeral key. `None` if that is of another curve, or no point that a key can be agreed
    /// with: off the curve, or of small order (an all-zero X25519 result, RFC 7748 section 6.1).
    pub(crate) fn agree(&self, ephemeral: &PublicKey) -> Option<SharedSecret> {
        match ephemeral {
            PublicKey::P256(key) => {
                self.agree_raw(UnparsedPublicKey::new(&ECDH_P256, key.to_sec1().as_slice()))
            }
            PublicKey::X25519(key) => {
                self.agree_raw(UnparsedPublicKey::new(&X25519, key.as_bytes().as_slice()))
            }
            PublicKey::Ed25519(_) | PublicKey::Rsa(_) => None,
        }
    }

    fn agree_raw(&self, ephemeral: UnparsedPublicKey<&[u8]>) -> Option<SharedSecret> {
        agreement::agree(&self.private, ephemeral, (), |z| {
            let secret: [u8; 32] = z.try_into().map_err(|_| ())?;
            let secret = Zeroizing::new(secret);
            // aws-lc refuses this itself; the check here keeps it so whatever a later version does.
            if secret.iter().all(|byte| *byte == 0) { Err(()) } else { Ok(secret) }
        })
        .ok()
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The bank's keys, of which an authorization names one by its keyId or its public key.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: Vec<IssuerKey>,
}

impl KeyRing {
    /// A ring of these keys.
    pub fn new(keys: Vec<IssuerKey>) -> Self {
        Self { keys }
    }

    /// The key that cards name by the CBOR value `key_id`: the same type and value (`7.0` is not `7`).
    pub fn by_id(&self, key_id: &Value) -> Option<&IssuerKey> {
        let encoded = key_id.encode();
        self.keys.iter().find(|key| key.key_id() == Some(encoded.as_slice()))
    }

    /// The keys, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &IssuerKey> {
        self.keys.iter()
    }

    /// The key with this public half.
    pub fn by_public_key(&self, public: &PublicKey) -> Option<&IssuerKey> {
        self.keys.iter().find(|key| key.public() == public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwp_cose::cbor::Map;
    use fwp_cose::key::X25519Key;

    fn x25519(seed: u8) -> Vec<u8> {
        let secret = x25519_dalek::StaticSecret::from([seed; 32]);
        let public = x25519_dalek::PublicKey::from(&secret);
        Value::Map(
            Map::new()
                .with(1, 1)
                .with(-1, 4)
                .with(-2, public.as_bytes().as_slice())
                .with(D, [seed; 32].as_slice()),
        )
        .encode()
    }

    /// The points of small order of Curve25519 and its twist, with their non-canonical forms (RFC 7748 section 6.1).
    const SMALL_ORDER: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[test]
    fn points_of_small_order_agree_on_nothing() {
        let key = IssuerKey::from_cose_private(&x25519(9), None).unwrap();
        for hex in SMALL_ORDER {
            let point: [u8; 32] = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
            assert!(key.agree(&PublicKey::X25519(X25519Key::new(point))).is_none(), "{hex}");
        }
    }

    #[test]
    fn agreement_is_that_of_another_implementation() {
        let key = IssuerKey::from_cose_private(&x25519(9), None).unwrap();
        let theirs = x25519_dalek::StaticSecret::from([77; 32]);
        let public = x25519_dalek::PublicKey::from(&theirs);
        let PublicKey::X25519(ours) = key.public() else { panic!("an X25519 key") };
        let expected = theirs.diffie_hellman(&x25519_dalek::PublicKey::from(*ours.as_bytes()));
        let agreed = key.agree(&PublicKey::X25519(X25519Key::new(*public.as_bytes()))).unwrap();
        assert_eq!(agreed.as_slice(), expected.as_bytes());
    }

    #[test]
    fn halves_that_do_not_belong_together_are_refused() {
        let Value::Map(map) = cbor::decode(&x25519(9)).unwrap() else { panic!("a map") };
        let mixed = Value::Map(map.with(D, [8; 32].as_slice())).encode();
        assert_eq!(IssuerKey::from_cose_private(&mixed, None).unwrap_err(), IssuerKeyError::Pair);
    }

    #[test]
    fn debug_shows_nothing_of_the_private_half() {
        let key = IssuerKey::from_cose_private(&x25519(0xab), None).unwrap();
        assert!(!format!("{key:?}").contains("abab"));
    }
}
