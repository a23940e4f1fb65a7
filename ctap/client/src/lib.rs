//! All security keys of a machine: which there are, as they come and go, and which one is used.
//!
//! * [`Keys`] knows the transports that it was given (USB, NFC) and gives every key that is plugged in, or lies on a
//!   reader, a [`KeyId`]. [`Keys::list`] tells what they can do, [`Keys::watch`] when they come and go.
//! * [`Keys::choose`] finds the one key for a ceremony: the one that holds a card's key (asked silently), the only one
//!   there, or the one of several that the user touches. It waits while there is none.
//! * A device that comes from here is one session (of NFC, say) until it is dropped, over as many ceremonies as it is used
//!   for; and as long as it lives, nobody else in this process talks to that key.
//!
//! | module | |
//! |---|---|
//! | `keys` | [`Keys`]: list, find, open |
//! | `slot` | one key that is plugged in: who uses it, what is known of it |
//! | `session` | a key in use, as a device |
//! | `watch` | hot-plug: a blocked thread per transport |
//! | `choice` | [`Keys::choose`] |
//!
//! Threads live only while something waits: one per transport that is watched, one per key that is asked or that waits
//! for a touch. Nothing polls.
#![forbid(unsafe_code)]

mod choice;
mod keys;
mod session;
mod slot;
mod watch;

pub use choice::{Chosen, Wanted};
pub use keys::{Found, KeyId, Keys, Listing};
pub use watch::Watch;
