//! What can be wrong with a slot that the TPM seals. Its driver is in another crate, which links the TPM's library.

/// Why the TPM does not take or give the slot's own key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TpmProblem {
    /// There is none.
    #[error(
        "no TPM answers at {address} ({cause}): switch it on in the firmware's settings, or open the wallet with another slot"
    )]
    Missing {
        /// Where it was looked for.
        address: String,
        /// The operating system's words.
        cause: String,
    },
    /// It may not be opened.
    #[error(
        "no permission to use the TPM at {address}: the program's user has to be in the group \"tss\" (log in again afterwards)"
    )]
    NoPermission {
        /// Where it is.
        address: String,
    },
    /// It is there, but has no room for what this needs now, or no time.
    #[error("the TPM is busy with other programs ({cause}): try again in a moment")]
    Busy {
        /// What there was too little of.
        cause: String,
    },
    /// It stopped answering in the middle.
    #[error("the TPM stopped answering: try again, and restart the computer if that does not help")]
    Gone,
    /// It is the same one, but was cleared since: what it sealed before is lost.
    #[error(
        "the TPM was cleared, which made this slot useless: open the wallet with another slot, remove this one and add it anew"
    )]
    Cleared,
    /// It is another one.
    #[error(
        "this is not the TPM that sealed it: put the disk back into its computer, or open the wallet with another slot, remove this one and add it anew"
    )]
    Replaced,
    /// One of both, it can't be told which.
    #[error(
        "the TPM was cleared, or is not the one that sealed it: put the disk back into its computer, or open the wallet with another slot, remove this one and add it anew"
    )]
    ClearedOrReplaced,
    /// The computer was started in another way: other firmware, other settings, another boot loader.
    #[error(
        "the computer was not started as it was when this slot was made (PCR {}): open the wallet with another slot, remove this one and add it anew",
        list(pcrs)
    )]
    PcrsChanged {
        /// The registers that the slot depends on.
        pcrs: Vec<u32>,
    },
    /// Its owner hierarchy has a password.
    #[error(
        "the TPM's owner hierarchy has a password: take it away (tpm2_changeauth -c owner -p OLD), or use another slot"
    )]
    OwnerPassword,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn list(pcrs: &[u32]) -> String {
    pcrs.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
