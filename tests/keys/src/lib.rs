//! Security keys that others made, in software, for tests.
//!
//! * [`key`]: a [`Key`] is a key on a thread of its own, and the hand that touches it, unplugs it, lets its time pass and sees it
//!   blink. [`Key::device`] speaks CTAP to it in-process, [`Key::plug_in`] the 64-byte packets of CTAPHID.
//! * [`opensk`]: Google's OpenSK as such a key.
//! * [`suite`]: every ceremony, against any key over any transport; [`table`]: what came of them, as one table.
//! * [`hostile`]: a key that answers wrongly, in some hundred ways to each command.
//! * [`user`]: the user who types PINs, and a device that looks on.
//! * [`vhci`]: a key as a real USB device of the running kernel.
//! * [`applet`]: a key as a smart card, [`dispatched`] behind another maker's APDU layer; [`vpcd`] lays it on a virtual reader,
//!   [`pcscd`] runs that reader's service for one test.
//!
//! A test fails by panicking, and so does this.
#![forbid(unsafe_code)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod applet;
mod body;
pub mod dispatched;
pub mod hostile;
pub mod key;
pub mod opensk;
pub mod pcscd;
pub mod suite;
pub mod table;
pub mod user;
pub mod vhci;
pub mod vpcd;

pub use body::{Answers, Body, Button, ToKey, Wait};
pub use key::{Endpoint, Finger, Key, KeyDevice, PacketsIn, Seen, Touch};
pub use user::{Between, OsRandom, Typist};

/// A packet of CTAPHID over USB full speed, without the report ID.
pub type Packet = [u8; 64];
