//! The counter against roll-back: one NV counter of the TPM for each wallet, found again by a digest of the wallet's name. It
//! survives a power failure, and nobody can put it back, not with root's rights either; whoever may use the TPM can count it up
//! or delete it, which the store says (and which gives them nothing but the user's attention).
//!
//! A TPM that hangs is waited for once ([`TpmCounter::DEADLINE`]), and not asked again before it has ended what it was asked: the
//! store goes on without it, says so, and looks where the counter is before its next step. So a step that is made late is the one
//! that the store has recorded: the counter is never ahead of the store.
//!
//! TPMs have room for some 25 counters. That of a wallet which is deleted stays until [`OutsideCounter::discard`] (or
//! `tpm2_nvundefine`); whoever deletes a wallet calls it.
//!
//! The TPM's answers are not authenticated here. Who sits between processor and TPM while the computer runs can answer in its
//! place; for them the store would have to be opened with an old copy on a running computer that is theirs.

use crate::patience::{Late, Patience};
use ctap_tpm::{CounterLabel, HardwareError, Tpm};
use fwp_store::{CounterError, CounterKind, OutsideCounter, Pace, WalletId};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The counter of this machine's TPM. Clones are the same one: whoever opens a wallet several times gives it a clone each time.
#[derive(Clone, Debug)]
pub struct TpmCounter(Patience);

impl TpmCounter {
    /// How long the TPM is waited for. A step takes some ten milliseconds.
    pub const DEADLINE: Duration = Duration::from_secs(5);

    /// The counter; nothing is sent to the TPM yet.
    pub fn new(tpm: Arc<Tpm>) -> Self {
        Self(Patience::new(tpm, Self::DEADLINE))
    }

    /// The same, which waits for so long.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self(self.0.within(deadline))
    }

    /// Whether a counter can be made: the TPM answers in time, and its owner hierarchy has no password.
    pub fn is_possible(&self) -> bool {
        self.0.run(Tpm::health).is_ok_and(|health| health.is_ok_and(|health| !health.owner_password))
    }

    fn with<T: Send + 'static>(
        &self,
        wallet: &WalletId,
        work: impl FnOnce(&Tpm, &CounterLabel) -> Result<T, HardwareError> + Send + 'static,
    ) -> Result<T, CounterError> {
        let label = label(wallet);
        self.0.run(move |tpm| work(tpm, &label)).map_err(late)?.map_err(unreachable)
    }
}

impl OutsideCounter for TpmCounter {
    fn kind(&self) -> CounterKind {
        CounterKind::Tpm
    }

    fn pace(&self) -> Pace {
        Pace::DurableCommit
    }

    fn value(&self, wallet: &WalletId) -> Result<Option<u64>, CounterError> {
        self.with(wallet, Tpm::counter_value)
    }

    fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError> {
        self.with(wallet, Tpm::counter_increment)
    }

    fn discard(&mut self, wallet: &WalletId) -> Result<(), CounterError> {
        self.with(wallet, Tpm::counter_remove).map(drop)
    }
}

fn label(wallet: &WalletId) -> CounterLabel {
    Sha256::new().chain_update(b"fwpd store counter").chain_update(wallet.as_bytes()).finalize().into()
}

fn late(late: Late) -> CounterError {
    CounterError::Unreachable(format!("the TPM is busy ({late})"))
}

fn unreachable(error: HardwareError) -> CounterError {
    CounterError::Unreachable(match error {
        HardwareError::Missing { address, cause } => format!("no TPM answers at {address} ({cause})"),
        other => other.to_string(),
    })
}
