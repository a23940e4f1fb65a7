//! Holds the keys in this computer to their limits ([`fwp_wallet::limits`]): what they may sign is counted before they are
//! asked, durably, and taken back where they did not sign. Cards over a limit are not even offered; this is asked again
//! after the user's yes, since other payments may have come before.

use fwp_dbus::{Error, ErrorName};
use fwp_store::Changes;
use fwp_wallet::limits::LimitReached;
use fwp_wallet::{Approved, CardHandle};

use super::Payment;
use crate::wallets::Wallet;
use crate::{clock, holdings};

/// The contract's error.
pub(super) fn refusal(reached: &LimitReached) -> Error {
    Error::new(ErrorName::LimitReached, reached.to_string())
}

/// Counts what the user said yes to, where the card's key is in this computer.
///
/// # Errors
/// `LimitReached`; `Internal` before the wallet's holdings were read.
pub(super) fn count(wallet: &Wallet, payment: &Payment, approved: &Approved) -> Result<(), Error> {
    if !wallet.holdings.is_in_this_computer(approved.card().handle()) {
        return Ok(());
    }
    let (limits, consent) = (wallet.holdings.limits(), approved.consent());
    let mut spending = wallet.holdings.spending()?;
    let spent = spending.authorize(limits, consent.amount(), consent.currency(), clock::moment());
    payment.spent.set(Some(spent.map_err(|reached| refusal(&reached))?));
    Ok(())
}

/// What has to be durable before the key of `card` is asked.
///
/// # Errors
/// `Internal` before the wallet's holdings were read.
pub(super) fn keep(wallet: &Wallet, card: CardHandle, changes: &mut Changes) -> Result<(), Error> {
    if wallet.holdings.is_in_this_computer(card) {
        holdings::put_spending(changes, &*wallet.holdings.spending()?);
    }
    Ok(())
}

/// No key signed what was counted last. It is stored with the payment's end.
pub(super) fn take_back(wallet: &Wallet, payment: &Payment) {
    if let (Some(spent), Ok(mut spending)) = (payment.spent.take(), wallet.holdings.spending()) {
        payment.taken_back.set(spending.release(spent) || payment.taken_back.get());
    }
}

/// Adds what was taken back to a commit that is made now: it is of this moment, so that what another payment counted
/// meanwhile stays counted.
pub(super) fn keep_taken_back(wallet: &Wallet, payment: &Payment, changes: &mut Changes) {
    if let (true, Ok(spending)) = (payment.taken_back.take(), wallet.holdings.spending()) {
        holdings::put_spending(changes, &spending);
    }
}
