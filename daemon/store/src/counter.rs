//! Roll-back of the whole store. The head sees when single records are put back, but not when all files are: for that a
//! number has to stand somewhere else.
//!
//! The head records the number that the outside counter has, or is about to have. At each step of its [`Pace`] a commit
//! writes the next number, and then the counter is moved there; so the counter is never ahead of the newest state of the
//! store, and a store that is behind the counter is an old one. A process that ends between the two leaves a store one ahead,
//! which the next opening makes up for.
//!
//! | the store's number is | then |
//! |---|---|
//! | the counter's | this is the newest state, up to lazy commits |
//! | at most [`MOST_BEHIND`] ahead | the counter's last steps were lost (a kill, a power cut, a keyring put back): it is moved |
//! | behind | the store was rolled back: refused |
//! | further ahead, or the counter is gone | it is another counter: refused |
//! | missing, and there is no counter | the first opening with a counter: one is made |
//! | missing, and there is a counter | the store is from before the first: refused |
//!
//! Refused means that nothing is changed until the user says that this copy is meant
//! ([`Locked::unlock_as_newest`](crate::Locked::unlock_as_newest)).
//!
//! **What is not noticed.** States between two steps are the same to the counter. At the pace of durable commits that is a
//! copy from after the newest of them, put back after lazy ones: at most the outcomes in history and audit log since then
//! (a power cut may undo the same), or one made within the milliseconds between a commit and its step. At the pace of
//! openings it is everything since the newest opening. Further, a copy from the moment in which the counter was made (between
//! two commits of the first opening that had one); everything while the counter can't be asked, which is said
//! and does not lock the wallet. And whoever can put back both, the store and what the counter stands in.
//!
//! **Which pace.** The ledger's ties and the counted attempts at a PIN are durable commits, and whoever can put back either
//! can try again: against that every one of them has to count, which a counter of the TPM does for the price of about
//! another fsync, while nobody can put it back. A counter in the keyring can be put back by everyone with the user's files,
//! and written by everyone in the user's session: it guards against mistakes (a backup, a synchronised folder), for which
//! openings are close enough, and a payment need not wait for a keyring.

use crate::seal::WalletId;
use std::fmt;

/// How far the counter may be behind the store and is moved rather than refused: what a power cut may cost a keyring that
/// does not wait for the disk.
pub const MOST_BEHIND: u64 = 256;

/// A counter that stands outside of the store, one for each wallet, and moved for that wallet alone. It only goes up, in
/// steps of one, as the TPM's do, and may begin anywhere.
pub trait OutsideCounter: Send {
    /// What it stands in.
    fn kind(&self) -> CounterKind;

    /// When it is moved.
    fn pace(&self) -> Pace;

    /// Its value; `None` where this wallet never had one.
    ///
    /// # Errors
    /// [`CounterError`].
    fn value(&self, wallet: &WalletId) -> Result<Option<u64>, CounterError>;

    /// Moves it one up, or makes it if there is none, and returns its value, which survives the loss of power as well as
    /// what it stands in can say.
    ///
    /// # Errors
    /// [`CounterError`].
    fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError>;

    /// Deletes it: for when the wallet itself is deleted. While the wallet lives this locks it
    /// ([`StoreError::CounterLost`](crate::StoreError::CounterLost)) until the user says that this copy is meant. That there is
    /// none is no error.
    ///
    /// # Errors
    /// [`CounterError`].
    fn discard(&mut self, _wallet: &WalletId) -> Result<(), CounterError> {
        Ok(())
    }
}

/// When a counter is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At each opening of the wallet: at the price of one more durable commit there.
    Opening,
    /// With each durable commit; openings only read. A payment has one.
    DurableCommit,
}

/// What a counter stands in. The number stands in the store: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CounterKind {
    /// An item of the user's keyring.
    SecretService,
    /// A counter in the TPM's NV memory.
    Tpm,
    /// One that this version does not know.
    Unknown(i64),
}

/// Why a counter says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CounterError {
    /// It can't be asked or moved now: no keyring, a locked one, no TPM.
    #[error("it can't be reached: {0}")]
    Unreachable(String),
    /// What stands there is no number of ours.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// Something else moved it: another copy of this wallet is in use.
    #[error("it is at {found} instead of {expected}: another copy of this wallet is in use")]
    MovedByAnother {
        /// Where this store moved it to.
        expected: u64,
        /// Where it is.
        found: u64,
    },
}

/// Whether the store can tell that it was rolled back as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBack {
    /// There is no outside counter, or it could not be asked ([`Store::counter_problem`](crate::Store::counter_problem)
    /// says why): not detected here.
    NotDetectedHere,
    /// The store is at least as new as the outside counter says.
    Excluded,
}

/// What the head says of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) kind: CounterKind,
    /// Where the counter is or is about to be; `None` while it is made.
    pub(crate) value: Option<u64>,
}

/// What store and counter say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The newest state; the counter lacks this many steps.
    Newest { steps: u64 },
    /// There was none: one is made.
    First,
    /// The store is older than the counter.
    RolledBack { found: u64, counter: u64 },
    /// The counter is not the one that the store knows.
    Lost { expected: u64, found: Option<u64> },
}

pub(crate) fn judge(recorded: Option<Recorded>, kind: CounterKind, outside: Option<u64>) -> Verdict {
    match (recorded.filter(|recorded| recorded.kind == kind).map(|recorded| recorded.value), outside) {
        (Some(Some(found)), Some(counter)) if counter > found => Verdict::RolledBack { found, counter },
        (Some(Some(found)), Some(counter)) if found - counter <= MOST_BEHIND => {
            Verdict::Newest { steps: found - counter }
        }
        (Some(Some(expected)), found) => Verdict::Lost { expected, found },
        // The process ended while the counter was made; whether it was, does not matter.
        (Some(None), _) | (None, None) => Verdict::First,
        (None, Some(counter)) => Verdict::RolledBack { found: 0, counter },
    }
}

impl CounterKind {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::SecretService => 1,
            Self::Tpm => 2,
            Self::Unknown(code) => code,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => Self::SecretService,
            2 => Self::Tpm,
            code => Self::Unknown(code),
        }
    }
}

impl fmt::Display for CounterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretService => f.write_str("Secret Service"),
            Self::Tpm => f.write_str("TPM"),
            Self::Unknown(code) => write!(f, "counter of unknown kind {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: CounterKind = CounterKind::Tpm;

    fn at(value: u64) -> Option<Recorded> {
        Some(Recorded { kind: HERE, value: Some(value) })
    }

    #[test]
    fn store_and_counter_are_compared_as_the_table_says() {
        assert_eq!(judge(at(7), HERE, Some(7)), Verdict::Newest { steps: 0 });
        assert_eq!(judge(at(8), HERE, Some(7)), Verdict::Newest { steps: 1 });
        assert_eq!(judge(at(7 + MOST_BEHIND), HERE, Some(7)), Verdict::Newest { steps: MOST_BEHIND });
        assert_eq!(judge(at(6), HERE, Some(7)), Verdict::RolledBack { found: 6, counter: 7 });
        let lost = Verdict::Lost { expected: 8 + MOST_BEHIND, found: Some(7) };
        assert_eq!(judge(at(8 + MOST_BEHIND), HERE, Some(7)), lost);
        assert_eq!(judge(at(7), HERE, None), Verdict::Lost { expected: 7, found: None });
        assert_eq!(judge(None, HERE, None), Verdict::First);
        assert_eq!(judge(None, HERE, Some(7)), Verdict::RolledBack { found: 0, counter: 7 });
        for outside in [None, Some(7)] {
            let begun = Some(Recorded { kind: HERE, value: None });
            assert_eq!(judge(begun, HERE, outside), Verdict::First);
        }
        // A store of the keyring's time, and a counter of the TPM that it never heard of.
        let other = Some(Recorded { kind: CounterKind::SecretService, value: Some(99) });
        assert_eq!(judge(other, HERE, Some(7)), Verdict::RolledBack { found: 0, counter: 7 });
        assert_eq!(judge(other, HERE, None), Verdict::First);
    }

    proptest! {
        #[test]
        fn whatever_is_behind_the_counter_is_refused(found: u64, counter: u64) {
            let refused = matches!(judge(at(found), HERE, Some(counter)), Verdict::RolledBack { .. });
            prop_assert_eq!(refused, found < counter);
        }
    }
}
