//! Strict deterministic CBOR (RFC 8949 section 4.2.1), the COSE public keys (RFC 9052, RFC 9053, RFC 8230) that FIDO
//! Web Pay and CTAP use, and verification of their three signature algorithms.
//!
//! A leaf: it knows no other crate of the workspace, does no I/O and takes no randomness.
//!
//! * [`cbor`]: [`cbor::Value`], [`cbor::decode`], [`cbor::Value::encode`] and [`cbor::Fields`] for reading maps
//!   against a schema.
//! * [`key`]: public keys, each valid by construction.
//! * [`signature`]: ES256, Ed25519 and RS256 verification.
//! * [`tpm`]: the `tpm` attestation statement, which authenticators make and banks verify.
#![forbid(unsafe_code)]

mod algorithm;
pub mod cbor;
pub mod key;
pub mod signature;
pub mod tpm;

pub use algorithm::SignatureAlgorithm;
pub use key::{KeyError, PublicKey};
pub use signature::SignatureError;
