//! The log: to systemd's journal with its fields where the service was started by systemd, else as text to standard error.
//!
//! What an administrator may look for has a MESSAGE_ID of its own ([`Notice`]); docs/admin.md lists them. No entry tells a card,
//! a host, an amount or what a caller wrote; entries about a user have the field FWPD_UID.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::call::Uid;

/// What others can bring about at will is written once in this time for each user, so that nobody floods the journal.
const PAUSE: Duration = Duration::from_secs(60);

/// What has a MESSAGE_ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Notice {
    /// The daemon serves its bus.
    Started,
    /// The daemon ends.
    Ended,
    /// A payment was authorized.
    PaymentAuthorized,
    /// A payment was refused, by the user or the wallet.
    PaymentRefused,
    /// A payment failed.
    PaymentFailed,
    /// A payment ended that the user had seen: its owner or the agent went away, or its time was up.
    PaymentClosed,
    /// Cards were stored.
    Enrolled,
    /// A card was deleted.
    CardDeleted,
    /// A store can't be used.
    StoreUnusable,
    /// A store is an old copy.
    StoreRolledBack,
    /// A PIN is blocked.
    PinBlocked,
    /// A limit is reached.
    LimitReached,
    /// polkit is not there, or does not know the wallet's actions.
    PolkitMissing,
    /// systemd-logind is not there.
    LogindMissing,
    /// The clock was set, or the machine slept.
    ClockChanged,
    /// An administrator opened another user's wallet.
    UnlockedForAnother,
    /// An administrator typed a wrong passphrase for another user's wallet.
    WrongForAnother,
}

impl Notice {
    /// The MESSAGE_ID. It never changes, and no other event has it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Started => "1986fc98c15a4865b96f4c4310904975",
            Self::Ended => "9b03dbcd13074395a71256ba4aaf2461",
            Self::PaymentAuthorized => "dabcc8869cec4d57982001b5367c3cc2",
            Self::PaymentRefused => "fa0f476030fa4a49b5f8c8fbe433cd43",
            Self::PaymentFailed => "ac2f6e83def94beba21b8d716c055732",
            Self::PaymentClosed => "b5f630ae6b7d4b649d186c980db735b9",
            Self::Enrolled => "24d4f5326f9d4800b7bbfcd0a68191d7",
            Self::CardDeleted => "d77c5c4c12744bc7a26d1c1917e04429",
            Self::StoreUnusable => "8920599577fb4c359337130f35d00fea",
            Self::StoreRolledBack => "01391036115944a69e3e4143d7149340",
            Self::PinBlocked => "b0b24c0d37844f36a6627d654b6fbe10",
            Self::LimitReached => "b292c04d8f844d649333414840896fdd",
            Self::PolkitMissing => "4d322d58bf884f978a6a9ae43ddb5f4c",
            Self::LogindMissing => "ef525ce8f662457b9d8568542d57a430",
            Self::ClockChanged => "cab710b74eda4af2aad13867f187826e",
            Self::UnlockedForAnother => "e411b6e1a4ac41b38d8fe3a73d7a21d6",
            Self::WrongForAnother => "0ece3c2df5644a948cb5275e682583dc",
        }
    }

    /// Whether a program can bring it about as often as it likes.
    fn is_at_will(self) -> bool {
        matches!(
            self,
            Self::StoreUnusable
                | Self::StoreRolledBack
                | Self::LimitReached
                | Self::PolkitMissing
                | Self::LogindMissing
        )
    }
}

tokio::task_local! {
    static USER: Uid;
}

/// Work for this user: what is written in it says so.
pub(crate) async fn of_user<T>(uid: Uid, work: impl Future<Output = T>) -> T {
    USER.scope(uid, work).await
}

/// As [`of_user`], for threads.
pub(crate) fn of_user_here<T>(uid: Option<Uid>, work: impl FnOnce() -> T) -> T {
    match uid {
        Some(uid) => USER.sync_scope(uid, work),
        None => work(),
    }
}

/// Writes an entry; of whom it is shows from [`of_user`].
pub(crate) fn tell(notice: Notice, text: &str) {
    let uid = USER.try_with(|uid| *uid).ok();
    if notice.is_at_will() && !is_due(notice, uid) {
        return;
    }
    let message_id = notice.id();
    // Fields that have no value are left out.
    let fwpd_uid = uid;
    match notice {
        Notice::StoreUnusable | Notice::StoreRolledBack | Notice::PinBlocked => {
            tracing::error!(message_id, fwpd_uid, "{text}");
        }
        Notice::PaymentFailed
        | Notice::LimitReached
        | Notice::PolkitMissing
        | Notice::LogindMissing
        | Notice::UnlockedForAnother
        | Notice::WrongForAnother => tracing::warn!(message_id, fwpd_uid, "{text}"),
        _ => tracing::info!(message_id, fwpd_uid, "{text}"),
    }
}

/// A user's limit is reached; `what` names it.
pub(crate) fn limit_reached(uid: Uid, what: &str) {
    of_user_here(Some(uid), || own_limit_reached(what));
}

/// As [`limit_reached`], of the user for whom this works.
pub(crate) fn own_limit_reached(what: &str) {
    tell(Notice::LimitReached, &format!("a limit is reached: {what}"));
}

/// When something was written last, and of whom.
type Told = HashMap<(Notice, Option<Uid>), Instant>;

fn is_due(notice: Notice, uid: Option<Uid>) -> bool {
    static TOLD: LazyLock<Mutex<Told>> = LazyLock::new(Mutex::default);
    let now = Instant::now();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.retain(|_, at| now.duration_since(*at) < PAUSE);
    if told.contains_key(&(notice, uid)) {
        return false;
    }
    told.insert((notice, uid), now);
    true
}

/// Begins to log: FWPD_LOG says what (`tracing_subscriber::EnvFilter`), else from information on.
pub fn begin() {
    let filter = EnvFilter::try_from_env("FWPD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = is_journal().then(tracing_journald::layer).and_then(Result::ok);
    let text = journal.is_none().then(|| {
        let stderr = std::io::stderr;
        tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).without_time()
    });
    let journal = journal.map(|journal| journal.with_field_prefix(None).boxed());
    tracing_subscriber::registry().with(filter).with(journal).with(text).init();
}

/// Whether standard error goes to the journal (systemd.exec(5), JOURNAL_STREAM): device and inode of what systemd made there,
/// which a program that was started by the service, with another standard error, inherits too.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = rustix::fs::fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Notice; 17] = [
        Notice::Started,
        Notice::Ended,
        Notice::PaymentAuthorized,
        Notice::PaymentRefused,
        Notice::PaymentFailed,
        Notice::PaymentClosed,
        Notice::Enrolled,
        Notice::CardDeleted,
        Notice::StoreUnusable,
        Notice::StoreRolledBack,
        Notice::PinBlocked,
        Notice::LimitReached,
        Notice::PolkitMissing,
        Notice::LogindMissing,
        Notice::ClockChanged,
        Notice::UnlockedForAnother,
        Notice::WrongForAnother,
    ];

    #[test]
    fn every_message_id_is_one_of_its_own_and_in_the_administrators_document() {
        let document = include_str!("../../../docs/admin.md");
        let ids: std::collections::HashSet<_> = ALL.iter().map(|notice| notice.id()).collect();
        assert_eq!(ids.len(), ALL.len());
        for id in ids {
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
            assert!(document.contains(id), "docs/admin.md does not tell of {id}");
        }
    }

    #[test]
    fn what_others_bring_about_at_will_is_written_once_a_minute_for_each_user() {
        assert!(is_due(Notice::LimitReached, Some(4_000_000_001)));
        assert!(!is_due(Notice::LimitReached, Some(4_000_000_001)));
        assert!(is_due(Notice::LimitReached, Some(4_000_000_002)));
        assert!(is_due(Notice::StoreUnusable, Some(4_000_000_001)));
    }
}
