//! A passphrase, for recovery: when the keyring, the TPM or the machine is gone, this opens what is left of the files.
//!
//! The slot's own key is Argon2id (RFC 9106) of the passphrase. Salt and cost stand with the slot, so that a later version
//! may ask for more; what is read is held to limits, since whoever can write the file could otherwise make every opening
//! take all memory. A passphrase is guessed on the thief's own machine at the thief's own pace: it is as good as it is
//! long, and the store can only refuse the shortest.

use super::wrap::WrappingKey;
use super::{KeySlot, SlotError, SlotKind};
use crate::seal::{DataKey, WalletId};
use crate::secret::Secret;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use fwp_cose::cbor::{self, Fields, Map, Value};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Fewest characters of a passphrase.
pub const LEAST_CHARACTERS: usize = 8;

const SALT_BYTES: usize = 16;

/// Each guess takes the memory that it costs: a service in which many users guess at once would take all that it may have.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What one guess costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What stands in the store for a passphrase.
#[derive(Clone, PartialEq, Eq)]
pub struct PassphraseRecord {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    wrapped: Vec<u8>,
}

/// A slot whose own key is made from a passphrase that the user knows.
pub struct Passphrase {
    text: Zeroizing<String>,
    cost: Cost,
}

impl Cost {
    /// The second recommended option of RFC 9106 section 4: 64 MiB, 3 passes, 4 lanes.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// Most memory of one guess, in KiB: 1 GiB.
    pub const MOST_MEMORY_KIB: u32 = 1024 * 1024;
    /// Most passes.
    pub const MOST_PASSES: u32 = 16;
    /// Most lanes.
    pub const MOST_LANES: u32 = 16;
    /// Most memory times passes, in KiB: 4 GiB are some ten seconds of work.
    const MOST_WORK_KIB: u64 = 4 * 1024 * 1024;

    /// `memory_kib` KiB, gone over `passes` times, in `lanes` lanes.
    ///
    /// # Errors
    /// [`SlotError::Cost`] beyond the limits above, and below those of RFC 9106 (8 KiB a lane).
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SlotError> {
        let within = (1..=Self::MOST_LANES).contains(&lanes)
            && (1..=Self::MOST_PASSES).contains(&passes)
            && (8 * lanes..=Self::MOST_MEMORY_KIB).contains(&memory_kib)
            && u64::from(memory_kib) * u64::from(passes) <= Self::MOST_WORK_KIB;
        if within {
            Ok(Self { memory_kib, passes, lanes })
        } else {
            Err(SlotError::Cost { memory_kib: memory_kib.into(), passes: passes.into(), lanes: lanes.into() })
        }
    }
}

impl PassphraseRecord {
    /// The record in deterministic CBOR.
    pub fn encode(&self) -> Vec<u8> {
        let map = Map::new()
            .with(1, i64::from(self.cost.memory_kib))
            .with(2, i64::from(self.cost.passes))
            .with(3, i64::from(self.cost.lanes))
            .with(4, self.salt.as_slice())
            .with(5, self.wrapped.as_slice());
        Value::Map(map).encode()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`SlotError::Altered`] if it is none, [`SlotError::Cost`] if what it asks for is beyond the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, SlotError> {
        let read = || {
            let mut fields = Fields::of("passphrase slot", cbor::decode(bytes).ok()?).ok()?;
            let cost = (fields.int(1).ok()?, fields.int(2).ok()?, fields.int(3).ok()?);
            let (salt, wrapped) = (fields.byte_array(4).ok()?, fields.bytes(5).ok()?);
            fields.finish().ok()?;
            Some((cost, salt, wrapped))
        };
        let ((memory_kib, passes, lanes), salt, wrapped) = read().ok_or(SlotError::Altered)?;
        let number = |n: i64| u32::try_from(n).ok();
        let (Some(memory), Some(times), Some(parts)) = (number(memory_kib), number(passes), number(lanes))
        else {
            return Err(SlotError::Cost { memory_kib, passes, lanes });
        };
        Ok(Self { cost: Cost::new(memory, times, parts)?, salt, wrapped })
    }

    /// What a guess at it costs.
    pub fn cost(&self) -> Cost {
        self.cost
    }
}

impl Passphrase {
    /// The slot with this passphrase, which is taken in normal form C, so that it is the same from every keyboard.
    ///
    /// # Errors
    /// [`SlotError::PassphraseTooShort`] below [`LEAST_CHARACTERS`].
    pub fn new(passphrase: &Zeroizing<String>) -> Result<Self, SlotError> {
        Self::with_cost(passphrase, Cost::DEFAULT)
    }

    /// As [`Passphrase::new`]; a slot that is made with it has this cost.
    ///
    /// # Errors
    /// [`SlotError::PassphraseTooShort`].
    pub fn with_cost(passphrase: &Zeroizing<String>, cost: Cost) -> Result<Self, SlotError> {
        // Never more than three times as long in normal form C (Unicode Standard Annex 15, section 9): the text does not
        // move while it grows.
        let mut text = Zeroizing::new(String::with_capacity(passphrase.len().saturating_mul(3)));
        text.extend(passphrase.nfc());
        if text.chars().count() < LEAST_CHARACTERS {
            return Err(SlotError::PassphraseTooShort { least: LEAST_CHARACTERS });
        }
        Ok(Self { text, cost })
    }

    fn key(&self, cost: Cost, salt: &[u8; SALT_BYTES]) -> Result<WrappingKey, SlotError> {
        let beyond = SlotError::Cost {
            memory_kib: cost.memory_kib.into(),
            passes: cost.passes.into(),
            lanes: cost.lanes.into(),
        };
        let Ok(params) = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)) else {
            return Err(beyond);
        };
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = params.block_count();
        let mut memory = Zeroizing::new(Vec::new());
        memory.try_reserve_exact(blocks).map_err(|_| SlotError::NoMemory { kib: cost.memory_kib })?;
        memory.resize(blocks, Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Secret::fill_with(|out| {
            argon2.hash_password_into_with_memory(self.text.as_bytes(), salt, out, memory.as_mut_slice())
        })
        .map(WrappingKey::from_secret)
        .map_err(|_| beyond)
    }
}

impl KeySlot for Passphrase {
    fn kind(&self) -> SlotKind {
        SlotKind::Passphrase
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|_| SlotError::Random)?;
        let wrapped = self.key(self.cost, &salt)?.wrap(self.kind(), wallet, key)?;
        Ok(PassphraseRecord { cost: self.cost, salt, wrapped }.encode())
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        let record = PassphraseRecord::decode(wrapped)?;
        match self.key(record.cost, &record.salt)?.unwrap(self.kind(), wallet, &record.wrapped) {
            Err(SlotError::OtherKey) => Err(SlotError::WrongPassphrase),
            outcome => outcome,
        }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl fmt::Debug for PassphraseRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassphraseRecord").field("cost", &self.cost).finish_non_exhaustive()
    }
}
