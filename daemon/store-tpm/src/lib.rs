//! What the wallet's store has of the machine's TPM: [`TpmSlot`], a key slot that the TPM seals, and [`TpmCounter`], a counter in
//! its NV memory that notices when the whole store is rolled back.
#![forbid(unsafe_code)]
