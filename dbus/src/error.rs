//! The error names of the contract, mapped both ways.

use std::fmt;

use zbus::message::{Header, Message};

/// What all error names begin with.
pub const PREFIX: &str = "io.github.fwpd.Error.";

macro_rules! error_names {
    ($($(#[doc = $doc:literal])+ $name:ident,)*) => {
        /// The errors of the contract, without their prefix `io.github.fwpd.Error.`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorName {
            $($(#[doc = $doc])+ $name,)*
        }

        impl ErrorName {
            /// Every name that there is.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The full D-Bus name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("io.github.fwpd.Error.", stringify!($name)),)*
                }
            }

            /// The name without its prefix.
            pub const fn short(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// From a full D-Bus name; `None` for a name that isn't of this contract.
            pub fn from_dbus(name: &str) -> Option<Self> {
                match name.strip_prefix(PREFIX)? {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

error_names! {
    /// A request, offer or option breaks a rule. The message names the field and the rule.
    InvalidRequest,
    /// The object isn't in a state in which it takes this call.
    InvalidState,
    /// The user is being asked something else. One prompt at a time: try again when it is gone.
    Busy,
    /// The user declined a moment ago. Try again after the short pause that the message tells.
    CoolDown,
    /// No agent is registered that could ask the user. Start the desktop's agent or `fwpctl agent`.
    NoAgent,
    /// No card in the wallet fits the request; the user was told.
    NoMatchingCard,
    /// The user said no.
    Declined,
    /// This payee's request was authorized with another card before; only that card may be used for it.
    CardTied,
    /// Too many wrong PINs: the authenticator doesn't take any more.
    PinBlocked,
    /// Three wrong PINs in a row: begin again (a security key has to be unplugged first).
    PinAuthBlocked,
    /// The authenticator has no PIN yet: `fwpctl pin set`.
    PinNotSet,
    /// The new PIN breaks the authenticator's rules (too short, too long).
    PinInvalid,
    /// This caller may not do this. Where polkit said so, the message names the action and what to do.
    AccessDenied,
    /// There is no such object for this caller.
    NotFound,
    /// The store's key isn't available now (such as a locked keyring). Unlock it and try again.
    StoreLocked,
    /// The store is damaged, newer than this program, or of another key. It is left as it is.
    StoreUnusable,
    /// The store is older than the counter outside of it says, or that counter is another one. Restore the newest copy, or say
    /// that this one is meant: `fwpctl keys accept-copy`.
    StoreRolledBack,
    /// A key slot can't be filled, opened, changed or removed. The message says which and why; nothing was changed.
    SlotUnusable,
    /// No authenticator holds the key of this card, or none is there to make one; on the system's bus, also for users who don't
    /// sit before the machine.
    NoAuthenticator,
    /// The authenticator failed or answered nonsense.
    AuthenticatorFailed,
    /// The TPM takes no PIN for a while, the right one neither: it is locked after too many wrong ones, or the next one could
    /// lock it. The message says for how long.
    AuthenticatorLocked,
    /// The keys in the authenticator are gone: the TPM was cleared or is another one. Reset it and enroll the cards again.
    KeysLost,
    /// A limit of amount or number for keys in this computer is reached. The message says which one and until when.
    LimitReached,
    /// The user didn't answer in time.
    Timeout,
    /// Ended by its owner, or because its owner went away.
    Aborted,
    /// Too many objects, connections, calls that wait, or prompts within a minute; or too large a request. The message says which
    /// limit.
    LimitsExceeded,
    /// A fault of the daemon's own; its log tells more.
    Internal,
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// An error of the contract. The message is English, for people, and has no card data in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Error {
    /// Which error.
    pub name: ErrorName,
    /// What happened, and what to do about it. May be empty.
    pub message: String,
}

impl Error {
    /// An error with its message.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }

    /// The error that a reply's or signal's name and text say; `None` if the name isn't of this contract.
    pub fn from_dbus(name: &str, message: &str) -> Option<Self> {
        Some(Self::new(ErrorName::from_dbus(name)?, message))
    }
}

impl zbus::DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name.as_str()).build(&(self.message.as_str(),))
    }

    fn name(&self) -> zbus::names::ErrorName<'_> {
        zbus::names::ErrorName::from_static_str_unchecked(self.name.as_str())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

/// What can go wrong when the daemon is called.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The daemon refused, by an error of the contract.
    #[error(transparent)]
    Refused(#[from] Error),
    /// Nobody owns the bus name, or the owner went away.
    #[error("the wallet isn't running on this bus: start fwpd")]
    NotRunning,
    /// The bus failed, or an answer wasn't of the contract.
    #[error("D-Bus: {0}")]
    Bus(zbus::Error),
}

impl From<zbus::Error> for ClientError {
    fn from(error: zbus::Error) -> Self {
        use zbus::fdo;
        match &error {
            zbus::Error::MethodError(name, message, _) => {
                match Error::from_dbus(name.as_str(), message.as_deref().unwrap_or_default()) {
                    Some(refused) => Self::Refused(refused),
                    None => Self::Bus(error),
                }
            }
            zbus::Error::FDO(standard) => match **standard {
                fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => Self::NotRunning,
                _ => Self::Bus(error),
            },
            _ => Self::Bus(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_maps_both_ways_and_is_a_valid_dbus_error_name() {
        for &name in ErrorName::ALL {
            assert_eq!(ErrorName::from_dbus(name.as_str()), Some(name));
            assert_eq!(name.as_str(), format!("{PREFIX}{name}"));
            zbus::names::ErrorName::try_from(name.as_str()).unwrap();
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for name in [
            "org.freedesktop.DBus.Error.Failed",
            "Busy",
            "io.github.fwpd.Error.",
            "io.github.fwpd.Error.Nope",
        ] {
            assert_eq!(ErrorName::from_dbus(name), None, "{name}");
        }
    }
}
