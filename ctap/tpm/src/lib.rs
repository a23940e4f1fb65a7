//! Keys in the machine's TPM 2.0: a [`KeyStore`](ctap_authenticator::KeyStore) for the platform authenticator, by `tss-esapi` on
//! the system's tpm2-tss. Section numbers are those of the TPM 2.0 Library specification, revision 1.59.
//!
//! * [`Tpm`]: the TPM of this machine, shared by the wallets of a process. [`Tpm::health`] for those who diagnose.
//! * [`TpmKeyStore`]: one wallet's keys. `credential`: what a credential ID is. `pin_object`: where the PIN is.
//!   `primary`: the keys' parent. `counter`: the signature counter. `state`: what is kept outside the TPM.
//! * [`Tpm::seal`], [`Tpm::unseal`]: small secrets that this TPM alone gives back. [`Tpm::counter_value`],
//!   [`Tpm::counter_increment`]: counters by label, in `nv_counter`. The wallet's store uses both.
//! * [`AttestationKey`]: what vouches for keys, with a certificate that a CA gives it.
//! * `connection`: whatever was made in the TPM is flushed when it is dropped. `failure`: response codes.
//!   `nv_change_auth`: the one module with `unsafe`.
//!
//! # What is in the TPM
//! | what | where | size | who may |
//! |---|---|---|---|
//! | primary, ECC P-256, restricted decryption (Part 1, 26.2.5) | made from the owner's seed when needed, kept as a saved context | transient | anyone at the TPM: load a child |
//! | a key for each credential, ECC P-256, ECDSA (Part 2, 12.2) | its blobs are the credential ID, about 250 bytes | transient while it signs | who has the PIN and the PIN object's content: sign |
//! | PIN object, one for each wallet (Part 1, 37) | NV, 0x01bd0000 to 0x01bdffff | 32 bytes | who has the PIN: read, write, change the PIN; the owner: delete |
//! | counter, one for all (Part 1, 37.2.4) | NV, 0x01bcf0d0 | 8 bytes | anyone at the TPM: read, count up; the owner: delete |
//! | counters by label, one for each store | NV, 0x01be0000 to 0x01beffff | 8 bytes | as above |
//! | sealed secret | its blobs are kept outside, about 260 bytes | transient while it is read | anyone at the TPM who has the blobs, with registers if they are as they were |
//!
//! # The PIN
//! LEFT16(SHA-256(PIN)), as CTAP has it, is the authorization value of the PIN object. The TPM compares it (in constant time),
//! counts a wrong one before it answers, and locks (Part 1, 19.11). `TPM2_NV_ChangeAuth` changes it there, so no blob and no copy of
//! the state has an old PIN in it. Each key's policy is PolicySecret on that object (with wallet and rpId as policyRef), and
//! PolicyAuthValue: its authorization value is the object's content, 32 random bytes. Without the second, whoever has the owner's
//! rights, which mostly have no password, could delete the object, make another one of the same name (names do not cover
//! authorization values) with a PIN of their own, and sign.
//!
//! Sessions that prove or change a PIN are salted with the primary and encrypt what can be encrypted (Part 1, 19.6.8 and 21): who
//! listens on the bus learns nothing to try PINs with. The session that signs has no salt; its HMAC is keyed with those 32
//! bytes, and what passes there (policy, digest, signature) is no secret. The primary is known again by its name, which
//! the state keeps from the first time: an interposer would have had to be there then.
//!
//! # Locking
//! The lockout is the TPM's, for all its users and programs. CTAP's eight attempts in a row are counted in the state besides. An
//! attempt, were it with the right PIN, is refused ([`HardwareError::NearLockout`]) to whoever was wrong since they were right,
//! when one more failure could lock the TPM; and to whoever has half of what locks it counted against them, which neither the
//! right PIN nor a reset takes away, but the TPM's own forgiving does. So one user alone locks nobody out and leaves the others
//! half of all attempts; who was not wrong is never held up by others who were, short of the lockout itself, for which it takes
//! two. The wallets of a process try one after the other, and none tries again before its last wrong PIN is saved (`attempts`). An
//! old copy of the state gives those attempts back, the TPM's count stays. Where the lockout hierarchy has no password
//! ([`Health::lockout_password`]), whoever may use the TPM may forgive wrong PINs and try on; giving it one
//! (`tpm2_changeauth -c lockout`) is the administrator's choice.
//!
//! # The commands of a payment
//! Fourteen; `tests/bus.rs` has the list, and holds the wires to it. It is the least for this design: the primary has to be there
//! to salt a session and to load a key (ContextLoad, Load, StartAuthSession); the PIN is checked before anything is done with it,
//! by reading what the keys want besides (NV_Read); a policy needs a session of its own and both its steps
//! (StartAuthSession, PolicySecret, PolicyAuthValue, Sign); the counter does not tell its value when it counts (NV_Increment,
//! NV_Read). Sessions end with their last command, not by one of their own; of objects a TPM has three slots, so both are
//! flushed. The two NV_ReadPublic are ESAPI's: it wants an index's name from the TPM, and tss-esapi has no
//! Esys_TR_Deserialize to give it one. They are also what tells a deleted PIN object from a wrong PIN.
//!
//! Unlocking the store by its slot ([`Tpm::unseal`]) takes, in a process that has used the TPM before, ContextLoad, Load,
//! StartAuthSession, Unseal and two FlushContext; at its start CreatePrimary and ContextSave in the place of ContextLoad; with
//! registers PolicyPCR besides. A step of the store's counter takes NV_ReadPublic, NV_Increment and NV_Read, its value the first and
//! the last.
//!
//! # Who can do what
//! * With the disk alone: nothing. Credential IDs load in this TPM only.
//! * With the disk and the TPM, a stolen computer: guess PINs at the pace of the lockout; at any pace if the lockout hierarchy has no
//!   password and they can boot a system of their own. Delete, not use, the keys.
//! * A program of group `tss`, or root: as before, and count up the counter; see a PIN only where it sees the wallet's memory.
//!   With a PIN it can sign while it has the TPM. Changing the PIN takes that away from who knows the PIN alone, not from who has read
//!   the PIN object with it: with the owner's rights, which have no password where this works, the same object can be made anew with
//!   that content and another PIN, and then the blobs that were there sign, after a reset too. A PIN that such a program has seen
//!   is a matter for the bank: it ends the cards' keys. `TPM2_Clear` ends them in the TPM.
//! * TPM2_Clear, by the firmware or the lockout hierarchy: deletes all of it, and is told from another TPM by a primary under the
//!   endorsement hierarchy, which outlives it.
//!
//! # Memory
//! The PIN's hash is in memory from the right PIN until the keys are locked, and what this crate has of it is wiped then, from the
//! stack too. libtss2 frees the keys of its sessions, which the PIN is a part of, without wiping them: start programs
//! with `MALLOC_PERTURB_` set (mallopt(3)), and the C library does.
//!
//! # The library's log
//! libtss2 prints what fails (a wrong PIN, a missing index) to standard error: start programs with `TSS2_LOG=all+none`.
//! libtss2 resends by itself what the TPM asks to be sent again (TPM_RC_RETRY): [`OnCommand`] is told once.
#![deny(unsafe_code)]

mod address;
mod attempts;
mod attestation;
mod connection;
mod counter;
mod credential;
mod failure;
mod nv_change_auth;
mod nv_counter;
mod pcrs;
mod pin_object;
mod policy;
mod primary;
mod sealed;
mod state;
mod store;
mod tpm;
mod unlocked;
mod wipe;

pub use address::{NoTpmAddress, TpmAddress};
pub use attestation::{AttestationKey, Certified};
pub use connection::OnCommand;
pub use ctap_authenticator::HardwareError;
pub use nv_counter::CounterLabel;
pub use pcrs::{NoSuchPcr, Pcrs};
pub use sealed::{MAX_SEALED, Sealed, UnsealError};
pub use store::{AAGUID, Attestation, TpmKeyStore};
pub use tpm::{Health, Lockout, Tpm};
