//! Ceremonies: what takes several commands and the user, as state machines without I/O.
//!
//! [`MakeCredential`], [`GetAssertion`], [`SetPin`] and [`ChangePin`] are each a [`Ceremony`]: a [`step`](Ceremony::step)
//! takes an [`Input`] and says what is next, an [`Output`]. The caller moves the bytes and asks the user; [`run`] does
//! so for blocking devices.
//!
//! What holds in all of them:
//! * A PIN is asked for with the attempts that are left, and only a PIN that was typed for this question is sent: never
//!   one kept, never twice. It goes to the device that was there when it was asked for: it is encrypted for the key that
//!   this one gave before the question, so that a card that was laid in its place meanwhile can't read it.
//! * One pinUvAuthToken per ceremony, for one permission and one rpId where the authenticator knows such, and dropped
//!   with the ceremony.
//! * PIN/UV auth protocol two before one; built-in verification before the PIN, and the PIN where that fails; never the
//!   `uv` option together with a token.
//! * Lists that are longer than the authenticator takes are asked for silently in parts, before the user is.
//! * New keys are not discoverable, and of credProtect level 2 where the authenticator has it.
//! * What comes back is verified: rpIdHash, UP and UV, the credential, the signature.
//! * After an error or the result a ceremony is over: every further step is [`Error::OutOfTurn`].

mod change_pin;
mod exchange;
mod get_assertion;
mod make_credential;
mod preflight;
mod run;
mod set_pin;
mod verified;

pub use change_pin::ChangePin;
pub use get_assertion::{Assertion, AssertionRequest, GetAssertion};
pub use make_credential::{CredentialRequest, MakeCredential, NewCredential};
pub use preflight::{Held, preflight};
pub use run::{User, get_info, reset, run, select};
pub use set_pin::SetPin;

use crate::transport::KeepaliveStatus;
use crate::{Error, Pin, Random};

/// What the caller has for a ceremony.
#[derive(Debug)]
pub enum Input<'a> {
    /// The first input.
    Start,
    /// The device's response to the last [`Output::Send`].
    Response(&'a [u8]),
    /// The device says that it still works on the command, or waits for the user.
    Keepalive(KeepaliveStatus),
    /// The PIN that [`Event::PinWanted`] asked for.
    Pin(Pin),
    /// The user or the caller gives up. The ceremony ends with [`Error::Cancelled`]; a command that is under way is the
    /// caller's to cancel in the device.
    Cancel,
}

/// What a ceremony wants next.
#[derive(Debug)]
pub enum Output<T> {
    /// Send these bytes to the device; the next input is its response, keepalives before it.
    Send(Vec<u8>),
    /// Tell the user. After [`Event::PinWanted`] the next input is the PIN or [`Input::Cancel`]; after the others, which
    /// follow a keepalive, it is another keepalive or the response.
    Event(Event),
    /// The result.
    Done(T),
}

/// What the user should see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A PIN is needed.
    PinWanted(PinRequest),
    /// The device waits for a touch.
    TouchWanted,
    /// The device waits for a finger or whatever it verifies by itself.
    VerificationWanted,
    /// The device works.
    Processing,
    /// No security key is there that could do it: one should be plugged in or laid on the reader.
    DeviceWanted,
    /// Security keys are there, but none that will do: another one should be plugged in or laid on the reader.
    OtherDeviceWanted(Unfit),
    /// Several security keys could do it: the user touches the one to be used.
    ChoiceWanted,
}

/// Why none of the security keys that are there will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unfit {
    /// The key that is wanted (a card's, say) is not on them.
    WithoutKey,
    /// They speak U2F (CTAP1) alone.
    TooOld,
}

/// A question for a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PinRequest {
    /// Which PIN.
    pub purpose: PinPurpose,
    /// How many wrong PINs in total until the device blocks for good; `None` for a new PIN.
    pub attempts_left: Option<u32>,
    /// The PIN that was given before was wrong.
    pub wrong: bool,
}

/// Which PIN is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinPurpose {
    /// The one that is set.
    Current,
    /// A new one.
    New {
        /// Unicode code points at least, 63 bytes of UTF-8 at most.
        min_code_points: u32,
    },
}

/// A ceremony as a state machine.
pub trait Ceremony {
    /// What it results in.
    type Outcome;

    /// Takes one input and says what is next.
    ///
    /// # Errors
    /// [`Error`]; the ceremony is over then.
    fn step(&mut self, input: Input<'_>, random: &mut dyn Random) -> Result<Output<Self::Outcome>, Error>;
}
