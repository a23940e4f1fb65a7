//! Keys in the TPM.
#![deny(unsafe_code)]

mod address;
mod connection;
mod counter;
mod credential;
mod failure;
mod nv_change_auth;
mod pin_object;
mod policy;
mod primary;
mod state;
mod store;
mod tpm;

pub use address::{NoTpmAddress, TpmAddress};
pub use connection::OnCommand;
pub use store::{AAGUID, TpmKeyStore};
pub use tpm::{Health, Lockout, Tpm};
