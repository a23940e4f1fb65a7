//! What the program's exit status says. Scripts depend on it: a number is never given another meaning.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed in a way that no other status tells.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The user said no.
    Declined = 3,
    /// No card fits, or there is no such card.
    NoCard = 4,
    /// Too many wrong PINs.
    PinBlocked = 5,
    /// The daemon or the bus isn't there.
    NoDaemon = 6,
    /// The wallet or the bank refused.
    Refused = 7,
    /// A request, an offer, cards or a picture break a rule.
    InvalidInput = 8,
    /// Nobody to ask.
    NoAgent = 9,
    /// The user is being asked something else.
    Busy = 10,
    /// Nobody answered in time.
    Timeout = 11,
    /// The bank's server can't be reached.
    Network = 12,
    /// No PIN is set, or none that is right was given.
    PinNeeded = 13,
    /// The wallet's store is locked or unusable.
    Store = 14,
    /// The security key isn't there or failed.
    Authenticator = 15,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every status, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Declined,
        Self::NoCard,
        Self::PinBlocked,
        Self::NoDaemon,
        Self::Refused,
        Self::InvalidInput,
        Self::NoAgent,
        Self::Busy,
        Self::Timeout,
        Self::Network,
        Self::PinNeeded,
        Self::Store,
        Self::Authenticator,
        Self::Interrupted,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for the table in `--help` and the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; the message says why",
            Self::Usage => "the command line makes no sense",
            Self::Declined => "you (or someone at the wallet's dialog) said no",
            Self::NoCard => "no card fits, or there is no such card",
            Self::PinBlocked => "the PIN is blocked after too many wrong ones",
            Self::NoDaemon => "the wallet's daemon (fwpd) or the bus isn't there",
            Self::Refused => "the wallet or the bank refused",
            Self::InvalidInput => "a request, offer, card or picture breaks a rule; the field is named",
            Self::NoAgent => "nobody to ask: no dialog is running and there is no terminal",
            Self::Busy => "the wallet is asking something else; try again",
            Self::Timeout => "nobody answered in time",
            Self::Network => "the bank's server can't be reached",
            Self::PinNeeded => "no PIN is set, or none that is right was given",
            Self::Store => "the wallet's store is locked or unusable",
            Self::Authenticator => "the security key isn't there or failed",
            Self::Interrupted => "interrupted by Ctrl-C; what was under way was aborted",
        }
    }

    /// The table.
    pub fn table() -> String {
        let mut table = String::from("Exit status:\n");
        for exit in Self::ALL {
            table.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
        }
        table
    }
}
