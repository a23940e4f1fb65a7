//! Money in the sandbox bank's accounts: whole cents, never floating point.

use fwp::Amount;
use std::fmt;

/// Hundredths of a currency unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub i64);

/// `amount` in cents, if it is a whole number of them and fits.
pub fn cents_of(amount: &Amount) -> Option<Cents> {
    let (whole, fraction) = amount.as_str().split_once('.').unwrap_or((amount.as_str(), ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 2 {
        return None;
    }
    let cents = format!("{fraction:0<2}").parse::<i64>().ok()?;
    // Leading zeros, as many as the amount's length allows, are no problem to parse.
    whole.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents).map(Cents)
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_cents_or_not_taken() {
        let cents = |text: &str| cents_of(&Amount::parse(text).unwrap()).map(|cents| cents.0);
        assert_eq!(cents("435.00"), Some(43_500));
        assert_eq!(cents("0.5"), Some(50));
        assert_eq!(cents("129.000"), Some(12_900));
        assert_eq!(cents("000000000000000000000001"), Some(100));
        assert_eq!(cents("0.001"), None);
        assert_eq!(cents(&"9".repeat(64)), None);
        assert_eq!(cents("92233720368547758.07"), Some(i64::MAX));
        assert_eq!(cents("92233720368547758.08"), None);
        assert_eq!(Cents(43_500).to_string(), "435.00");
    }
}
