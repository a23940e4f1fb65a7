//! The key slot: 32 random bytes, the slot's own key, sealed by the TPM; the data key wrapped under it.
//!
//! The key is a sealed data object under the owner hierarchy's primary: fixedTPM and fixedParent, so no other TPM ever has it,
//! and noDA, since there is nothing to guess. What passes between program and TPM is encrypted.
//!
//! **PCRs.** By default the slot does not depend on how the computer was started. It can ([`TpmSlot::with_pcrs`]), and is then
//! locked by whatever changes those registers: an update of the firmware, of the boot loader, of the Secure Boot data base
//! (PCR 7). A wallet with such a slot needs another one that does not, a passphrase say, by which the slot is removed and added
//! anew after the update. What is gained: a thief of the whole computer who starts a system
//! of their own gets nothing.

use crate::patience::Patience;
use crate::problem;
use crate::sealed_key::SealedKey;
use ctap_tpm::{Pcrs, Tpm};
use fwp_store::slot::{KeySlot, SlotError, SlotKind, WrappingKey};
use fwp_store::{DataKey, WalletId};
use std::sync::Arc;
use std::time::Duration;

/// A slot that this machine's TPM seals. It opens every such slot of this TPM, whatever its PCRs; a new one that it fills
/// depends on those that it was given, one that it fills again on those that it had. Clones are the same one: while a TPM that hangs
/// is waited for no longer, and has not ended what it was asked, it is not asked again.
#[derive(Clone, Debug)]
pub struct TpmSlot {
    patience: Patience,
    pcrs: Pcrs,
}

impl TpmSlot {
    /// How long the TPM is waited for: a slow one makes two primary keys for a new slot. Below the 25 s that callers usually wait.
    pub const DEADLINE: Duration = Duration::from_secs(20);

    /// The slot; nothing is sent to the TPM yet.
    pub fn new(tpm: Arc<Tpm>) -> Self {
        Self { patience: Patience::new(tpm, Self::DEADLINE), pcrs: Pcrs::NONE }
    }

    /// The same, which waits for so long.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { patience: self.patience.within(deadline), ..self }
    }

    /// The same, filled only for a computer that was started as it is now, as far as `pcrs` tell.
    #[must_use]
    pub fn with_pcrs(self, pcrs: Pcrs) -> Self {
        Self { pcrs, ..self }
    }

    fn fill(&self, wallet: &WalletId, key: &DataKey, pcrs: Pcrs) -> Result<Vec<u8>, SlotError> {
        let own = WrappingKey::generate()?;
        let wrapped = own.wrap(self.kind(), wallet, key)?.try_into().map_err(|_| SlotError::Unsound)?;
        let sealed = self.patience.run(move |tpm| tpm.seal(own.as_bytes(), pcrs));
        let sealed = sealed.map_err(problem::late)?.map_err(problem::of)?;
        Ok(SealedKey { wrapped, sealed }.encode())
    }
}

impl KeySlot for TpmSlot {
    fn kind(&self) -> SlotKind {
        SlotKind::Tpm
    }

    fn wrap(&self, wallet: &WalletId, key: &DataKey) -> Result<Vec<u8>, SlotError> {
        self.fill(wallet, key, self.pcrs)
    }

    /// It depends on the same registers as before, in their state of now.
    fn wrap_again(&self, wallet: &WalletId, key: &DataKey, before: &[u8]) -> Result<Vec<u8>, SlotError> {
        self.fill(wallet, key, SealedKey::decode(before)?.pcrs())
    }

    fn unwrap(&self, wallet: &WalletId, wrapped: &[u8]) -> Result<DataKey, SlotError> {
        let SealedKey { wrapped, sealed } = SealedKey::decode(wrapped)?;
        let own = self.patience.run(move |tpm| tpm.unseal(&sealed));
        let own = own.map_err(problem::late)?.map_err(problem::of_slot)?;
        let own = WrappingKey::from_slice(&own).map_err(|_| SlotError::Altered)?;
        match own.unwrap(self.kind(), wallet, &wrapped) {
            // The two stand together in the store.
            Err(SlotError::OtherKey) => Err(SlotError::Altered),
            outcome => outcome,
        }
    }
}
