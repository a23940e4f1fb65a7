//! How a payment ended: what its owner is told, and what history and audit log keep of it.

use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, CardId, HistoryRecord, Outcome};
use fwp_store::{Changes, Durability};
use fwp_wallet::payment::{CloseReason, CompleteResult};

use super::{Payment, limits};
use crate::clock;
use crate::journal::{self, Notice};
use crate::wallets::Wallet;

/// Entries of the history that are kept.
const KEPT_HISTORY: u64 = 10_000;
/// Entries of the audit log that are kept.
const KEPT_AUDIT: u64 = 50_000;

/// The life cycle's reason for a failure.
pub(super) fn reason_of(error: &Error) -> CloseReason {
    match error.name {
        ErrorName::Declined => CloseReason::Declined,
        ErrorName::InvalidRequest => CloseReason::InvalidRequest,
        ErrorName::CardTied => CloseReason::CardTied,
        ErrorName::LimitReached => CloseReason::LimitReached,
        ErrorName::Timeout => CloseReason::TimedOut,
        ErrorName::Aborted => CloseReason::Aborted,
        ErrorName::NoAgent => CloseReason::AgentVanished,
        ErrorName::PinBlocked => CloseReason::PinBlocked,
        ErrorName::PinNotSet => CloseReason::PinNotSet,
        ErrorName::NoAuthenticator => CloseReason::NoAuthenticator,
        ErrorName::StoreLocked | ErrorName::StoreUnusable => CloseReason::StoreUnusable,
        ErrorName::Internal => CloseReason::Internal,
        _ => CloseReason::AuthenticatorFailed,
    }
}

/// What the owner is told. A failure tells more than the reason, where it is the same matter.
pub(super) fn of(reason: CloseReason, failure: Option<Error>) -> Result<(), Error> {
    let error = |name, text: &str| Error::new(name, text);
    let told = match reason {
        CloseReason::Completed(_) => return Ok(()),
        CloseReason::Declined => error(ErrorName::Declined, "the user declined"),
        CloseReason::Aborted => error(ErrorName::Aborted, "the payment was withdrawn"),
        CloseReason::OwnerVanished => error(ErrorName::Aborted, "its owner went away"),
        CloseReason::AgentVanished => {
            error(ErrorName::NoAgent, "the agent went away while it asked the user")
        }
        CloseReason::NoMatchingCard => {
            error(ErrorName::NoMatchingCard, "no card in the wallet fits; the user was told")
        }
        CloseReason::InvalidRequest => {
            error(ErrorName::InvalidRequest, "the signed request does not hold; the user was told")
        }
        CloseReason::CardTied => error(
            ErrorName::CardTied,
            "this request can be authorized again with the card of the first time only",
        ),
        CloseReason::LimitReached => {
            error(ErrorName::LimitReached, "a limit of this computer's keys is reached; the user was told")
        }
        CloseReason::TimedOut => error(ErrorName::Timeout, "it was not done in time"),
        CloseReason::PinBlocked => {
            error(ErrorName::PinBlocked, "the PIN is blocked after too many wrong ones")
        }
        CloseReason::PinNotSet => error(ErrorName::PinNotSet, "no PIN is set"),
        CloseReason::NoAuthenticator => {
            error(ErrorName::NoAuthenticator, "no authenticator holds the card's key")
        }
        CloseReason::AuthenticatorFailed => error(ErrorName::AuthenticatorFailed, "the authenticator failed"),
        CloseReason::StoreUnusable => error(ErrorName::StoreUnusable, "the store can't be written"),
        CloseReason::Internal => error(ErrorName::Internal, "the wallet failed; its log tells more"),
    };
    let ended_from_outside = matches!(reason, CloseReason::OwnerVanished | CloseReason::TimedOut);
    Err(failure.filter(|failure| !ended_from_outside && reason_of(failure) == reason).unwrap_or(told))
}

/// Keeps that the user authorized the payment.
pub(super) async fn record_authorized(wallet: &Wallet, payment: &Payment) {
    let mut changes = std::mem::take(&mut *payment.changes.borrow_mut());
    changes.add_history(history(payment, Outcome::Authorized));
    changes.audit(event(payment, AuditKind::PaymentAuthorized));
    limits::keep_taken_back(wallet, payment, &mut changes);
    let committed = wallet.vault.write(|store| store.commit(changes, Durability::Lazy)).await;
    // What had to be durable was so before the authenticator signed; the authorization stands.
    journal::tell(Notice::PaymentAuthorized, "a payment was authorized");
    payment.history.set(committed.ok().and_then(|committed| committed.history.last().copied()));
}

/// Keeps how the payment ended, if the user ever saw it.
pub(super) async fn record_closed(
    wallet: &Wallet,
    payment: &Payment,
    reason: CloseReason,
    end: &Result<(), Error>,
) {
    let mut changes: Changes = std::mem::take(&mut *payment.changes.borrow_mut());
    let was_shown = payment.agent.borrow().is_some();
    match (payment.history.get(), reason) {
        (Some(entry), CloseReason::Completed(result)) => {
            let outcome = match result {
                CompleteResult::Success => Outcome::CompletedSuccess,
                CompleteResult::Fail => Outcome::CompletedFail,
                CompleteResult::Unknown => Outcome::CompletedUnknown,
            };
            changes.replace_history(entry, history(payment, outcome));
        }
        (Some(entry), _) if payment.withheld.get() => {
            changes.replace_history(entry, history(payment, outcome_of(reason)));
        }
        // What was authorized stays so in the history, whatever came of a retry; the audit log has both.
        (None, _) if was_shown => {
            changes.add_history(history(payment, outcome_of(reason)));
        }
        _ => {}
    }
    if let Err(error) = end
        && was_shown
    {
        let kind = audit_of(reason);
        changes.audit(event(payment, kind).reason(error.name.short()));
        log(kind, reason, error);
    }
    limits::keep_taken_back(wallet, payment, &mut changes);
    if changes.is_empty() {
        return;
    }
    changes.keep_history(KEPT_HISTORY).keep_audit(KEPT_AUDIT);
    // A failure is in the log of the vault; the end of a payment can't be refused.
    let _ = wallet.vault.write_existing(|store| store.commit(changes, Durability::Lazy)).await;
}

/// Tells the administrator, without what is paid where.
fn log(kind: AuditKind, reason: CloseReason, error: &Error) {
    let name = error.name.short();
    match kind {
        AuditKind::PaymentDeclined | AuditKind::PaymentRefused => {
            journal::tell(Notice::PaymentRefused, &format!("a payment was refused: {name}"));
        }
        AuditKind::PaymentFailed | AuditKind::PinBlocked => {
            journal::tell(Notice::PaymentFailed, &format!("a payment failed: {name}"));
        }
        _ => journal::tell(Notice::PaymentClosed, &format!("a payment was closed: {name}")),
    }
    if reason == CloseReason::LimitReached {
        journal::own_limit_reached("what this computer's keys may pay");
    }
}

fn outcome_of(reason: CloseReason) -> Outcome {
    match reason {
        CloseReason::Completed(_) => Outcome::Authorized,
        CloseReason::Declined => Outcome::Declined,
        CloseReason::Aborted | CloseReason::OwnerVanished => Outcome::Aborted,
        CloseReason::TimedOut => Outcome::Expired,
        CloseReason::NoMatchingCard => Outcome::NoCard,
        CloseReason::InvalidRequest | CloseReason::CardTied | CloseReason::LimitReached => Outcome::Refused,
        CloseReason::AgentVanished
        | CloseReason::PinBlocked
        | CloseReason::PinNotSet
        | CloseReason::NoAuthenticator
        | CloseReason::AuthenticatorFailed
        | CloseReason::StoreUnusable
        | CloseReason::Internal => Outcome::Failed,
    }
}

fn audit_of(reason: CloseReason) -> AuditKind {
    match reason {
        CloseReason::Declined => AuditKind::PaymentDeclined,
        CloseReason::NoMatchingCard
        | CloseReason::InvalidRequest
        | CloseReason::CardTied
        | CloseReason::LimitReached => AuditKind::PaymentRefused,
        CloseReason::PinBlocked => AuditKind::PinBlocked,
        CloseReason::PinNotSet
        | CloseReason::NoAuthenticator
        | CloseReason::AuthenticatorFailed
        | CloseReason::StoreUnusable
        | CloseReason::Internal => AuditKind::PaymentFailed,
        CloseReason::Completed(_)
        | CloseReason::Aborted
        | CloseReason::OwnerVanished
        | CloseReason::AgentVanished
        | CloseReason::TimedOut => AuditKind::PaymentClosed,
    }
}

fn event(payment: &Payment, kind: AuditKind) -> AuditEvent {
    let machine = payment.machine.borrow();
    let (request, prcd) = (machine.request(), machine.request().prcd());
    let event =
        AuditEvent::new(clock::now_ms(), kind).payment(request.payee_host(), &prcd.amount, &prcd.currency);
    match payment.card.get() {
        Some(card) => event.card(CardId::from_i64(card.0)),
        None => event,
    }
}

fn history(payment: &Payment, outcome: Outcome) -> HistoryRecord {
    let machine = payment.machine.borrow();
    let prcd = machine.request().prcd();
    HistoryRecord {
        at_unix_ms: clock::now_ms(),
        payee_host: machine.request().payee_host().clone(),
        payee_name: prcd.payee_name.clone(),
        request_id: prcd.request_id.clone(),
        amount: prcd.amount.clone(),
        currency: prcd.currency,
        card: payment.card.get().map(|card| CardId::from_i64(card.0)),
        card_label: None,
        outcome,
    }
}
