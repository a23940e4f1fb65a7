//! Everything that can go wrong, said so that a person knows what to do, with its exit status.

use crate::browsers::registration::RegistrationError;
use crate::card_image;
use crate::exit::Exit;
use crate::origin;
use crate::pin::NoPin;
use crate::text::safe;
use fwp_dbus::{ClientError, ErrorName};

/// Why a command failed. `Display` is safe to print: text from outside is escaped in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Options that don't go together, in a way that the parser of the command line can't know.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C.
    #[error("interrupted; nothing more is done")]
    Interrupted,
    /// The daemon refused, went away or isn't there.
    #[error("{}", wallet_message(.0))]
    Wallet(#[from] ClientError),
    /// There's no bus, or no daemon on any.
    #[error(
        "no wallet was found: {tried}. \"fwpctl doctor\" says what to do; \"fwpd --session\" starts one for yourself alone (without a session bus: \"dbus-run-session bash\" first)"
    )]
    NoDaemon {
        /// What was tried, and what came of it.
        tried: String,
    },
    /// The wallet doesn't answer a plain call.
    #[error(
        "the wallet does not answer within {seconds} s; see whether fwpd is stopped or stuck, restart it, and try again"
    )]
    NoAnswer {
        /// How long was waited.
        seconds: u64,
    },
    /// Nobody could be asked.
    #[error(
        "nobody to ask: no dialog is running and this is not a terminal; run \"fwpctl agent\" on one, or give --yes and --pin-fd or --passphrase-fd"
    )]
    NobodyToAsk,
    /// No card is called so.
    #[error("there is no card \"{}\"; see \"fwpctl list\"", safe(.0))]
    NoSuchCard(String),
    /// No user of this computer is called so.
    #[error("there is no user \"{}\" on this computer", safe(.0))]
    NoSuchUser(String),
    /// Several cards are called so.
    #[error("\"{}\" is the name of more than one card; use the ID that \"fwpctl list\" shows", safe(.0))]
    AmbiguousCard(String),
    /// The card that was named doesn't fit the request.
    #[error("the card \"{}\" (--card) doesn't fit this request; these do: {fitting}", safe(.card))]
    CardDoesNotFit {
        /// The card's name on the command line.
        card: String,
        /// Those that fit.
        fitting: String,
    },
    /// Several cards fit and nobody is asked.
    #[error("more than one card fits: {fitting}; pick one with --card")]
    CardNotPicked {
        /// Those that fit.
        fitting: String,
    },
    /// No authenticator is called so, or none is there.
    #[error("there is no authenticator \"{}\"; see \"fwpctl authenticators\"", safe(.0))]
    NoSuchAuthenticator(String),
    /// Several are there, and none was named.
    #[error("more than one authenticator fits; name one by its number or ID (see \"fwpctl authenticators\")")]
    AmbiguousAuthenticator,
    /// No PIN from a descriptor.
    #[error(transparent)]
    NoPin(#[from] NoPin),
    /// A PIN from a descriptor would use up the last attempt.
    #[error(
        "one attempt is left before the PIN is blocked, and a wrong one from a file would use it up; type the PIN on a terminal"
    )]
    LastAttempt,
    /// A PIN that can't be one.
    #[error("{0}")]
    BadPin(String),
    /// A payment request that breaks a rule.
    #[error("{}", safe(&.0.to_string()))]
    Request(#[from] fwp::payment_request::InvalidRequest),
    /// A request file that isn't one.
    #[error("the request is not usable: {}. It is JSON with \"payeeHost\", \"methodData\" and \"details\"; see \"fwpctl pay --help\"", safe(.0))]
    RequestFile(String),
    /// An enrollment offer that breaks a rule.
    #[error("invalid offer: {}", safe(&.0.to_string()))]
    Offer(fwp::json::FieldError),
    /// A certification authority's answer that breaks a rule.
    #[error("the certification authority's answer is not usable: {}", safe(&.0.to_string()))]
    Certification(fwp::json::FieldError),
    /// An offer without a way to send the attestation.
    #[error(
        "the offer says nowhere to send the attestation (attestationUrl); save it and enroll from the file"
    )]
    NoAttestationUrl,
    /// Where an offer comes from, or which rpId it names.
    #[error(transparent)]
    Origin(#[from] origin::Error),
    /// The bank's server.
    #[error(transparent)]
    Http(#[from] crate::http::Error),
    /// A card's picture.
    #[error(transparent)]
    CardImage(#[from] card_image::Error),
    /// A file.
    #[error("{}: {source}", safe(.path))]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is too large to be what it should be.
    #[error("{} has more than {limit} bytes", safe(.path))]
    FileTooLarge {
        /// Which.
        path: String,
        /// The limit.
        limit: u64,
    },
    /// A browser's file.
    #[error("{}", safe(&.0.to_string()))]
    Registration(#[from] RegistrationError),
    /// No browser to register with.
    #[error(
        "no browser was found that can be told of the wallet; name one with --browser, or a folder with --profile-dir"
    )]
    NoBrowser,
    /// The program between browser and wallet isn't there.
    #[error("fwp-native-host is neither beside fwpctl nor on PATH; say where it is with --host")]
    NoHost,
    /// Standard output was closed or is full.
    #[error("standard output: {0}")]
    Output(#[source] std::io::Error),
    /// `doctor` or `browser status` found something.
    #[error("{0} found; the lines above say what to do")]
    Unhealthy(String, Exit),
    /// Something that can't be; a fault of this program.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl Error {
    /// The exit status for it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::AmbiguousCard(_)
            | Self::AmbiguousAuthenticator
            | Self::NoSuchUser(_)
            | Self::CardNotPicked { .. } => Exit::Usage,
            Self::Interrupted => Exit::Interrupted,
            Self::NoDaemon { .. } => Exit::NoDaemon,
            Self::NoAnswer { .. } => Exit::Timeout,
            Self::NobodyToAsk => Exit::NoAgent,
            Self::NoSuchCard(_) | Self::CardDoesNotFit { .. } => Exit::NoCard,
            Self::NoPin(_) | Self::LastAttempt | Self::BadPin(_) => Exit::PinNeeded,
            Self::Request(_)
            | Self::RequestFile(_)
            | Self::Offer(_)
            | Self::Certification(_)
            | Self::NoAttestationUrl
            | Self::FileTooLarge { .. }
            | Self::CardImage(_) => Exit::InvalidInput,
            Self::Origin(origin::Error::NotAUrl(_) | origin::Error::NotAHost(_)) => Exit::Usage,
            Self::Origin(_) => Exit::Refused,
            Self::Http(error) => error.exit(),
            Self::NoSuchAuthenticator(_) => Exit::Authenticator,
            Self::Unhealthy(_, exit) => *exit,
            Self::File { .. }
            | Self::Registration(_)
            | Self::NoBrowser
            | Self::NoHost
            | Self::Output(_)
            | Self::Internal(_) => Exit::Failed,
            Self::Wallet(error) => wallet_exit(error),
        }
    }

    /// A short name for scripts (`--json`): the contract's, where it is the daemon's error.
    pub fn name(&self) -> String {
        match self {
            Self::Wallet(ClientError::Refused(error)) => error.name.short().to_owned(),
            other => format!("{:?}", other.exit()),
        }
    }
}

fn wallet_exit(error: &ClientError) -> Exit {
    let error = match error {
        ClientError::Refused(error) => error,
        ClientError::NotRunning => return Exit::NoDaemon,
        ClientError::Bus(_) => return Exit::Failed,
    };
    match error.name {
        ErrorName::Declined => Exit::Declined,
        ErrorName::NoMatchingCard => Exit::NoCard,
        ErrorName::PinBlocked | ErrorName::PinAuthBlocked => Exit::PinBlocked,
        ErrorName::PinNotSet | ErrorName::PinInvalid => Exit::PinNeeded,
        ErrorName::AccessDenied
        | ErrorName::CardTied
        | ErrorName::LimitsExceeded
        | ErrorName::LimitReached => Exit::Refused,
        ErrorName::InvalidRequest => Exit::InvalidInput,
        ErrorName::NoAgent => Exit::NoAgent,
        ErrorName::Busy | ErrorName::CoolDown => Exit::Busy,
        ErrorName::Timeout => Exit::Timeout,
        ErrorName::StoreLocked
        | ErrorName::StoreUnusable
        | ErrorName::StoreRolledBack
        | ErrorName::SlotUnusable => Exit::Store,
        ErrorName::NoAuthenticator
        | ErrorName::AuthenticatorFailed
        | ErrorName::AuthenticatorLocked
        | ErrorName::KeysLost => Exit::Authenticator,
        ErrorName::InvalidState | ErrorName::NotFound | ErrorName::Aborted | ErrorName::Internal => {
            Exit::Failed
        }
    }
}

/// The daemon's message, and what to do where the message alone doesn't say.
fn wallet_message(error: &ClientError) -> String {
    let error = match error {
        ClientError::Refused(error) => error,
        ClientError::NotRunning => {
            return "the wallet's daemon isn't running or has gone; start it with \"fwpd --session\""
                .to_owned();
        }
        ClientError::Bus(error) => return format!("the bus failed: {}", safe(&error.to_string())),
    };
    let message = safe(&error.message);
    // Where the name says it all, it is said here with its remedy; elsewhere the daemon's message has the particulars.
    let what = match error.name {
        ErrorName::Declined => return "declined".to_owned(),
        ErrorName::NoMatchingCard => {
            return "no card in the wallet fits this request; see \"fwpctl list\"".to_owned();
        }
        ErrorName::PinBlocked => {
            return "the PIN is blocked after too many wrong ones; reset the authenticator and enroll its cards again"
                .to_owned();
        }
        ErrorName::PinAuthBlocked => {
            return "too many wrong PINs in a row; try again, a security key after plugging it out and in"
                .to_owned();
        }
        ErrorName::PinNotSet => {
            return "the authenticator has no PIN yet; set one with \"fwpctl pin set\"".to_owned();
        }
        ErrorName::NoAgent => {
            return "nobody to ask: run \"fwpctl agent\" on a terminal, or the desktop's dialog".to_owned();
        }
        ErrorName::Busy => {
            return "the wallet is asking something else; answer that first, then try again".to_owned();
        }
        ErrorName::Timeout => return "nobody answered in time".to_owned(),
        ErrorName::CoolDown => return "declined a moment ago; try again in a few seconds".to_owned(),
        // The daemon's words have their own remedy.
        ErrorName::InvalidState
        | ErrorName::InvalidRequest
        | ErrorName::CardTied
        | ErrorName::StoreRolledBack
        | ErrorName::SlotUnusable
        | ErrorName::AuthenticatorLocked
        | ErrorName::KeysLost
        | ErrorName::LimitReached
            if !error.message.is_empty() =>
        {
            return message.to_string();
        }
        ErrorName::CardTied => {
            "this request was authorized with another card before, and only that card may be used for it"
        }
        ErrorName::PinInvalid => "the authenticator does not take this PIN",
        ErrorName::StoreLocked => "the wallet is locked: unlock your keyring, or \"fwpctl unlock\"",
        ErrorName::StoreUnusable => "the wallet's store can't be used; \"fwpctl doctor\" says why",
        ErrorName::InvalidRequest => "invalid request",
        ErrorName::AccessDenied => "the wallet refused",
        ErrorName::LimitsExceeded => "too much at once",
        ErrorName::NotFound => "there is no such thing in the wallet",
        ErrorName::NoAuthenticator => "no authenticator can be used for this",
        ErrorName::AuthenticatorFailed => "the authenticator failed",
        ErrorName::StoreRolledBack => "an old copy of the wallet's store is in its place",
        ErrorName::SlotUnusable => "a key slot can't be used",
        ErrorName::AuthenticatorLocked => "the TPM takes no PIN for a while",
        ErrorName::KeysLost => "the authenticator's keys are gone; reset it and enroll its cards again",
        ErrorName::LimitReached => "a limit for keys in this computer is reached; use a security key",
        ErrorName::Aborted => "aborted",
        ErrorName::InvalidState => "the wallet is not in a state for this",
        ErrorName::Internal => "a fault of the wallet's own; its log tells more",
    };
    if error.message.is_empty() { what.to_owned() } else { format!("{what}: {message}") }
}

/// The error for a file at `path`.
pub fn file_error(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    |source| Error::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::is_harmless;
    use proptest::prelude::*;

    #[test]
    fn every_refusal_of_the_wallet_says_something_and_has_a_status() {
        for &name in ErrorName::ALL {
            let error = Error::Wallet(fwp_dbus::Error::new(name, "").into());
            assert!(error.to_string().len() > 6, "{name}");
            assert!(!matches!(error.exit(), Exit::Done | Exit::Usage), "{name}");
            assert_eq!(error.name(), name.short());
        }
    }

    proptest! {
        #[test]
        fn no_error_acts_on_the_terminal(text in any::<String>()) {
            let refusals = ErrorName::ALL.iter().map(|name| Error::Wallet(fwp_dbus::Error::new(*name, text.as_str()).into()));
            let path = std::path::Path::new(&text);
            let others = [
                Error::NoSuchCard(text.clone()),
                Error::AmbiguousCard(text.clone()),
                Error::NoSuchUser(text.clone()),
                Error::NoSuchAuthenticator(text.clone()),
                Error::RequestFile(text.clone()),
                Error::FileTooLarge { path: text.clone(), limit: 1 },
                file_error(path)(std::io::ErrorKind::NotFound.into()),
                origin::OfferUrl::parse(&text).map_or_else(Into::into, |_| Error::NobodyToAsk),
                origin::check_rp_id("bank.example", &text).map_or_else(Into::into, |()| Error::NobodyToAsk),
                origin::check_rp_id(&text, "bank.example").map_or_else(Into::into, |()| Error::NobodyToAsk),
            ];
            for error in refusals.chain(others) {
                prop_assert!(error.to_string().chars().all(is_harmless), "{error:?}");
            }
        }
    }
}
