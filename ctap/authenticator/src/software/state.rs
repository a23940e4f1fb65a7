//! The state as bytes: deterministic CBOR, versioned.

use crate::KeyStoreError;
use ctap_core::{PinHash, Random, RandomError};
use fwp_cose::cbor::{Fields, Map, Value, decode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Wrong PINs in a row until the PIN is blocked for good (CTAP 2.1 section 6.5.2.1).
pub(super) const MAX_RETRIES: u8 = 8;

const VERSION: i64 = 1;
const MASTER_KEY: i64 = 2;
const COUNTER: i64 = 3;
const RETRIES: i64 = 4;
const PIN_SALT: i64 = 5;
const PIN_HASH: i64 = 6;
const CURRENT_VERSION: u64 = 1;

/// What is kept.
#[derive(Clone)]
pub(super) struct State {
    /// Seals the private keys.
    pub(super) master_key: Zeroizing<[u8; 32]>,
    /// Counter values up to this one may have been given.
    pub(super) counter: u32,
    /// Attempts left.
    pub(super) retries: u8,
    pub(super) pin: Option<SaltedPin>,
}

/// SHA-256 of a salt and LEFT(SHA-256(PIN), 16). The state is sealed as a whole; this keeps the PIN itself, which people
/// use in other places too, from whoever opens it.
#[derive(Clone)]
pub(super) struct SaltedPin {
    salt: [u8; 32],
    hash: Zeroizing<[u8; 32]>,
}

impl SaltedPin {
    pub(super) fn new(pin: &PinHash, random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut salt = [0; 32];
        random.fill(&mut salt)?;
        Ok(Self { salt, hash: salted(&salt, pin) })
    }

    pub(super) fn is(&self, pin: &PinHash) -> bool {
        self.hash.ct_eq(&*salted(&self.salt, pin)).into()
    }
}

fn salted(salt: &[u8; 32], pin: &PinHash) -> Zeroizing<[u8; 32]> {
    let digest = Sha256::new().chain_update(b"fwpd PIN 1").chain_update(salt).chain_update(pin.as_bytes());
    Zeroizing::new(digest.finalize().into())
}

impl State {
    /// A new authenticator's.
    pub(super) fn new(random: &mut dyn Random) -> Result<Self, RandomError> {
        let mut master_key = Zeroizing::new([0; 32]);
        random.fill(&mut *master_key)?;
        Ok(Self { master_key, counter: 0, retries: MAX_RETRIES, pin: None })
    }

    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut map = Map::new()
            .with(VERSION, Value::Unsigned(CURRENT_VERSION))
            .with(MASTER_KEY, self.master_key.as_slice())
            .with(COUNTER, i64::from(self.counter))
            .with(RETRIES, i64::from(self.retries));
        if let Some(pin) = &self.pin {
            map = map.with(PIN_SALT, pin.salt.as_slice()).with(PIN_HASH, pin.hash.as_slice());
        }
        // Room for all of it, so that growing leaves no copy behind.
        let mut out = Zeroizing::new(Vec::with_capacity(256));
        Value::Map(map).encode_to(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, KeyStoreError> {
        let damaged = |_| KeyStoreError::Damaged("not the state's CBOR");
        let value = decode(bytes).map_err(|_| KeyStoreError::Damaged("not CBOR"))?;
        let mut fields = Fields::of("state", value).map_err(damaged)?;
        match fields.required(VERSION).map_err(damaged)? {
            Value::Unsigned(CURRENT_VERSION) => {}
            Value::Unsigned(newer) if newer > CURRENT_VERSION => return Err(KeyStoreError::Newer(newer)),
            _ => return Err(KeyStoreError::Damaged("without a version")),
        }
        let master_key = Zeroizing::new(fields.byte_array(MASTER_KEY).map_err(damaged)?);
        let counter = u32::try_from(fields.int(COUNTER).map_err(damaged)?);
        let retries = u8::try_from(fields.int(RETRIES).map_err(damaged)?);
        let pin = match fields.optional(PIN_SALT) {
            None => None,
            Some(Value::Bytes(salt)) => Some(SaltedPin {
                salt: salt.try_into().map_err(|_| KeyStoreError::Damaged("a salt of a wrong length"))?,
                hash: Zeroizing::new(fields.byte_array(PIN_HASH).map_err(damaged)?),
            }),
            Some(_) => return Err(KeyStoreError::Damaged("a salt of a wrong type")),
        };
        fields.finish().map_err(damaged)?;
        match (counter, retries) {
            (Ok(counter), Ok(retries)) if retries <= MAX_RETRIES => {
                Ok(Self { master_key, counter, retries, pin })
            }
            _ => Err(KeyStoreError::Damaged("a counter out of range")),
        }
    }
}
