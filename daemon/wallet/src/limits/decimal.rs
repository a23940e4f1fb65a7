//! Sums of money, exact: digits, never floating point.

use fwp::Amount;
use std::fmt;

/// Digits before the point. An amount has at most 64; so many sums of them never get as long as this.
const WHOLE: usize = 96;
/// Digits after it; an amount has at most 62.
const FRACTION: usize = 64;

/// A number that is not negative. Digits, the most significant first, so that they compare as they stand.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal([u8; WHOLE + FRACTION]);

impl Decimal {
    pub(super) const ZERO: Self = Self([0; WHOLE + FRACTION]);
    /// What greater numbers are taken for.
    const GREATEST: Self = Self([9; WHOLE + FRACTION]);

    /// Reads digits with at most one dot between digits; `None` if it is anything else, or too long.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return None,
            parts => parts.unwrap_or((text, "")),
        };
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let leading = WHOLE.checked_sub(whole.len())?;
        FRACTION.checked_sub(fraction.len())?;
        let mut read = Self::ZERO;
        let digits = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0');
        read.0.iter_mut().skip(leading).zip(digits).for_each(|(to, digit)| *to = digit);
        Some(read)
    }

    /// The amount's value.
    pub(super) fn of(amount: &Amount) -> Self {
        Self::parse(amount.as_str()).unwrap_or(Self::GREATEST)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let (mut sum, mut carry) = (self.clone(), 0);
        for (digit, added) in sum.0.iter_mut().zip(other.0).rev() {
            let total = *digit + added + carry;
            (*digit, carry) = (total % 10, total / 10);
        }
        if carry == 0 { sum } else { Self::GREATEST }
    }

    /// What is left; nothing, if `other` is greater.
    pub(super) fn minus(&self, other: &Self) -> Self {
        if other > self {
            return Self::ZERO;
        }
        let (mut rest, mut borrow) = (self.clone(), 0);
        for (digit, taken) in rest.0.iter_mut().zip(other.0).rev() {
            let total = 10 + *digit - taken - borrow;
            (*digit, borrow) = (total % 10, u8::from(total < 10));
        }
        rest
    }

    pub(super) fn times(&self, factor: u32) -> Self {
        let (mut product, mut carry) = (self.clone(), 0);
        for digit in product.0.iter_mut().rev() {
            let total = u64::from(*digit) * u64::from(factor) + carry;
            (*digit, carry) = (u8::try_from(total % 10).unwrap_or(0), total / 10);
        }
        if carry == 0 { product } else { Self::GREATEST }
    }
}

/// As people write it: without zeros that say nothing, cents in pairs.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|digit| char::from(b'0' + digit)).collect();
        let (whole, fraction) = text.split_at(WHOLE);
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        write!(f, "{}", if whole.is_empty() { "0" } else { whole })?;
        if fraction.is_empty() { Ok(()) } else { write!(f, ".{fraction:0<2}") }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_exact_and_shown_without_idle_zeros() {
        for (text, shown) in
            [("0", "0"), ("000.00", "0"), ("435.00", "435"), ("0.1", "0.10"), ("01.505", "1.505")]
        {
            assert_eq!(decimal(text).to_string(), shown);
        }
        assert_eq!(decimal("0.1").plus(&decimal("0.2")), decimal("0.3"));
        assert_eq!(decimal("1000").minus(&decimal("0.01")).to_string(), "999.99");
        assert_eq!(decimal("1").minus(&decimal("2")), Decimal::ZERO);
        assert_eq!(decimal("12.5").times(200), decimal("2500"));
        let longest = format!("0.{}", "9".repeat(62));
        assert!(decimal(&longest) < decimal("1"));
        assert_eq!(decimal(&longest).plus(&decimal(&format!("0.{}1", "0".repeat(61)))), decimal("1"));
    }

    #[test]
    fn what_is_no_number_is_not_read_and_what_is_too_great_stays_the_greatest() {
        for text in ["", ".", "1.", ".1", "-1", "1e3", "1.2.3", "٣", &"9".repeat(97)] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
        assert_eq!(Decimal::GREATEST.plus(&decimal("1")), Decimal::GREATEST);
        assert_eq!(Decimal::GREATEST.times(2), Decimal::GREATEST);
    }

    proptest! {
        #[test]
        fn it_counts_as_integers_do(a in 0..u64::MAX, b in 0..u64::MAX, factor: u32) {
            // In thousandths.
            let of = |n: u128| decimal(&format!("{}.{:03}", n / 1000, n % 1000));
            let (x, y) = (of(a.into()), of(b.into()));
            prop_assert_eq!(x.plus(&y), of(u128::from(a) + u128::from(b)));
            prop_assert_eq!(x.minus(&y), of(a.saturating_sub(b).into()));
            prop_assert_eq!(x.times(factor), of(u128::from(a) * u128::from(factor)));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(Decimal::parse(&x.to_string()), Some(x));
        }
    }
}
