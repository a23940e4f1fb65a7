//! What the wallet's store has of the machine's TPM: [`TpmSlot`], a key slot that the TPM seals, and [`TpmCounter`], a counter in
//! its NV memory that notices when the whole store is rolled back. Both take commands of [`ctap_tpm`] and know nothing of the
//! platform authenticator, which uses the same TPM.
//!
//! * [`slot`](TpmSlot): the key slot. `sealed_key`: what it keeps in the store.
//! * [`counter`](TpmCounter): the counter.
//! * `patience`: how long either waits. `problem`: what is wrong with the TPM, in the store's words.
//!
//! # Who can open a slot
//! Whoever may use this TPM (group `tss`, root) and has the store's file. Without the TPM the file is worth nothing; with the
//! computer, a thief who can start a system of their own needs nothing more, unless the slot depends on PCRs that this
//! changes. That is the price of a wallet that opens without a question; paying takes the PIN besides.
#![forbid(unsafe_code)]

mod counter;
mod patience;
mod problem;
mod sealed_key;
mod slot;

pub use counter::TpmCounter;
pub use ctap_tpm::{NoSuchPcr, Pcrs};
pub use sealed_key::SealedKey;
pub use slot::TpmSlot;
