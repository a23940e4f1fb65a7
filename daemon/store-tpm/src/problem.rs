//! What is wrong with the TPM, in the store's words: the TPM's own speak of the authenticator's keys.

use crate::patience::Late;
use ctap_tpm::{HardwareError, UnsealError};
use fwp_store::slot::{SlotError, TpmProblem};

pub(crate) fn of(error: HardwareError) -> TpmProblem {
    match error {
        HardwareError::Missing { address, cause } => TpmProblem::Missing { address, cause },
        HardwareError::NoPermission { address } => TpmProblem::NoPermission { address },
        HardwareError::Busy { cause } => TpmProblem::Busy { cause },
        HardwareError::Gone => TpmProblem::Gone,
        HardwareError::Cleared => TpmProblem::Cleared,
        HardwareError::Replaced => TpmProblem::Replaced,
        HardwareError::ClearedOrReplaced => TpmProblem::ClearedOrReplaced,
        HardwareError::OwnerPassword => TpmProblem::OwnerPassword,
        other => TpmProblem::Other(other.to_string()),
    }
}

pub(crate) fn late(late: Late) -> TpmProblem {
    TpmProblem::Busy { cause: late.to_string() }
}

pub(crate) fn of_slot(error: UnsealError) -> SlotError {
    match error {
        UnsealError::Hardware(error) => of(error).into(),
        UnsealError::PcrsChanged(pcrs) => TpmProblem::PcrsChanged { pcrs: pcrs.numbers().collect() }.into(),
        UnsealError::Altered => SlotError::Altered,
    }
}
