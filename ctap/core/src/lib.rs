//! CTAP 2.1 (Client to Authenticator Protocol, FIDO Alliance, 2021) without I/O: bytes in, bytes and events out.
//!
//! * [`messages`]: the commands and their responses, typed, encoded and decoded in both directions, so that a
//!   platform and an authenticator are made of the same parts; [`Status`] is what an authenticator answers with.
//! * [`authenticator_data`] and [`attestation`]: what an authenticator signs, parsed to the last byte.
//! * [`pin_uv_auth`]: PIN/UV auth protocols one and two, both sides; [`Pin`] is a PIN in memory.
//! * [`ceremony`]: "make a credential", "get an assertion", "set PIN" and "change PIN" as state machines, and
//!   [`ceremony::run`], the loop that drives one over a blocking [`transport::Device`]; besides, what takes one exchange:
//!   getInfo, selection by touch, reset, and the silent question for a credential, [`ceremony::preflight()`].
//! * [`transport`]: what a transport (USB, NFC, TPM, software) implements.
//!
//! Nothing here reads a clock, a file or a socket. Random bytes come from the caller, by [`Random`].
#![forbid(unsafe_code)]

pub mod attestation;
pub mod authenticator_data;
pub mod ceremony;
mod error;
pub mod messages;
mod pin;
pub mod pin_uv_auth;
mod status;
pub mod transport;

pub use error::{Error, MessageError, Mismatch};
pub use pin::{Pin, PinError, PinHash};
pub use status::Status;

/// The source of random bytes ran dry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes from the operating system")]
pub struct RandomError;

/// A cryptographically secure source of random bytes: the operating system's, or a fixed one in tests.
pub trait Random {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`RandomError`] if there are no random bytes; `out` must not be used then.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError>;
}
