//! What guards the key of a user's store: which slots are at hand, which one a new store gets, and which counter outside of it
//! notices when an old copy is put back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fwp_store::slot::{
    KeyFile, KeySlot, SecretServiceSlot, SlotError, SlotKind, SystemdCredential, TpmProblem,
};
use fwp_store::{CounterKind, OutsideCounter, SecretServiceCounter, Store, StoreError};
use fwp_store_tpm::{Pcrs, TpmCounter, TpmSlot};

use crate::config::{KeySlotChoice, RollBackChoice};
use crate::context::{Bus, Context};

/// How long the keyring may take; a prompt of its own may wait for the user. Below the 25 s that callers usually wait.
const KEYRING_DEADLINE: Duration = Duration::from_secs(20);

/// The credential's name, as the unit has it.
const CREDENTIAL: &str = "fwpd.wallet-key";

/// What a user's store can be guarded by here. Nothing is asked before it is needed: a TPM or keyring that no slot and no
/// counter is in costs nothing.
#[derive(Debug)]
pub(crate) struct Guards {
    key_file: KeyFile,
    credential: Option<SystemdCredential>,
    tpm: Option<(TpmSlot, TpmCounter)>,
    keyring: Option<(SecretServiceSlot, SecretServiceCounter)>,
    for_new: KeySlotChoice,
    roll_back: RollBackChoice,
}

/// A driver of a slot, for a thread that may wait.
pub(super) type Slot = Box<dyn KeySlot + Send>;

/// A slot for a new store, and whether another one is taken where this one isn't there.
pub(super) struct Candidate {
    pub(super) slot: Slot,
    pub(super) is_wanted: bool,
}

impl Candidate {
    /// Whether the next one is tried after this failure. A keyring that is locked and a TPM that is busy are worth waiting for: what
    /// comes next may be a file, for good. A slot that was chosen by name is never replaced by another.
    pub(super) fn gives_way(&self, error: &StoreError) -> bool {
        let StoreError::Slot { source, .. } = error else { return false };
        let is_absent = match source {
            SlotError::NoService(_) | SlotError::Missing(_) => true,
            SlotError::Tpm(problem) => !matches!(problem, TpmProblem::Busy { .. } | TpmProblem::Gone),
            _ => false,
        };
        !self.is_wanted && is_absent
    }
}

impl Guards {
    /// Those of this process, with the key file at `key_file` where there is one.
    pub(crate) fn of(context: &Context, key_file: PathBuf) -> Self {
        // systemd.exec(5): where it puts the credentials of a service.
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty());
        let keyring = (context.bus == Bus::Session)
            .then(|| (SecretServiceSlot::new(KEYRING_DEADLINE), SecretServiceCounter::new(KEYRING_DEADLINE)));
        Self {
            key_file: KeyFile::new(key_file),
            credential: credentials.map(|directory| SystemdCredential::new(directory, CREDENTIAL)),
            tpm: context
                .tpm
                .as_ref()
                .map(|tpm| (TpmSlot::new(Arc::clone(tpm)), TpmCounter::new(Arc::clone(tpm)))),
            keyring,
            for_new: context.config.key_slot,
            roll_back: context.config.roll_back,
        }
    }

    /// A key file and nothing else.
    #[cfg(test)]
    pub(crate) fn file(key_file: PathBuf) -> Self {
        Self {
            key_file: KeyFile::new(key_file),
            credential: None,
            tpm: None,
            keyring: None,
            for_new: KeySlotChoice::File,
            roll_back: RollBackChoice::None,
        }
    }

    /// Every slot that opens without a question to the user through the agent, the best first.
    pub(super) fn at_hand(&self) -> Vec<Slot> {
        [SlotKind::SystemdCredential, SlotKind::Tpm, SlotKind::SecretService, SlotKind::KeyFile]
            .into_iter()
            .filter_map(|kind| self.slot(kind, None).ok())
            .collect()
    }

    /// The slot of this kind; in the TPM, for these PCRs.
    ///
    /// # Errors
    /// [`SlotError::NoService`], [`SlotError::Missing`], [`SlotError::NotAtHand`]: why there is none, and the remedy.
    pub(super) fn slot(&self, kind: SlotKind, pcrs: Option<Pcrs>) -> Result<Slot, SlotError> {
        match kind {
            SlotKind::KeyFile => Ok(Box::new(self.key_file.clone())),
            SlotKind::SystemdCredential => match &self.credential {
                Some(slot) => Ok(Box::new(slot.clone())),
                None => Err(SlotError::Missing(format!(
                    "systemd gave this program no credentials; its unit needs LoadCredentialEncrypted={CREDENTIAL}"
                ))),
            },
            SlotKind::Tpm => match &self.tpm {
                Some((slot, _)) => Ok(Box::new(slot.clone().with_pcrs(pcrs.unwrap_or(Pcrs::NONE)))),
                None => Err(SlotError::Missing(
                    "the configuration switches the TPM off ([tpm] address = \"none\")".to_owned(),
                )),
            },
            SlotKind::SecretService => match &self.keyring {
                Some((slot, _)) => Ok(Box::new(slot.clone())),
                None => {
                    Err(SlotError::NoService("a wallet of the system's bus has no user's keyring".to_owned()))
                }
            },
            SlotKind::Passphrase | SlotKind::Unknown(_) => Err(SlotError::NotAtHand),
        }
    }

    /// What a new store is guarded by, in the order in which it is tried.
    ///
    /// # Errors
    /// [`StoreError::Slot`] if the one that was chosen is not there.
    pub(super) fn for_new(&self) -> Result<Vec<Candidate>, StoreError> {
        let wanted = |kind| match self.slot(kind, None) {
            Ok(slot) => Ok(vec![Candidate { slot, is_wanted: true }]),
            Err(source) => Err(StoreError::Slot { kind, source }),
        };
        match self.for_new {
            KeySlotChoice::Keyring => wanted(SlotKind::SecretService),
            KeySlotChoice::Credential => wanted(SlotKind::SystemdCredential),
            KeySlotChoice::Tpm => wanted(SlotKind::Tpm),
            KeySlotChoice::File => wanted(SlotKind::KeyFile),
            KeySlotChoice::Best => {
                let kinds = [SlotKind::SecretService, SlotKind::SystemdCredential, SlotKind::Tpm];
                let better = kinds.into_iter().filter_map(|kind| self.slot(kind, None).ok());
                let file: Slot = Box::new(self.key_file.clone());
                Ok(better.chain([file]).map(|slot| Candidate { slot, is_wanted: false }).collect())
            }
        }
    }

    /// What counts outside of `store`: the TPM, if it answers or counted for this store before; else the keyring, if that guards
    /// the store anyway. A TPM that is away for a while is waited for rather than replaced: when it comes back, its count would be
    /// that of another time.
    pub(super) fn counter_of(&self, store: &Store) -> Option<Counter> {
        let has_keyring_slot = || {
            let slots = store.slots().unwrap_or_default();
            slots.iter().any(|(_, kind)| *kind == SlotKind::SecretService)
        };
        let by_tpm = self.tpm.as_ref().map(|(_, counter)| Counter::Tpm(counter.clone()));
        let by_keyring = || self.keyring.as_ref().map(|(_, counter)| Counter::Keyring(counter.clone()));
        match self.roll_back {
            RollBackChoice::None => None,
            RollBackChoice::Tpm => by_tpm,
            RollBackChoice::Keyring => by_keyring(),
            RollBackChoice::Best => {
                let counted = store.counter_kind() == Some(CounterKind::Tpm);
                match &self.tpm {
                    Some((_, counter)) if counted || counter.is_possible() => by_tpm,
                    _ if counted => None,
                    _ => by_keyring().filter(|_| has_keyring_slot()),
                }
            }
        }
    }
}

/// A counter outside of the store.
pub(super) enum Counter {
    Tpm(TpmCounter),
    Keyring(SecretServiceCounter),
}

impl Counter {
    /// It, as the store takes it.
    pub(super) fn open(&self) -> Box<dyn OutsideCounter> {
        match self {
            Self::Tpm(counter) => Box::new(counter.clone()),
            Self::Keyring(counter) => Box::new(counter.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_absent_gives_way_to_a_lesser_slot() {
        let file = || Box::new(KeyFile::new("/nowhere"));
        let [best, wanted] = [false, true].map(|is_wanted| Candidate { slot: file(), is_wanted });
        let fails = |problem: TpmProblem| StoreError::Slot { kind: SlotKind::Tpm, source: problem.into() };
        let cause = || "no answer".to_owned();
        for (problem, gives_way) in [
            (TpmProblem::Missing { address: "device:/dev/tpmrm0".to_owned(), cause: cause() }, true),
            (TpmProblem::NoPermission { address: "device:/dev/tpmrm0".to_owned() }, true),
            (TpmProblem::OwnerPassword, true),
            (TpmProblem::Busy { cause: cause() }, false),
            (TpmProblem::Gone, false),
        ] {
            let error = fails(problem);
            assert_eq!(best.gives_way(&error), gives_way, "{error}");
            assert!(!wanted.gives_way(&error), "{error}");
        }
    }
}
