//! What keys in this computer may pay: never more than the limits, whatever happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{BANKNET, at, card, request};
use fwp::{Amount, Currency};
use fwp_wallet::limits::{
    BootId, CurrencyLimits, LimitReached, Limits, Most, PlatformKeys, Spending, SpendingError, Which,
};
use fwp_wallet::payment::View;
use fwp_wallet::{
    CardHandle, CloseReason, Deadlines, Effect, Event, Ledger, Moment, Notice, Payment, PaymentConsent,
};
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const BOOT: BootId = [1; 16];

fn amount(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

fn eur(spending: &mut Spending, text: &str, now: Moment) -> Result<(), LimitReached> {
    spending.authorize(&Limits::default(), &amount(text), &currency("EUR"), now).map(|_| ())
}

fn which(result: Result<(), LimitReached>) -> Which {
    result.unwrap_err().which
}

#[test]
fn one_payment_has_a_limit_and_a_day_and_an_hour_have_theirs() {
    let mut spending = Spending::new(BOOT);
    assert_eq!(which(eur(&mut spending, "1000.01", at(0))), Which::Payment);
    eur(&mut spending, "1000.00", at(0)).unwrap();
    eur(&mut spending, "999.99", at(HOUR)).unwrap();
    assert_eq!(which(eur(&mut spending, "0.02", at(HOUR))), Which::Day);
    eur(&mut spending, "0.01", at(HOUR)).unwrap();
    // Nothing is left until the first one is older than 24 hours.
    let reached = eur(&mut spending, "500", at(2 * HOUR)).unwrap_err();
    assert_eq!((reached.left.as_str(), reached.room_in_ms), ("0 EUR", Some(22 * HOUR + 1)));
    assert_eq!(which(eur(&mut spending, "500", at(DAY))), Which::Day);
    eur(&mut spending, "500", at(DAY + 1)).unwrap();
    // Another currency has its own.
    spending.authorize(&Limits::default(), &amount("1000"), &currency("USD"), at(DAY + 1)).unwrap();

    let mut spending = Spending::new(BOOT);
    for minute in 0..10 {
        eur(&mut spending, "1", at(minute * MINUTE)).unwrap();
    }
    let reached = eur(&mut spending, "1", at(10 * MINUTE)).unwrap_err();
    assert_eq!((reached.which, reached.room_in_ms), (Which::PaymentsPerHour, Some(50 * MINUTE + 1)));
    eur(&mut spending, "1", at(60 * MINUTE + 1)).unwrap();
    assert_eq!(which(eur(&mut spending, "1", at(60 * MINUTE + 1))), Which::PaymentsPerHour);
}

#[test]
fn the_user_reads_which_limit_it_is_and_when_there_is_room() {
    let mut spending = Spending::new(BOOT);
    let text = |result: Result<(), LimitReached>| result.unwrap_err().to_string();
    assert_eq!(
        text(eur(&mut spending, "1000.5", at(0))),
        "This computer's keys may pay at most 1000 EUR at a time. A card with a security key has no such limit."
    );
    eur(&mut spending, "870.5", at(0)).unwrap();
    eur(&mut spending, "870", at(0)).unwrap();
    assert_eq!(
        text(eur(&mut spending, "435", at(HOUR))),
        "This computer's keys may pay at most 2000 EUR within 24 hours, of which 259.50 EUR are left now. There is room \
         for this payment in 23 h 1 min. A card with a security key has no such limit."
    );
    let limits = Limits { payments_per_hour: Some(2), ..Limits::default() };
    let reached = spending.check(&limits, &amount("1"), &currency("EUR"), at(HOUR - MINUTE)).unwrap_err();
    assert_eq!(
        reached.to_string(),
        "This computer's keys may make at most 2 payments within an hour. There is room for this payment in 2 min. A card \
         with a security key has no such limit."
    );
}

#[test]
fn of_two_limits_the_one_that_lasts_longest_is_said() {
    let mut spending = Spending::new(BOOT);
    let limits = Limits { payments_per_hour: Some(1), ..Limits::default() };
    spending.authorize(&limits, &amount("1000"), &currency("EUR"), at(0)).unwrap();
    let check = |text| spending.check(&limits, &amount(text), &currency("EUR"), at(0)).unwrap_err();
    assert_eq!(check("1").which, Which::PaymentsPerHour);
    assert_eq!(check("1001").which, Which::Payment);
    let limits = Limits { day: Most::UpTo(amount("1500")), ..limits };
    let reached = spending.check(&limits, &amount("501"), &currency("EUR"), at(0)).unwrap_err();
    assert_eq!(reached.which, Which::Day);
}

#[test]
fn nothing_and_any_amount_can_be_set_and_one_currency_by_itself() {
    let mut limits = Limits { payment: Most::UpTo(amount("0")), ..Limits::default() };
    let spending = Spending::new(BOOT);
    let check = |limits: &Limits, text: &str, name: &str| {
        spending.check(limits, &amount(text), &currency(name), at(0)).map_err(|reached| reached.limit)
    };
    assert_eq!(check(&limits, "0.01", "EUR"), Err("0 EUR".to_owned()));
    limits.payment = Most::Unlimited;
    limits.day = Most::Unlimited;
    assert_eq!(check(&limits, &"9".repeat(64), "EUR"), Ok(()));
    limits.payments_per_hour = Some(0);
    assert_eq!(check(&limits, "1", "EUR"), Err("0".to_owned()));

    // Where the unit is worth little, the same setting is about the same money; what is set for it alone goes as it stands.
    let mut limits = Limits::default();
    assert_eq!(check(&limits, "200000", "JPY"), Ok(()));
    assert_eq!(check(&limits, "200000.01", "JPY"), Err("200000 JPY".to_owned()));
    let own = CurrencyLimits { payment: Some(Most::UpTo(amount("150000"))), day: None };
    limits.currencies.insert(currency("JPY"), own);
    assert_eq!(check(&limits, "150001", "JPY"), Err("150000 JPY".to_owned()));
    let own = CurrencyLimits { payment: Some(Most::Unlimited), day: None };
    limits.currencies.insert(currency("JPY"), own);
    assert_eq!(check(&limits, "400000", "JPY"), Ok(()));
    assert_eq!(check(&limits, "400001", "JPY"), Err("400000 JPY".to_owned()));
}

#[test]
fn what_was_not_signed_counts_for_nothing_and_can_be_taken_back_once() {
    let mut spending = Spending::new(BOOT);
    let limits = Limits::default();
    let spent = spending.authorize(&limits, &amount("1000"), &currency("EUR"), at(0)).unwrap();
    eur(&mut spending, "1000", at(0)).unwrap();
    assert!(spending.release(spent));
    assert!(!spending.release(spent));
    eur(&mut spending, "1000", at(0)).unwrap();
    assert_eq!(which(eur(&mut spending, "0.01", at(0))), Which::Day);
    // A restart has nothing to take back.
    let mut restored = Spending::restore(&spending.encode(), BOOT, at(0)).unwrap();
    assert!(!restored.release(spent));
}

#[test]
fn neither_a_restart_nor_a_clock_that_is_set_frees_a_limit() {
    let mut spending = Spending::new(BOOT);
    eur(&mut spending, "1000", at(0)).unwrap();
    eur(&mut spending, "1000", at(0)).unwrap();
    let full = |spending: &Spending, now| {
        spending
            .check(&Limits::default(), &amount("1"), &currency("EUR"), now)
            .map_err(|reached| reached.room_in_ms)
    };
    let with_clock = |moment: Moment, by: i64| Moment { unix_ms: moment.unix_ms + by, ..moment };
    let (year, hour_later) = (365 * DAY as i64, at(HOUR));
    for by in [-year, 0, year] {
        let restored = Spending::restore(&spending.encode(), BOOT, with_clock(hour_later, by)).unwrap();
        assert_eq!(full(&restored, with_clock(hour_later, by)), Err(Some(23 * HOUR + 1)), "{by}");
        assert_eq!(full(&restored, with_clock(at(DAY + 1), by)), Ok(()));
    }
    // After a restart of the machine only the clock that can be set is there; one that was set back frees nothing either.
    let booted = Moment { monotonic_ms: 10, unix_ms: at(HOUR).unix_ms };
    let restored = Spending::restore(&spending.encode(), [2; 16], booted).unwrap();
    assert_eq!(full(&restored, booted), Err(Some(23 * HOUR + 1)));
    let booted = with_clock(booted, -year);
    let restored = Spending::restore(&spending.encode(), [2; 16], booted).unwrap();
    assert_eq!(full(&restored, booted), Err(Some(DAY + 1)));
    // And so after one more restart of the program.
    let later = Moment { monotonic_ms: 10 + HOUR, unix_ms: booted.unix_ms };
    let eur = currency("EUR");
    let mut restored = restored;
    restored
        .authorize(&Limits { day: Most::Unlimited, ..Limits::default() }, &amount("1"), &eur, later)
        .unwrap();
    let again = Spending::restore(&restored.encode(), [2; 16], later).unwrap();
    assert_eq!(full(&again, later), Err(Some(23 * HOUR + 1)));
}

#[test]
fn however_many_there_were_they_take_little_room_and_all_count() {
    let limits = Limits {
        payment: Most::Unlimited,
        day: Most::UpTo(amount("50")),
        payments_per_hour: None,
        ..Limits::default()
    };
    let mut spending = Spending::new(BOOT);
    for n in 0..5_000 {
        spending.authorize(&limits, &amount("0.01"), &currency("EUR"), at(n)).unwrap();
    }
    assert!(spending.encode().len() < 40_000);
    let restored = Spending::restore(&spending.encode(), BOOT, at(5_000)).unwrap();
    for spending in [&spending, &restored] {
        let reached = spending.check(&limits, &amount("0.01"), &currency("EUR"), at(5_000)).unwrap_err();
        assert_eq!(reached.left, "0 EUR");
        spending.check(&limits, &amount("50"), &currency("EUR"), at(DAY + 5_000)).unwrap();
    }
}

/// Cards 1 and 2 fit; the key of card 1 is in this computer.
struct Scene {
    ledger: Ledger,
    limits: Limits,
    spending: Spending,
    platform: HashSet<CardHandle>,
}

impl Scene {
    fn new() -> Self {
        let platform = [CardHandle(1)].into();
        Self { ledger: Ledger::default(), limits: Limits::default(), spending: Spending::new(BOOT), platform }
    }

    fn shows(&self, handles: &[u32], value: &str) -> (Payment, u32, Arc<PaymentConsent>) {
        let cards: Vec<_> = handles.iter().map(|handle| card(*handle, BANKNET)).collect();
        let keys = PlatformKeys { cards: &self.platform, limits: &self.limits, spending: &self.spending };
        let view = View { cards: &cards, ledger: &self.ledger, platform_keys: Some(keys) };
        let mut payment = Payment::new(request("order", value), Deadlines::default(), at(0));
        let effects = payment.on(Event::Show(view), at(0)).unwrap();
        let [Effect::Ask { turn, consent }] = &effects[..] else { panic!("{effects:?}") };
        let (turn, consent) = (*turn, Arc::clone(consent));
        (payment, turn, consent)
    }
}

fn handles(consent: &PaymentConsent) -> Vec<i64> {
    consent.cards().iter().map(|card| card.handle().0).collect()
}

#[test]
fn a_card_over_its_limit_is_not_offered_and_the_user_is_told_why() {
    let scene = Scene::new();
    let (_, _, consent) = scene.shows(&[1, 2], "1000");
    assert_eq!((handles(&consent), consent.notices()), (vec![1, 2], &[][..]));
    let (_, _, consent) = scene.shows(&[1, 2], "1000.01");
    assert_eq!(handles(&consent), [2]);
    let [Notice::LimitReached(reached)] = consent.notices() else { panic!("{consent:?}") };
    assert_eq!(reached.which, Which::Payment);
    assert_eq!(
        consent.notices()[0].to_string(),
        format!("Cards whose keys are in this computer are not offered. {reached}")
    );
    // Who has security keys alone hears nothing of it.
    let (_, _, consent) = scene.shows(&[2], "1000.01");
    assert_eq!((handles(&consent), consent.notices()), (vec![2], &[][..]));
}

#[test]
fn where_no_other_card_fits_the_payment_ends_with_the_limit_whatever_is_answered() {
    let scene = Scene::new();
    for answer in [None, Some(CardHandle(1)), Some(CardHandle(9))] {
        let (mut payment, turn, consent) = scene.shows(&[1], "1000.01");
        assert_eq!(handles(&consent), Vec::<i64>::new());
        let effects = payment.on(Event::Answered { turn, card: answer }, at(0)).unwrap();
        let ended = |effect: &Effect| matches!(effect, Effect::Close(CloseReason::LimitReached));
        assert!(effects.iter().any(ended), "{effects:?}");
    }
    let (mut payment, turn, _) = scene.shows(&[], "1000.01");
    let effects = payment.on(Event::Answered { turn, card: None }, at(0)).unwrap();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Close(CloseReason::NoMatchingCard))));
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Pay {
        cents: u64,
        currency: usize,
        signs: bool,
    },
    TimePasses(u64),
    ClockIsSet(i64),
    /// The program starts again, whatever the clock says.
    Restart,
    /// The machine does, and its clock is as far behind as it ever was, and further.
    Reboot {
        back: i64,
    },
}

const CURRENCIES: [&str; 2] = ["EUR", "JPY"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let cents = prop_oneof![1..100_000_u64, Just(30_000), Just(100_000), Just(100_001)];
    let step = prop_oneof![
        60 => (cents, 0..2_usize, prop::bool::weighted(0.8))
            .prop_map(|(cents, currency, signs)| Step::Pay { cents, currency, signs }),
        20 => prop_oneof![0..MINUTE, 0..HOUR, 0..DAY, Just(HOUR), Just(DAY)].prop_map(Step::TimePasses),
        5 => (-(3 * DAY as i64)..3 * DAY as i64).prop_map(Step::ClockIsSet),
        4 => Just(Step::Restart),
        2 => (0..2 * DAY as i64).prop_map(|back| Step::Reboot { back }),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_window_ever_has_more_in_it_than_the_limit(steps in steps(), number in 1..12_u32) {
        let limits = Limits { payments_per_hour: Some(number), ..Limits::default() };
        let (mut true_ms, mut booted_ms, mut clock_error_ms, mut furthest_back) = (0_u64, 0_u64, 0_i64, 0_i64);
        let mut boot = BOOT;
        let mut spending = Spending::new(boot);
        // Time, currency and cents of what may have been signed.
        let mut signed: Vec<(u64, usize, u64)> = Vec::new();
        for step in steps {
            let now = Moment {
                monotonic_ms: true_ms - booted_ms,
                unix_ms: 1_790_000_000_000 + true_ms as i64 + clock_error_ms,
            };
            match step {
                Step::TimePasses(ms) => true_ms += ms,
                Step::ClockIsSet(to) => {
                    clock_error_ms = to;
                    furthest_back = furthest_back.min(to);
                }
                Step::Restart => spending = Spending::restore(&spending.encode(), boot, now).unwrap(),
                Step::Reboot { back } => {
                    booted_ms = true_ms;
                    boot[0] = boot[0].wrapping_add(1).max(1);
                    furthest_back -= back;
                    clock_error_ms = furthest_back;
                    let unix_ms = 1_790_000_000_000 + true_ms as i64 + clock_error_ms;
                    let now = Moment { monotonic_ms: 0, unix_ms };
                    spending = Spending::restore(&spending.encode(), boot, now).unwrap();
                }
                Step::Pay { cents, currency: which, signs } => {
                    let text = format!("{}.{:02}", cents / 100, cents % 100);
                    let checked = spending.check(&limits, &amount(&text), &currency(CURRENCIES[which]), now);
                    let counted = spending.authorize(&limits, &amount(&text), &currency(CURRENCIES[which]), now);
                    prop_assert_eq!(checked.is_ok(), counted.is_ok());
                    match counted {
                        Ok(_) if signs => {
                            signed.push((true_ms, which, cents));
                            let units = [1, 200][which];
                            prop_assert!(cents <= 100_000 * units);
                            let day: u64 = signed
                                .iter()
                                .filter(|(at, of, _)| *of == which && true_ms - at <= DAY)
                                .map(|(_, _, cents)| cents)
                                .sum();
                            prop_assert!(day <= 200_000 * units, "{} in a day", day);
                            let hour = signed.iter().filter(|(at, ..)| true_ms - at <= HOUR).count();
                            prop_assert!(hour <= number as usize, "{} in an hour", hour);
                        }
                        Ok(spent) => prop_assert!(spending.release(spent)),
                        Err(LimitReached { room_in_ms: Some(ms), .. }) => {
                            // There is room then, and not a moment before.
                            let then = |ms| Moment { monotonic_ms: now.monotonic_ms + ms, ..now };
                            let check = |ms| {
                                spending.check(&limits, &amount(&text), &currency(CURRENCIES[which]), then(ms))
                            };
                            prop_assert!(ms > 0 && check(ms).is_ok() && check(ms - 1).is_err());
                        }
                        Err(_) => prop_assert!(cents > 100_000),
                    }
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_spending_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match Spending::restore(&bytes, BOOT, at(0)) {
            Ok(spending) => prop_assert!(Spending::restore(&spending.encode(), BOOT, at(0)).is_ok()),
            Err(SpendingError::Cbor(_) | SpendingError::Form) => {}
        }
    }

    #[test]
    fn a_changed_byte_makes_no_panic(at_byte in 0..200_usize, to: u8) {
        let mut spending = Spending::new(BOOT);
        eur(&mut spending, "12.34", at(0)).unwrap();
        let mut bytes = spending.encode();
        let at_byte = at_byte % bytes.len();
        bytes[at_byte] = to;
        if let Ok(mut spending) = Spending::restore(&bytes, BOOT, at(0)) {
            let _ = eur(&mut spending, "12.34", Moment { monotonic_ms: u64::MAX, unix_ms: i64::MIN });
            let _ = Spending::restore(&spending.encode(), [9; 16], at(0)).unwrap();
        }
    }
}
