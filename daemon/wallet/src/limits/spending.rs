//! What the keys in this computer authorized within the last 24 hours.

use super::decimal::Decimal;
use super::{LimitReached, Limits, Which};
use crate::time::Moment;
use fwp::{Amount, Currency};
use fwp_cose::cbor::{self, DecodeError, Value};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Above this, old authorizations in one currency are counted as one, of the younger one's time. Where the number within an
/// hour is limited, there are never so many.
const MOST_KEPT: usize = 512;
/// Version of the form in which it is stored.
const FORM: i64 = 1;

/// Names one start of the machine: Linux' `boot_id`.
pub type BootId = [u8; 16];

/// What the keys in this computer authorized within the last 24 hours.
#[derive(Clone, Debug, Default)]
pub struct Spending {
    boot: BootId,
    kept: Vec<Kept>,
    /// Number of the last authorization.
    last: u64,
}

/// Names one authorization, in this run of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent(u64);

#[derive(Clone, Debug)]
struct Kept {
    /// `None` for what can't be taken back any more.
    number: Option<u64>,
    currency: Currency,
    sum: Decimal,
    payments: u32,
    /// When, by the clock that never steps; negative before this start of the machine.
    monotonic_ms: i64,
    /// When, by the other clock of that time.
    unix_ms: i64,
}

/// Why bytes are no spending.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpendingError {
    /// Not deterministic CBOR.
    #[error("what this computer's keys paid can't be read: {0}")]
    Cbor(#[from] DecodeError),
    /// Of another form, or of a newer program's.
    #[error("what this computer's keys paid stands in a form that this version does not know")]
    Form,
}

impl Kept {
    fn age_ms(&self, now: Moment) -> u64 {
        u64::try_from(monotonic(now).saturating_sub(self.monotonic_ms)).unwrap_or(0)
    }
}

fn monotonic(now: Moment) -> i64 {
    i64::try_from(now.monotonic_ms).unwrap_or(i64::MAX)
}

impl Spending {
    /// Nothing was ever authorized; this is the machine's start `boot`.
    pub fn new(boot: BootId) -> Self {
        Self { boot, ..Self::default() }
    }

    /// What was stored, at the machine's start `boot`.
    ///
    /// # Errors
    /// [`SpendingError`].
    pub fn restore(bytes: &[u8], boot: BootId, now: Moment) -> Result<Self, SpendingError> {
        let Value::Array(parts) = cbor::decode(bytes)? else { return Err(SpendingError::Form) };
        let parts: [Value; 3] = parts.try_into().map_err(|_| SpendingError::Form)?;
        let [form, Value::Bytes(then), Value::Array(entries)] = parts else {
            return Err(SpendingError::Form);
        };
        if form.as_i64() != Some(FORM) {
            return Err(SpendingError::Form);
        }
        // A start that nobody could name is not this one.
        let same_boot = then == boot && boot != BootId::default();
        let mut kept = entries.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        for entry in &mut kept {
            let age = match same_boot {
                true => monotonic(now).saturating_sub(entry.monotonic_ms),
                false => now.unix_ms.saturating_sub(entry.unix_ms),
            };
            // What is of the future counts as of now.
            entry.monotonic_ms = monotonic(now).saturating_sub(age.max(0));
        }
        Ok(Self { boot, kept, last: 0 })
    }

    /// What is to be stored.
    pub fn encode(&self) -> Vec<u8> {
        let entry = |kept: &Kept| {
            Value::Array(vec![
                Value::int(kept.monotonic_ms),
                Value::int(kept.unix_ms),
                Value::from(kept.currency.as_str()),
                Value::from(kept.sum.to_string().as_str()),
                Value::int(kept.payments.into()),
            ])
        };
        let entries = self.kept.iter().map(entry).collect();
        Value::Array(vec![Value::int(FORM), Value::from(self.boot.as_slice()), Value::Array(entries)])
            .encode()
    }

    /// Whether a payment is within the limits now.
    ///
    /// # Errors
    /// [`LimitReached`]: of several limits the one that lasts longest.
    pub fn check(
        &self,
        limits: &Limits,
        amount: &Amount,
        currency: &Currency,
        now: Moment,
    ) -> Result<(), LimitReached> {
        let amount = Decimal::of(amount);
        let reached = [
            Self::payment_reached(limits, &amount, currency),
            self.day_reached(limits, &amount, currency, now),
            self.number_reached(limits, now),
        ];
        let lasts = |reached: &LimitReached| reached.room_in_ms.unwrap_or(u64::MAX);
        // Of two that last as long, the first.
        match reached.into_iter().flatten().rev().max_by_key(lasts) {
            Some(reached) => Err(reached),
            None => Ok(()),
        }
    }

    /// As [`Spending::check`], and counts it: what this gives has to be stored durably before a key is asked.
    ///
    /// # Errors
    /// [`LimitReached`]; nothing is counted then.
    pub fn authorize(
        &mut self,
        limits: &Limits,
        amount: &Amount,
        currency: &Currency,
        now: Moment,
    ) -> Result<Spent, LimitReached> {
        self.check(limits, amount, currency, now)?;
        self.kept.retain(|kept| kept.age_ms(now) <= DAY_MS);
        self.last += 1;
        self.kept.push(Kept {
            number: Some(self.last),
            currency: *currency,
            sum: Decimal::of(amount),
            payments: 1,
            monotonic_ms: monotonic(now),
            unix_ms: now.unix_ms,
        });
        self.compact();
        Ok(Spent(self.last))
    }

    /// Takes back what no key signed, and tells whether the store has something to forget.
    pub fn release(&mut self, spent: Spent) -> bool {
        let before = self.kept.len();
        self.kept.retain(|kept| kept.number != Some(spent.0));
        self.kept.len() < before
    }

    fn payment_reached(limits: &Limits, amount: &Decimal, currency: &Currency) -> Option<LimitReached> {
        let limit = limits.payment_in(currency).filter(|limit| amount > limit)?;
        let text = format!("{limit} {currency}");
        Some(LimitReached { which: Which::Payment, left: text.clone(), limit: text, room_in_ms: None })
    }

    fn day_reached(
        &self,
        limits: &Limits,
        amount: &Decimal,
        currency: &Currency,
        now: Moment,
    ) -> Option<LimitReached> {
        let limit = limits.day_in(currency)?;
        let of_today = |kept: &&Kept| kept.currency == *currency && kept.age_ms(now) <= DAY_MS;
        let mut today: Vec<_> = self.kept.iter().filter(of_today).collect();
        let spent = today.iter().fold(Decimal::ZERO, |sum, kept| sum.plus(&kept.sum));
        if spent.plus(amount) <= limit {
            return None;
        }
        // There is room once enough of what is oldest has gone.
        today.sort_by_key(|kept| kept.monotonic_ms);
        let mut held = spent.clone();
        let makes_room = today.iter().find(|kept| {
            held = held.minus(&kept.sum);
            held.plus(amount) <= limit
        });
        Some(LimitReached {
            which: Which::Day,
            left: format!("{} {currency}", limit.minus(&spent)),
            limit: format!("{limit} {currency}"),
            room_in_ms: makes_room.map(|kept| gone_in_ms(kept, DAY_MS, now)),
        })
    }

    fn number_reached(&self, limits: &Limits, now: Moment) -> Option<LimitReached> {
        let limit = limits.payments_per_hour?;
        let mut recent: Vec<_> = self.kept.iter().filter(|kept| kept.age_ms(now) <= HOUR_MS).collect();
        let mut made = recent.iter().fold(0_u32, |sum, kept| sum.saturating_add(kept.payments));
        if made < limit {
            return None;
        }
        recent.sort_by_key(|kept| kept.monotonic_ms);
        let makes_room = recent.iter().find(|kept| {
            made = made.saturating_sub(kept.payments);
            made < limit
        });
        Some(LimitReached {
            which: Which::PaymentsPerHour,
            left: "0".to_owned(),
            limit: limit.to_string(),
            room_in_ms: makes_room.map(|kept| gone_in_ms(kept, HOUR_MS, now)),
        })
    }

    /// Counts the two oldest in one currency as one, while there are too many.
    fn compact(&mut self) {
        if self.kept.len() <= MOST_KEPT {
            return;
        }
        self.kept.sort_by_key(|kept| kept.monotonic_ms);
        let pair = self.kept.iter().enumerate().find_map(|(at, older)| {
            let rest = self.kept.iter().skip(at + 1);
            rest.clone().any(|younger| younger.currency == older.currency).then_some(at)
        });
        // Where there are so many currencies, there can be so many entries.
        let Some(at) = pair else { return };
        let older = self.kept.remove(at);
        let younger = self.kept.iter_mut().skip(at).find(|younger| younger.currency == older.currency);
        if let Some(younger) = younger {
            younger.sum = younger.sum.plus(&older.sum);
            younger.payments = younger.payments.saturating_add(older.payments);
            younger.number = None;
        }
    }
}

fn gone_in_ms(kept: &Kept, window_ms: u64, now: Moment) -> u64 {
    window_ms.saturating_sub(kept.age_ms(now)).saturating_add(1)
}

fn read(value: Value) -> Result<Kept, SpendingError> {
    let Value::Array(parts) = value else { return Err(SpendingError::Form) };
    let parts: [Value; 5] = parts.try_into().map_err(|_| SpendingError::Form)?;
    let [monotonic_ms, unix_ms, Value::Text(currency), Value::Text(sum), payments] = parts else {
        return Err(SpendingError::Form);
    };
    let payments = payments.as_i64().and_then(|payments| u32::try_from(payments).ok());
    Ok(Kept {
        number: None,
        currency: Currency::parse(&currency).map_err(|_| SpendingError::Form)?,
        sum: Decimal::parse(&sum).ok_or(SpendingError::Form)?,
        payments: payments.ok_or(SpendingError::Form)?,
        monotonic_ms: monotonic_ms.as_i64().ok_or(SpendingError::Form)?,
        unix_ms: unix_ms.as_i64().ok_or(SpendingError::Form)?,
    })
}
