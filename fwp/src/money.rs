//! Amounts and currencies: text, checked, never floating point.

use std::fmt;

/// Most characters that an amount may have. A limit of ours.
pub const MAX_AMOUNT_CHARS: usize = 64;

/// The W3C's valid decimal monetary value, not negative, kept as written: digits, at most one dot with digits on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Amount(String);

/// Three letters A-Z (ISO 4217 form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// Why text is no amount or currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one dot between digits.
    #[error("an amount is digits with at most one dot between digits, such as 435.00, and not negative")]
    Amount,
    /// Longer than [`MAX_AMOUNT_CHARS`].
    #[error("an amount has at most {MAX_AMOUNT_CHARS} characters")]
    AmountTooLong,
    /// Not three letters.
    #[error("a currency is three letters A-Z, such as EUR")]
    Currency,
}

impl Amount {
    /// Reads an amount.
    ///
    /// # Errors
    /// [`MoneyError::Amount`], [`MoneyError::AmountTooLong`].
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let valid = match text.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(text),
        };
        match valid {
            false => Err(MoneyError::Amount),
            true if text.len() > MAX_AMOUNT_CHARS => Err(MoneyError::AmountTooLong),
            true => Ok(Self(text.to_owned())),
        }
    }

    /// The amount as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same amount of money, however written: `1.50` is `01.5`.
    pub fn same_value(&self, other: &Self) -> bool {
        self.normalised() == other.normalised()
    }

    /// Whole digits without leading zeros and fraction digits without trailing ones.
    fn normalised(&self) -> (&str, &str) {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        (whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
    }
}

impl Currency {
    /// Reads a currency as FWP objects have it: upper case only.
    ///
    /// # Errors
    /// [`MoneyError::Currency`].
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            _ => Err(MoneyError::Currency),
        }
    }

    /// Reads a currency as a page may write it: any case, then upper case, as the W3C says.
    ///
    /// # Errors
    /// [`MoneyError::Currency`].
    pub fn parse_any_case(text: &str) -> Result<Self, MoneyError> {
        Self::parse(&text.to_ascii_uppercase())
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_kept_as_written() {
        for text in ["0", "435.00", "0.01", "000.10", "1000000", "9.9", &"9".repeat(64)] {
            assert_eq!(Amount::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_valid_decimal_monetary_value_is_refused() {
        for text in [
            "",
            "-1",
            "-0",
            "+1",
            ".5",
            "5.",
            "1.2.3",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "٣",
            "0x10",
            &"9".repeat(65),
        ] {
            assert!(Amount::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_same_money_written_differently_is_the_same_value() {
        let same = |a, b| Amount::parse(a).unwrap().same_value(&Amount::parse(b).unwrap());
        assert!(same("1.50", "01.5") && same("0", "0.00") && same("10", "10.0"));
        assert!(!same("1.5", "1.05") && !same("10", "1") && !same("0.1", "1"));
    }

    #[test]
    fn currencies_are_three_upper_case_letters() {
        assert_eq!(Currency::parse("EUR").unwrap().as_str(), "EUR");
        assert_eq!(Currency::parse_any_case("eur").unwrap().as_str(), "EUR");
        for text in ["eur", "EU", "EURO", "E1R", "ÉUR", ""] {
            assert!(Currency::parse(text).is_err(), "{text:?}");
        }
        assert!(Currency::parse_any_case("ßa").is_err());
    }
}
