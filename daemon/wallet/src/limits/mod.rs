//! Limits of the keys in this computer. They have no touch: whoever has the user's session and knows the PIN could pay with
//! them until the bank says no. So the wallet holds them to an amount for each payment, an amount within 24 hours, and a
//! number of payments within an hour. Security keys are held to nothing: a finger has to be there each time.
//!
//! **What counts** is every authorization that a key may have signed, as in the ledger: it is written down durably before the
//! key is asked, and taken back only where the key did not sign. One that is authorized again counts again.
//!
//! **Windows** roll: in no 24 hours and in no hour is there more than the limit. Amounts count for each currency by itself,
//! payments over all currencies.
//!
//! **Clock steps.** Ages go by the clock that never steps, over restarts of the program too. After a restart of the *machine* only the
//! other clock knows: what seems to come from the future counts as if it were of now, so that a clock that is set back frees
//! nothing. Who may set the clock ahead and restart the machine can free a limit.

mod decimal;
mod spending;
mod units;

pub use spending::{BootId, Spending, SpendingError, Spent};

use crate::card::CardHandle;
use decimal::Decimal;
use fwp::{Amount, Currency};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// The most that may be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Most {
    /// So much; zero is nothing at all.
    UpTo(Amount),
    /// Any amount.
    Unlimited,
}

/// What the keys in this computer may pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one payment, in units of its currency; for currencies with small units a round multiple of it.
    pub payment: Most,
    /// Within 24 hours, for each currency, as `payment`.
    pub day: Most,
    /// Payments within an hour, in all currencies together; `None` is any number.
    pub payments_per_hour: Option<u32>,
    /// What is set for one currency alone: exactly that, in its units.
    pub currencies: HashMap<Currency, CurrencyLimits>,
}

/// What is set for one currency. What is not goes by the limits for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CurrencyLimits {
    /// For one payment.
    pub payment: Option<Most>,
    /// Within 24 hours.
    pub day: Option<Most>,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// That of one payment.
    Payment,
    /// That of 24 hours.
    Day,
    /// That of the number within an hour.
    PaymentsPerHour,
}

/// A payment that the keys in this computer may not make now. Its text says which limit, and when there is room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LimitReached {
    /// Which limit.
    pub which: Which,
    /// The limit: an amount with its currency, or a number.
    pub limit: String,
    /// What is left of it now, likewise.
    pub left: String,
    /// In how many milliseconds there is room for this payment, unless others come before; `None`: never.
    pub room_in_ms: Option<u64>,
}

/// The keys in this computer, as a payment asks about them.
#[derive(Clone, Copy, Debug)]
pub struct PlatformKeys<'a> {
    /// The cards whose keys are in this computer.
    pub cards: &'a HashSet<CardHandle>,
    /// What they may pay.
    pub limits: &'a Limits,
    /// What they paid.
    pub spending: &'a Spending,
}

impl Default for Limits {
    /// 1000 a payment, 2000 in 24 hours, 10 payments an hour.
    fn default() -> Self {
        let up_to = |text| Amount::parse(text).map_or(Most::Unlimited, Most::UpTo);
        Self {
            payment: up_to("1000"),
            day: up_to("2000"),
            payments_per_hour: Some(10),
            currencies: HashMap::new(),
        }
    }
}

impl Limits {
    /// Most for one payment in `currency`; `None` is any amount.
    fn payment_in(&self, currency: &Currency) -> Option<Decimal> {
        let set = self.currencies.get(currency).and_then(|set| set.payment.as_ref());
        in_units(set, &self.payment, currency)
    }

    /// Most within 24 hours in `currency`; `None` is any amount.
    fn day_in(&self, currency: &Currency) -> Option<Decimal> {
        let set = self.currencies.get(currency).and_then(|set| set.day.as_ref());
        in_units(set, &self.day, currency)
    }
}

fn in_units(set: Option<&Most>, general: &Most, currency: &Currency) -> Option<Decimal> {
    match (set, general) {
        (Some(Most::UpTo(amount)), _) => Some(Decimal::of(amount)),
        (None, Most::UpTo(amount)) => Some(Decimal::of(amount).times(units::units(currency))),
        (Some(Most::Unlimited), _) | (None, Most::Unlimited) => None,
    }
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, left, .. } = self;
        match self.which {
            Which::Payment => write!(f, "This computer's keys may pay at most {limit} at a time.")?,
            Which::Day => write!(
                f,
                "This computer's keys may pay at most {limit} within 24 hours, of which {left} are left now."
            )?,
            Which::PaymentsPerHour => {
                write!(f, "This computer's keys may make at most {limit} payments within an hour.")?;
            }
        }
        if let Some(room_in_ms) = self.room_in_ms {
            write!(f, " There is room for this payment in {}.", duration(room_in_ms))?;
        }
        f.write_str(" A card with a security key has no such limit.")
    }
}

/// In whole minutes, rounded up.
fn duration(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000).max(1);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
