//! The state as bytes: a fixed layout, so that no copy of a key is left in buffers of a general encoder.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | attempts left |
//! | 4 | counter, big-endian |
//! | 32 | master key |
//! | 1 | 0 without a PIN, 1 with one, and then |
//! | 32 | salt of the PIN |
//! | 32 | salted hash of the PIN |

use crate::KeyStoreError;
use ctap_core::{PinHash, Random, RandomError};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Wrong PINs in a row until the PIN is blocked for good (CTAP 2.1 section 6.5.2).
pub(super) const MAX_RETRIES: u8 = 8;

const VERSION: u8 = 1;
const LONGEST: usize = 1 + 1 + 4 + 32 + 1 + 32 + 32;

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
        // Room for all of it, so that growing leaves no copy behind.
        let mut out = Zeroizing::new(Vec::with_capacity(LONGEST));
        out.extend_from_slice(&[VERSION, self.retries]);
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(self.master_key.as_slice());
        out.push(u8::from(self.pin.is_some()));
        if let Some(pin) = &self.pin {
            out.extend_from_slice(&pin.salt);
            out.extend_from_slice(pin.hash.as_slice());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, KeyStoreError> {
        let mut rest = bytes;
        let [version] = *take(&mut rest)?;
        match version {
            VERSION => {}
            0 => return Err(KeyStoreError::Damaged("it has the version 0")),
            newer => return Err(KeyStoreError::Newer(newer)),
        }
        let [retries] = *take(&mut rest)?;
        if retries > MAX_RETRIES {
            return Err(KeyStoreError::Damaged("more attempts are left than there are"));
        }
        let counter = u32::from_be_bytes(*take(&mut rest)?);
        let master_key = Zeroizing::new(*take(&mut rest)?);
        let pin = match *take(&mut rest)? {
            [0] => None,
            [1] => Some(SaltedPin { salt: *take(&mut rest)?, hash: Zeroizing::new(*take(&mut rest)?) }),
            _ => return Err(KeyStoreError::Damaged("it neither has a PIN nor has none")),
        };
        if rest.is_empty() {
            Ok(Self { master_key, counter, retries, pin })
        } else {
            Err(KeyStoreError::Damaged("it is too long"))
        }
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], KeyStoreError> {
    let (taken, left) = rest.split_first_chunk().ok_or(KeyStoreError::Damaged("it is too short"))?;
    *rest = left;
    Ok(taken)
}
