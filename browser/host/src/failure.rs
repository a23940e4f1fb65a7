//! What an answer or an end says when something did not go well: a name that programs tell apart, a message for people.

use fwp_dbus::ClientError;
use serde::Serialize;
use std::borrow::Cow;

/// Characters of a message that are kept.
const MAX_MESSAGE: usize = 1024;

/// A failure, as it stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// One of the wallet's (`io.github.fwpd.Error.*`), or of the host's own (`fwp-host.*`).
    pub name: &'static str,
    /// English, for people.
    pub message: Cow<'static, str>,
}

impl Failure {
    fn new(name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { name, message: message.into() }
    }

    /// The message breaks the protocol's rules.
    pub fn invalid_message(why: impl std::fmt::Display) -> Self {
        Self::new("fwp-host.InvalidMessage", told(&why.to_string()))
    }

    /// No daemon is there.
    pub fn not_running(why: impl std::fmt::Display) -> Self {
        Self::new("fwp-host.NotRunning", told(&format!("no wallet was found: {why}; start fwpd")))
    }

    /// The daemon is older than this program.
    fn too_old() -> Self {
        Self::new(
            "fwp-host.NotRunning",
            "the wallet's daemon is too old for this; update fwpd and restart it",
        )
    }

    /// The daemon went away, or does not answer.
    pub fn gone(why: impl std::fmt::Display) -> Self {
        Self::new("fwp-host.Gone", told(&why.to_string()))
    }

    /// The daemon went away in the middle of something.
    pub fn daemon_gone() -> Self {
        Self::new("fwp-host.Gone", "the wallet ended meanwhile; nothing more is done about this")
    }

    /// The page may not.
    pub fn refused(why: impl std::fmt::Display) -> Self {
        Self::new("fwp-host.Refused", told(&why.to_string()))
    }

    /// There is no such payment, enrollment or card (any more).
    pub fn unknown(what: &str) -> Self {
        Self::new("fwp-host.Unknown", format!("there is no such {what}, or it has ended"))
    }

    /// More bytes than fit.
    pub fn too_large(what: impl std::fmt::Display) -> Self {
        Self::new("fwp-host.TooLarge", told(&what.to_string()))
    }

    /// The wallet broke its own contract.
    pub fn nonsense(what: &str) -> Self {
        Self::new(fwp_dbus::ErrorName::Internal.as_str(), format!("the wallet gave {what}"))
    }
}

impl From<fwp_dbus::Error> for Failure {
    fn from(error: fwp_dbus::Error) -> Self {
        Self::new(error.name.as_str(), told(&error.message))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failed = match error {
            ClientError::Refused(error) => return error.into(),
            ClientError::NotRunning => return Self::daemon_gone(),
            ClientError::Bus(failed) => failed,
        };
        let name = match &failed {
            zbus::Error::MethodError(name, _, _) => name.as_str(),
            _ => "",
        };
        match name {
            "org.freedesktop.DBus.Error.UnknownObject" => Self::unknown("payment or enrollment"),
            "org.freedesktop.DBus.Error.UnknownMethod" => Self::too_old(),
            // The bus's own policy: on the system bus, who may talk to the wallet at all.
            "org.freedesktop.DBus.Error.AccessDenied" => {
                Self::new(fwp_dbus::ErrorName::AccessDenied.as_str(), told(&failed.to_string()))
            }
            "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.ServiceUnknown" => {
                Self::daemon_gone()
            }
            _ => Self::gone(format_args!("D-Bus: {failed}")),
        }
    }
}

/// Text that may quote what came from outside: short, and with nothing in it that acts on a screen.
fn told(text: &str) -> String {
    let shown = text.chars().take(MAX_MESSAGE);
    shown.map(|c| if fwp::text::is_treacherous(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_short_and_shows_itself() {
        let failure =
            Failure::invalid_message(format_args!("unknown field {}\n\u{202e}", "x".repeat(1 << 20)));
        assert_eq!(failure.message.chars().count(), MAX_MESSAGE);
        let failure = Failure::invalid_message("a\n\u{202e}b");
        assert_eq!(failure.message, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn the_wallets_errors_keep_their_names() {
        let error = fwp_dbus::Error::new(fwp_dbus::ErrorName::Declined, "no");
        let failure = Failure::from(ClientError::from(error));
        assert_eq!((failure.name, &*failure.message), ("io.github.fwpd.Error.Declined", "no"));
        assert_eq!(Failure::from(ClientError::NotRunning).name, "fwp-host.Gone");
    }
}
