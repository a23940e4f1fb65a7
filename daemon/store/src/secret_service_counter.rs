//! An outside counter in the desktop's keyring: an item that says a number.
//!
//! It notices an old copy of the store that was put back by mistake or by a program that synchronises folders. Who has the
//! user's files can put the keyring's file back as well, and who is in the user's session can write any number.

use crate::counter::{CounterError, CounterKind, OutsideCounter, Pace};
use crate::keyring::{KeyringItem, outcome};
use crate::seal::WalletId;
use crate::slot::SlotError;
use keyring_core::Entry;
use std::time::Duration;

/// What an item says before its number.
const FIRST_WORDS: &str = "fwpd counter 1 ";

/// A counter in the user's default keyring.
#[derive(Clone, Debug)]
pub struct SecretServiceCounter(KeyringItem);

impl SecretServiceCounter {
    /// The counter in the keyring of this session (`DBUS_SESSION_BUS_ADDRESS`); `deadline` is how long a call may wait. While
    /// one waits longer, for a prompt say, others fail at once.
    pub fn new(deadline: Duration) -> Self {
        Self(KeyringItem::new("counter", "Counter of the payment wallet (fwpd)", deadline))
    }
}

impl OutsideCounter for SecretServiceCounter {
    fn kind(&self) -> CounterKind {
        CounterKind::SecretService
    }

    fn pace(&self) -> Pace {
        Pace::Opening
    }

    fn value(&self, wallet: &WalletId) -> Result<Option<u64>, CounterError> {
        self.0.with(wallet, |entry| Ok(read(&entry))).map_err(problem)?
    }

    fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError> {
        let work = |entry: Entry| {
            let next = match read(&entry) {
                Ok(value) => value.unwrap_or(0).saturating_add(1),
                // It begins again: the store asked for its value before, and knows what the user said to that.
                Err(CounterError::Malformed(_)) => 1,
                Err(error) => return Ok(Err(error)),
            };
            entry.set_secret(write(next).as_bytes()).map_err(outcome)?;
            Ok(Ok(next))
        };
        self.0.with(wallet, work).map_err(problem)?
    }

    fn discard(&mut self, wallet: &WalletId) -> Result<(), CounterError> {
        let work = |entry: Entry| match entry.delete_credential().map_err(outcome) {
            Err(SlotError::Missing(_)) => Ok(()),
            other => other,
        };
        self.0.with(wallet, work).map_err(problem)
    }
}

fn read(entry: &Entry) -> Result<Option<u64>, CounterError> {
    match entry.get_secret().map_err(outcome) {
        Ok(text) => parse(&text).map(Some),
        // Gone or never there, were it with the whole keyring.
        Err(SlotError::Missing(_)) => Ok(None),
        Err(error) => Err(problem(error)),
    }
}

fn problem(error: SlotError) -> CounterError {
    match error {
        SlotError::Malformed(text) => CounterError::Malformed(text),
        error => CounterError::Unreachable(error.to_string()),
    }
}

fn write(value: u64) -> String {
    format!("{FIRST_WORDS}{value}")
}

/// The number, in the one way in which it is written.
fn parse(bytes: &[u8]) -> Result<u64, CounterError> {
    let malformed = || CounterError::Malformed("the keyring's item says no number of ours".to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let value =
        text.strip_prefix(FIRST_WORDS).and_then(|digits| digits.parse().ok()).ok_or_else(malformed)?;
    if write(value) == text { Ok(value) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_refused_or_the_one_way_to_write_a_number(bytes: Vec<u8>, digits in "[0-9+-]{0,22}") {
            for bytes in [bytes, format!("{FIRST_WORDS}{digits}").into_bytes()] {
                if let Ok(value) = parse(&bytes) {
                    prop_assert_eq!(write(value).into_bytes(), bytes);
                }
            }
        }

        #[test]
        fn every_number_is_read_back(value: u64) {
            prop_assert_eq!(parse(write(value).as_bytes()), Ok(value));
        }
    }
}
