//! Copies of all cards: what stands in a file of `Store1.Export`.
//!
//! The file is in the age format (age-encryption.org/v1), encrypted by a passphrase (`sealed`); any program that reads age
//! opens it. What is in it:
//!
//! | bytes | what |
//! |---|---|
//! | 14 | `fwpd backup 1` and a line feed |
//! | 8 | when it was made, in milliseconds since 1970, big-endian |
//! | 4 | how many cards, big-endian |
//! | for each card: 4 | length of the next, big-endian |
//! | | the card as the store has it ([`NewCard::encode`]): credential, label, time of enrollment, authenticator |
//!
//! Keys are not in it: they never leave their authenticators. What a card needs to pay again depends on where its key is.

pub mod sealed;

use fwp_store::record::{NewCard, RecordError};
use zeroize::Zeroizing;

/// Most bytes of a file, and of what is in it: 64 MiB.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;
/// Most cards.
pub const MAX_CARDS: usize = 1000;
/// Most bytes of one card; its picture has at most 256 KiB.
const MAX_CARD_BYTES: usize = 512 * 1024;

const FIRST_LINE: &[u8] = b"fwpd backup 1\n";
/// What every version begins with.
const FIRST_WORDS: &[u8] = b"fwpd backup ";

/// A copy of cards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// When it was made, in milliseconds since 1970.
    pub made_unix_ms: i64,
    /// The cards.
    pub cards: Vec<NewCard>,
}

/// Why bytes are no backup, or no backup is made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// More than [`MAX_FILE_BYTES`].
    #[error("a backup has at most {} MiB", MAX_FILE_BYTES / 1024 / 1024)]
    TooLarge,
    /// More than [`MAX_CARDS`].
    #[error("a backup has at most {MAX_CARDS} cards, this one {0}")]
    TooManyCards(usize),
    /// Not in the age format.
    #[error("it is not in the age format ({0})")]
    NotAge(String),
    /// Encrypted to keys, not by a passphrase.
    #[error("it is not encrypted by a passphrase, as \"fwpctl export\" does it")]
    NoPassphrase,
    /// Its passphrase takes more work than this program does.
    #[error(
        "trying its passphrase takes 2^{wanted} steps, more than the 2^{most} that this program takes upon itself"
    )]
    TooMuchWork {
        /// What it wants, as a power of 2.
        wanted: u8,
        /// What this program does at most.
        most: u8,
    },
    /// The encrypted part was changed or cut off.
    #[error("it is damaged ({0})")]
    Damaged(String),
    /// Another program's file.
    #[error("what is encrypted in it is no backup of fwpd")]
    NotOurs,
    /// A newer version wrote it.
    #[error("a newer version of fwpd wrote it: use that one")]
    Newer,
    /// It ends before its end, or goes on after it.
    #[error("its length is not what it says")]
    Length,
    /// A card that can't be.
    #[error("card {number} in it can't be read: {source}")]
    Card {
        /// Counted from 1.
        number: usize,
        /// Why.
        source: RecordError,
    },
    /// Encryption failed.
    #[error("it can't be encrypted ({0})")]
    Sealing(String),
}

impl Backup {
    /// The bytes that are encrypted.
    ///
    /// # Errors
    /// [`BackupError::TooManyCards`], [`BackupError::TooLarge`].
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let count = u32::try_from(self.cards.len()).ok().filter(|_| self.cards.len() <= MAX_CARDS);
        let count = count.ok_or(BackupError::TooManyCards(self.cards.len()))?;
        let cards: Vec<_> = self.cards.iter().map(|card| Zeroizing::new(card.encode())).collect();
        let length = FIRST_LINE.len() + 12 + cards.iter().map(|card| card.len() + 4).sum::<usize>();
        if length > MAX_FILE_BYTES {
            return Err(BackupError::TooLarge);
        }
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(FIRST_LINE);
        out.extend_from_slice(&self.made_unix_ms.to_be_bytes());
        out.extend_from_slice(&count.to_be_bytes());
        for card in &cards {
            let length = u32::try_from(card.len()).map_err(|_| BackupError::TooLarge)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(card);
        }
        Ok(out)
    }

    /// Reads what [`Backup::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(BackupError::TooLarge);
        }
        let Some(rest) = bytes.strip_prefix(FIRST_LINE) else {
            return Err(if bytes.starts_with(FIRST_WORDS) {
                BackupError::Newer
            } else {
                BackupError::NotOurs
            });
        };
        let (made, rest) = rest.split_first_chunk::<8>().ok_or(BackupError::Length)?;
        let (count, mut rest) = number(rest)?;
        if count > MAX_CARDS {
            return Err(BackupError::TooManyCards(count));
        }
        let mut cards = Vec::new();
        for number in 1..=count {
            let (length, after) = self::number(rest)?;
            let (card, after) = after
                .split_at_checked(length)
                .filter(|_| length <= MAX_CARD_BYTES)
                .ok_or(BackupError::Length)?;
            cards.push(NewCard::decode(card).map_err(|source| BackupError::Card { number, source })?);
            rest = after;
        }
        match rest {
            [] => Ok(Self { made_unix_ms: i64::from_be_bytes(*made), cards }),
            _ => Err(BackupError::Length),
        }
    }
}

/// A number of 4 bytes, and what follows it.
fn number(bytes: &[u8]) -> Result<(usize, &[u8]), BackupError> {
    let (number, rest) = bytes.split_first_chunk::<4>().ok_or(BackupError::Length)?;
    let number = usize::try_from(u32::from_be_bytes(*number)).map_err(|_| BackupError::Length)?;
    Ok((number, rest))
}

#[cfg(test)]
mod tests;
