//! The counter against roll-back: one NV counter of the TPM for each wallet, found again by a digest of the wallet's name. It
//! survives a power failure, and nobody can put it back, not with root's rights either; whoever may use the TPM can count it up
//! or delete it, which the store says (and which gives them nothing but the user's attention).
//!
//! TPMs have room for some 25 counters. That of a wallet which is deleted stays until [`OutsideCounter::discard`] (or
//! `tpm2_nvundefine`); whoever deletes a wallet calls it.
//!
//! The TPM's answers are not authenticated here. Who sits between processor and TPM while the computer runs can answer in its
//! place; for them the store would have to be opened with an old copy on a running computer that is theirs.

use ctap_tpm::{CounterLabel, HardwareError, Tpm};
use fwp_store::{CounterError, CounterKind, OutsideCounter, Pace, WalletId};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The counter of this machine's TPM.
#[derive(Clone, Debug)]
pub struct TpmCounter {
    tpm: Arc<Tpm>,
}

impl TpmCounter {
    /// The counter; nothing is sent to the TPM yet.
    pub fn new(tpm: Arc<Tpm>) -> Self {
        Self { tpm }
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
        self.tpm.counter_value(&label(wallet)).map_err(unreachable)
    }

    fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError> {
        self.tpm.counter_increment(&label(wallet)).map_err(unreachable)
    }

    fn discard(&mut self, wallet: &WalletId) -> Result<(), CounterError> {
        self.tpm.counter_remove(&label(wallet)).map(drop).map_err(unreachable)
    }
}

fn label(wallet: &WalletId) -> CounterLabel {
    Sha256::new().chain_update(b"fwpd store counter").chain_update(wallet.as_bytes()).finalize().into()
}

fn unreachable(error: HardwareError) -> CounterError {
    CounterError::Unreachable(match error {
        HardwareError::Missing { address, cause } => format!("no TPM answers at {address} ({cause})"),
        other => other.to_string(),
    })
}
