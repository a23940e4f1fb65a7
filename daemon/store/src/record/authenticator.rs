//! What this computer's own authenticators keep in the store. The store does not look into it.

/// Which of those states. The number is its row: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i64)]
pub enum AuthenticatorState {
    /// That of the authenticator with keys in software: its keys.
    Software = 1,
    /// That of the authenticator with keys in the TPM: nothing secret.
    Tpm = 2,
    /// The TPM's attestation key and its certificates: nothing secret.
    TpmAttestation = 3,
    /// What the keys in this computer authorized of late, for the wallet's limits. It outlives cards and resets.
    Spending = 4,
}

impl AuthenticatorState {
    pub(crate) fn row(self) -> i64 {
        self as i64
    }
}
