//! What a failing store means to a caller. The store's texts name files and records, never what is in them.

use fwp_dbus::{Error, ErrorName};
use fwp_store::slot::{SlotError, SlotKind, TpmProblem};
use fwp_store::{StoreError, Table};

use crate::journal::{self, Notice};

/// Says it in the log, too.
pub(crate) fn refusal(error: &StoreError) -> Error {
    let meaning = meaning(error);
    let notice = match meaning.name {
        ErrorName::StoreRolledBack => Notice::StoreRolledBack,
        _ => Notice::StoreUnusable,
    };
    journal::tell(notice, &format!("the store refuses: {error}"));
    meaning
}

/// What it means.
fn meaning(error: &StoreError) -> Error {
    let text = error.to_string();
    match error {
        StoreError::NoSlotOpens { tried } if tried.iter().any(|(kind, _)| *kind == SlotKind::Passphrase) => {
            let remedy = "the recovery passphrase opens it: \"fwpctl unlock\"";
            Error::new(ErrorName::StoreLocked, format!("{text}; {remedy}"))
        }
        StoreError::NoSlotOpens { tried } if tried.iter().any(|(_, error)| may_open_later(error)) => {
            Error::new(ErrorName::StoreLocked, text)
        }
        StoreError::Slot { source, .. } if may_open_later(source) => Error::new(ErrorName::StoreLocked, text),
        StoreError::RolledBack { .. } | StoreError::CounterLost { .. } | StoreError::Counter(_) => {
            Error::new(ErrorName::StoreRolledBack, format!("{text} (\"fwpctl keys accept-copy\")"))
        }
        StoreError::Slot { .. }
        | StoreError::LastSlot
        | StoreError::LastUsableSlot { .. }
        | StoreError::TooManySlots { .. }
        | StoreError::SlotsNotAtHand { .. } => Error::new(ErrorName::SlotUnusable, text),
        StoreError::NoSuchRow { table: Table::Slot, .. } => {
            Error::new(ErrorName::NotFound, "there is no such key slot; \"fwpctl keys\" lists them")
        }
        _ => Error::new(ErrorName::StoreUnusable, text),
    }
}

/// What it means that a slot can't be added or filled anew: the store itself is open.
pub(crate) fn slot_refusal(error: &StoreError) -> Error {
    match error {
        StoreError::Slot { .. } => Error::new(ErrorName::SlotUnusable, error.to_string()),
        error => meaning(error),
    }
}

/// What may be otherwise in a while, without anybody touching the store.
fn may_open_later(error: &SlotError) -> bool {
    matches!(
        error,
        SlotError::NoService(_)
            | SlotError::Locked(_)
            | SlotError::TimedOut { .. }
            | SlotError::Tpm(
                TpmProblem::Missing { .. }
                    | TpmProblem::NoPermission { .. }
                    | TpmProblem::Busy { .. }
                    | TpmProblem::Gone
                    | TpmProblem::PcrsChanged { .. }
                    | TpmProblem::OwnerPassword
            )
    )
}
