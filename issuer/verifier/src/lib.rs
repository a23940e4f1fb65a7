//! The bank's library: verifies FIDO Web Pay authorizations and books each at most once. It does no I/O: the clock, the
//! keys, the texts and the store come from the caller.
//!
//! | module | what | FIDO Web Pay section 6 |
//! |---|---|---|
//! | [`psp`] | the PSP's checks, and IssuerRequest from PSPRequest | step 8 |
//! | [`verified`] | the issuer's checks that need no memory, in order | steps 10.1 to 10.4 |
//! | [`terms`] | what an issuer serves and expects | step 10.1 |
//! | [`issuer_key`], [`decrypt`] | the bank's keys; from ESAD to SAD | step 10.2 |
//! | [`authenticator_data`], [`mod@signature`] | what the authenticator said and signed | step 10.4 |
//! | [`booking`] | replay, idempotency, uniqueness, booking: one transaction | step 10.5 |
//! | [`attestation`] | is a new FIDO key good for cards? | section 5 |
//! | [`certificate`], [`maker`] | the certificates of its attestation, and whether they lead to a maker's root | |
//! | [`tpm_certificate`] | those of a TPM's attestation key | |
//! | [`endorsement`] | for who issues these: a TPM's own certificate, by its maker | |
//! | [`error`] | why the answer is no | |
//!
//! A bank does for every delivery:
//!
//! ```text
//! let payment = fwp_verifier::verify(text, &keys, &terms, Some(now_ms))?;
//! let reply = fwp_verifier::settle(&store, &delivery, &payment, Retention::default(), now_ms)?;
//! ```
//!
//! Cryptography is aws-lc-rs, chosen by measurement. On the machine where this was written (x86-64, release build, medians in
//! µs; ring and graviola lack AES-192, and ring static keys):
//!
//! | | aws-lc-rs | graviola | ring | the wallet's pure Rust |
//! |---|---|---|---|---|
//! | ES256 verification | 58 | 61 | 60 | 445 |
//! | X25519 | 28 | 28 | 42 | 60 |
//! | ECDH on P-256 | 52 | 52 | | 295 |
//! | AES-256-GCM, 500 bytes | 0.5 | 0.5 | 0.5 | 0.5 |
//!
//! Ed25519 stays with ed25519-dalek, for its strict verification; AES key wrap with aes-kw, since aws-lc-rs has none for 192
//! bits; HKDF with the hkdf crate, which is faster here.
#![forbid(unsafe_code)]

pub mod attestation;
pub mod authenticator_data;
pub mod booking;
pub mod certificate;
pub mod decrypt;
pub mod endorsement;
pub mod error;
pub mod issuer_key;
pub mod maker;
pub mod psp;
pub mod signature;
pub mod terms;
pub mod tpm_certificate;
pub mod verified;

pub use attestation::{AttestedKey, verify_attestation};
pub use booking::{Answer, Delivery, Reply, Retention, SettleError, settle};
pub use error::Refusal;
pub use issuer_key::{IssuerKey, IssuerKeyError, KeyRing};
pub use maker::{AttestationRoots, Vouched};
pub use terms::{NetworkTerms, Terms};
pub use verified::{Unchecked, Verified, open_and_verify, verify};
