//! Attempts at PINs, of all wallets of a process: one at a time, and none while an earlier one is not written down.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The wallet of an attempt.
type Wallet = [u8; 16];

#[derive(Default)]
pub(crate) struct Attempts {
    turn: Mutex<()>,
    /// Wrong PINs that are in no state yet.
    unsaved: Mutex<HashMap<Wallet, u8>>,
}

impl Attempts {
    /// Held from the look at what the TPM has counted to its word about the PIN: so that what was near enough to its lockout to refuse
    /// an attempt is so still when it is made.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A wrong PIN was counted by the TPM.
    pub(crate) fn was_wrong(&self, wallet: Wallet) {
        let mut unsaved = self.unsaved();
        let wrong = unsaved.entry(wallet).or_default();
        *wrong = wrong.saturating_add(1);
    }

    /// How many are to be saved yet.
    pub(crate) fn to_be_saved(&self, wallet: Wallet) -> u8 {
        self.unsaved().get(&wallet).copied().unwrap_or(0)
    }

    /// They have been.
    pub(crate) fn saved(&self, wallet: Wallet) {
        self.unsaved().remove(&wallet);
    }

    fn unsaved(&self) -> MutexGuard<'_, HashMap<Wallet, u8>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
