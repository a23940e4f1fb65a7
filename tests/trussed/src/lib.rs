//! The second maker's security key: fido-authenticator on Trussed (Nitrokey, SoloKeys), in software.
//!
//! * [`key`] makes one; it is held in the same hand as the others ([`virtual_keys::Key`]).
//! * `firmware`: the programs of such a key, each on a thread of its own: the authenticator, the Trussed service that has the
//!   keys and the button, and between them and the outside the loop that a microcontroller's interrupts would be.
//! * `cable`: USB as its driver sees it, so that its makers' own CTAPHID layer reads and writes the packets.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

mod board;
mod cable;
mod firmware;

pub use firmware::Batch;
use virtual_keys::{Finger, Key, Touch};

/// A new key, whose user touches it as `touch` says. It has one button, which can't say no: a user who declines does nothing.
pub fn key(touch: Touch) -> Key {
    Key::start("trussed", touch, Finger::None, |body| firmware::run(body, None))
}

/// As [`key`], but as it leaves the factory: it vouches for its credentials with `batch`.
pub fn provisioned_key(touch: Touch, batch: Batch) -> Key {
    Key::start("trussed", touch, Finger::None, |body| firmware::run(body, Some(batch)))
}
