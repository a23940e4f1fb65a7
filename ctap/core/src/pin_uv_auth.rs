//! PIN/UV auth protocols one and two (CTAP 2.1 sections 6.5.6 and 6.5.7), for the platform and for the authenticator.

use crate::{MessageError, Random, RandomError};
use aes::Aes256;
use cbc::cipher::{Block, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::P256Key;
use fwp_cose::{KeyError, PublicKey};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const BLOCK: usize = 16;
/// COSE's ECDH-ES + HKDF-256: the `alg` that CTAP writes into key agreement keys, though its KDF is another.
const ALG_ECDH_ES_HKDF_256: i64 = -25;
/// How often a random scalar may be out of range before the source of randomness is given up (each: 2^-32).
const SCALAR_ATTEMPTS: usize = 8;

/// A PIN/UV auth protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Protocol one: no IV, 16-byte MACs.
    One,
    /// Protocol two: random IVs, 32-byte MACs, separate keys.
    Two,
}

impl Protocol {
    /// Both, in the order in which we prefer them.
    pub const PREFERRED: [Self; 2] = [Self::Two, Self::One];

    /// The number by which messages name it.
    pub fn id(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The protocol with the number `id`.
    pub fn from_id(id: u64) -> Option<Self> {
        Self::PREFERRED.into_iter().find(|protocol| protocol.id() == id)
    }

    /// The MAC of `message` under `key`, which is 32 bytes (or a shorter token of protocol one).
    fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let mac = hmac(key).chain_update(message).finalize().into_bytes();
        match self {
            Self::One => mac.iter().copied().take(16).collect(),
            Self::Two => mac.to_vec(),
        }
    }
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length; the fallback can't be reached and is no key that anybody could use.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// A ciphertext or MAC that is not by the other side of the key agreement, or has a wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("PIN/UV auth: ciphertext or MAC refused")]
pub struct PinUvAuthError;

/// One side's private key of the key agreement: fresh for each ceremony on the platform, for each power-up and each
/// wrong PIN on the authenticator.
pub struct KeyAgreement {
    secret: p256::SecretKey,
    public: KeyAgreementKey,
}

impl fmt::Debug for KeyAgreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyAgreement(..)")
    }
}

impl KeyAgreement {
    /// A new key.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut scalar = Zeroizing::new([0; 32]);
        for _ in 0..SCALAR_ATTEMPTS {
            random.fill(&mut *scalar)?;
            if let Ok(secret) = p256::SecretKey::from_slice(&*scalar) {
                let point = secret.public_key();
                let sec1 = point.to_sec1_point(false);
                let coordinates = P256Key::from_sec1(sec1.as_bytes()).map_err(|_| RandomError)?;
                return Ok(Self { secret, public: KeyAgreementKey { coordinates, point } });
            }
        }
        Err(RandomError)
    }

    /// The public key, for the other side.
    pub fn public_key(&self) -> &KeyAgreementKey {
        &self.public
    }

    /// The secret shared with the other side: the authenticator's `decapsulate`, and the platform's half of
    /// `encapsulate`.
    pub fn shared_secret(&self, protocol: Protocol, peer: &KeyAgreementKey) -> SharedSecret {
        let z = p256::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.point.as_affine());
        let z = z.raw_secret_bytes();
        let (hmac, aes) = match protocol {
            Protocol::One => {
                let key = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(z)));
                (key.clone(), key)
            }
            Protocol::Two => (derive(z, b"CTAP2 HMAC key"), derive(z, b"CTAP2 AES key")),
        };
        SharedSecret { protocol, hmac, aes }
    }
}

/// Protocol two's KDF: HKDF-SHA-256 with a salt of 32 zeros.
fn derive(z: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let expanded = Hkdf::<Sha256>::new(Some(&[0; 32]), z).expand(info, &mut *key);
    // 32 bytes are one block of HKDF, which has up to 255.
    debug_assert!(expanded.is_ok());
    key
}

/// Makes the platform's key and the secret that it shares with the authenticator's key `peer` (`encapsulate`).
///
/// # Errors
/// [`RandomError`].
pub fn encapsulate(
    protocol: Protocol,
    peer: &KeyAgreementKey,
    random: &mut dyn Random,
) -> Result<(KeyAgreementKey, SharedSecret), RandomError> {
    let ours = KeyAgreement::generate(random)?;
    Ok((ours.public.clone(), ours.shared_secret(protocol, peer)))
}

/// A public key for the key agreement: P-256, as COSE key with `alg` -25.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAgreementKey {
    coordinates: P256Key,
    point: p256::PublicKey,
}

impl KeyAgreementKey {
    /// The COSE key.
    pub fn to_value(&self) -> Value {
        match PublicKey::P256(self.coordinates.clone()).to_value() {
            Value::Map(map) => Value::Map(map.with(3, ALG_ECDH_ES_HKDF_256)),
            _ => Value::Map(Map::new()),
        }
    }

    /// Reads the COSE key.
    ///
    /// # Errors
    /// [`MessageError`] if it is not a point on P-256, or has another `alg` or other members.
    pub fn from_value(value: Value) -> Result<Self, MessageError> {
        let bad = |problem| MessageError::Member { member: "keyAgreement", problem };
        let Value::Map(mut map) = value else { return Err(bad("not a map")) };
        if map.remove(&Value::int(3)).and_then(|alg| alg.as_i64()) != Some(ALG_ECDH_ES_HKDF_256) {
            return Err(bad("not a COSE key for ECDH-ES+HKDF-256 (-25)"));
        }
        match PublicKey::from_value(Value::Map(map))? {
            PublicKey::P256(coordinates) => {
                let point = p256::PublicKey::from_sec1_bytes(&coordinates.to_sec1())
                    .map_err(|_| KeyError::NotOnCurve)?;
                Ok(Self { coordinates, point })
            }
            _ => Err(bad("not a key on P-256")),
        }
    }
}

/// The secret that both sides share for one exchange. Erased when dropped, never shown.
pub struct SharedSecret {
    protocol: Protocol,
    /// For `authenticate` and `verify`. In protocol one the same as `aes`.
    hmac: Zeroizing<[u8; 32]>,
    /// For `encrypt` and `decrypt`.
    aes: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({:?}, ..)", self.protocol)
    }
}

impl SharedSecret {
    /// The protocol whose secret this is.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Encrypts `plaintext`, whose length must be a multiple of 16 bytes.
    ///
    /// # Errors
    /// [`RandomError`] (protocol two needs an IV).
    pub fn encrypt(&self, plaintext: &[u8], random: &mut dyn Random) -> Result<Vec<u8>, RandomError> {
        debug_assert!(plaintext.len().is_multiple_of(BLOCK));
        let mut iv = [0; BLOCK];
        let mut out = Vec::new();
        if self.protocol == Protocol::Two {
            random.fill(&mut iv)?;
            out.extend_from_slice(&iv);
        }
        let mut cipher = cbc::Encryptor::<Aes256>::new(&(*self.aes).into(), &iv.into());
        for chunk in plaintext.chunks_exact(BLOCK) {
            let mut block = Block::<Aes256>::try_from(chunk).unwrap_or_default();
            cipher.encrypt_block(&mut block);
            out.extend_from_slice(&block);
        }
        Ok(out)
    }

    /// Decrypts `ciphertext`.
    ///
    /// # Errors
    /// [`PinUvAuthError`] if its length is not one that [`SharedSecret::encrypt`] makes.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, PinUvAuthError> {
        let (iv, blocks) = match self.protocol {
            Protocol::One => ([0; BLOCK], ciphertext),
            Protocol::Two => {
                let (iv, blocks) = ciphertext.split_first_chunk::<BLOCK>().ok_or(PinUvAuthError)?;
                (*iv, blocks)
            }
        };
        if blocks.is_empty() || !blocks.len().is_multiple_of(BLOCK) {
            return Err(PinUvAuthError);
        }
        let mut cipher = cbc::Decryptor::<Aes256>::new(&(*self.aes).into(), &iv.into());
        let mut out = Zeroizing::new(Vec::with_capacity(blocks.len()));
        for chunk in blocks.chunks_exact(BLOCK) {
            let mut block = Block::<Aes256>::try_from(chunk).unwrap_or_default();
            cipher.decrypt_block(&mut block);
            out.extend_from_slice(&block);
        }
        Ok(out)
    }

    /// The MAC of `message`: 16 bytes in protocol one, 32 in two.
    pub fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        self.protocol.mac(&*self.hmac, message)
    }

    /// Checks the MAC of `message`, in constant time.
    ///
    /// # Errors
    /// [`PinUvAuthError`].
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> Result<(), PinUvAuthError> {
        equal(&self.authenticate(message), mac)
    }
}

fn equal(a: &[u8], b: &[u8]) -> Result<(), PinUvAuthError> {
    if bool::from(a.ct_eq(b)) { Ok(()) } else { Err(PinUvAuthError) }
}

/// A pinUvAuthToken. Erased when dropped, never shown.
pub struct Token {
    protocol: Protocol,
    bytes: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?}, ..)", self.protocol)
    }
}

impl Token {
    /// A new one of 32 bytes: the authenticator's `resetPinUvAuthToken`.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn generate(protocol: Protocol, random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new(vec![0; 32]);
        random.fill(&mut bytes)?;
        Ok(Self { protocol, bytes })
    }

    /// Encrypted for the platform.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn encrypt(&self, secret: &SharedSecret, random: &mut dyn Random) -> Result<Vec<u8>, RandomError> {
        secret.encrypt(&self.bytes, random)
    }

    /// The token that the authenticator has encrypted.
    ///
    /// # Errors
    /// [`PinUvAuthError`] if it is not 32 bytes long, or in protocol one 16 or 32.
    pub fn decrypt(secret: &SharedSecret, ciphertext: &[u8]) -> Result<Self, PinUvAuthError> {
        let protocol = secret.protocol();
        let bytes = secret.decrypt(ciphertext)?;
        match (protocol, bytes.len()) {
            (_, 32) | (Protocol::One, 16) => Ok(Self { protocol, bytes }),
            _ => Err(PinUvAuthError),
        }
    }

    /// The protocol that it was made in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// pinUvAuthParam: the MAC of `message` (a clientDataHash, for us).
    pub fn authenticate(&self, message: &[u8]) -> Vec<u8> {
        self.protocol.mac(&self.bytes, message)
    }

    /// Checks a pinUvAuthParam in constant time.
    ///
    /// # Errors
    /// [`PinUvAuthError`].
    pub fn verify(&self, message: &[u8], mac: &[u8]) -> Result<(), PinUvAuthError> {
        equal(&self.authenticate(message), mac)
    }
}

/// What a token may be used for (CTAP 2.1 section 6.5.5.7), as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions(pub u8);

impl Permissions {
    /// makeCredential.
    pub const MAKE_CREDENTIAL: Self = Self(0x01);
    /// getAssertion.
    pub const GET_ASSERTION: Self = Self(0x02);
    /// What getPinToken's tokens may do: makeCredential and getAssertion.
    pub const DEFAULT: Self = Self(0x03);

    /// Whether all of `other` is in these.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
