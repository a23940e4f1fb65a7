//! Time stamps: RFC 3339 as FIDO Web Pay writes it.

use std::fmt;

/// Why text is no time stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a time stamp is a real date as YYYY-MM-DDThh:mm:ss, optionally a fraction of 1 to 9 digits, then Z or ±hh:mm"
)]
pub struct TimeStampError;

/// `YYYY-MM-DDThh:mm:ss`, optional fraction of 1-9 digits, `Z` or `±hh:mm`, upper case; real calendar dates, no second 60.
/// Kept as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimeStamp {
    text: String,
    unix_nanos: i128,
}

impl TimeStamp {
    /// Reads a time stamp.
    ///
    /// # Errors
    /// [`TimeStampError`].
    pub fn parse(text: &str) -> Result<Self, TimeStampError> {
        match unix_nanos(text) {
            Some(unix_nanos) => Ok(Self { text: text.to_owned(), unix_nanos }),
            None => Err(TimeStampError),
        }
    }

    /// The time stamp of `unix_ms` milliseconds since 1970, in whole seconds, with the local offset from UTC in minutes
    /// when it is known, else `Z` (FIDO Web Pay section 4.2, timeStamp).
    ///
    /// # Errors
    /// [`TimeStampError`] for years outside 0 to 9999 or offsets of a day and more.
    pub fn from_unix_ms(unix_ms: i64, offset_minutes: Option<i16>) -> Result<Self, TimeStampError> {
        let offset = offset_minutes.unwrap_or(0);
        let local = unix_ms.div_euclid(1000) + i64::from(offset) * 60;
        let at = time::OffsetDateTime::from_unix_timestamp(local).map_err(|_| TimeStampError)?;
        let zone = match offset_minutes {
            None => "Z".to_owned(),
            Some(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60)
            }
        };
        Self::parse(&format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{zone}",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ))
    }

    /// The time stamp as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    pub fn unix_ms(&self) -> i64 {
        // Years 0 to 9999 are far within 64 bits of milliseconds.
        self.unix_nanos.div_euclid(1_000_000) as i64
    }

    /// Whether `now_ms - back_ms < self < now_ms + ahead_ms`, strict on both sides, to the nanosecond.
    pub fn is_within(&self, now_ms: i64, back_ms: i64, ahead_ms: i64) -> bool {
        let nanos = |ms: i64| i128::from(ms) * 1_000_000;
        nanos(now_ms) - nanos(back_ms) < self.unix_nanos && self.unix_nanos < nanos(now_ms) + nanos(ahead_ms)
    }
}

impl fmt::Display for TimeStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the text from left to right.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u32::from(digit - b'0')))
    }

    fn one_of(&mut self, choices: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        choices.contains(first).then_some(*first)
    }

    fn skip(&mut self, expected: u8) -> Option<()> {
        self.one_of(&[expected]).map(|_| ())
    }

    /// Nanoseconds of a fraction of 1 to 9 digits behind a dot, 0 where there is no dot.
    fn fraction(&mut self) -> Option<i128> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.skip(b'.')?;
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return None;
        }
        let digits = self.digits(count)?;
        Some(i128::from(digits) * 10i128.pow(9 - count as u32))
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i128> {
        let sign = match self.one_of(b"Z+-")? {
            b'Z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let hours = self.digits(2).filter(|hours| *hours < 24)?;
        self.skip(b':')?;
        let minutes = self.digits(2).filter(|minutes| *minutes < 60)?;
        Some(sign * i128::from(hours * 3600 + minutes * 60))
    }
}

fn unix_nanos(text: &str) -> Option<i128> {
    let mut cursor = Cursor(text.as_bytes());
    let year = cursor.digits(4)?;
    cursor.skip(b'-')?;
    let month = cursor.digits(2)?;
    cursor.skip(b'-')?;
    let day = cursor.digits(2)?;
    cursor.skip(b'T')?;
    let hour = cursor.digits(2)?;
    cursor.skip(b':')?;
    let minute = cursor.digits(2)?;
    cursor.skip(b':')?;
    let second = cursor.digits(2)?;
    let nanos = cursor.fraction()?;
    let offset = cursor.zone()?;
    if !cursor.0.is_empty() {
        return None;
    }
    let month = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date =
        time::Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()?;
    let [hour, minute, second] = [hour, minute, second].map(|n| u8::try_from(n).unwrap_or(u8::MAX));
    let at = date.with_hms(hour, minute, second).ok()?.assume_utc();
    Some((i128::from(at.unix_timestamp()) - offset) * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Option<i64> {
        TimeStamp::parse(text).ok().map(|t| t.unix_ms())
    }

    #[test]
    fn the_sample_of_the_document() {
        assert_eq!(ms("2023-02-16T10:14:07+01:00"), Some(1_676_538_847_000));
        assert_eq!(ms("2023-02-16T09:14:07Z"), Some(1_676_538_847_000));
    }

    #[test]
    fn offsets_fractions_leap_days_and_year_zero() {
        assert_eq!(ms("1970-01-01T00:00:00.123456789Z"), Some(123));
        assert_eq!(ms("1969-12-31T23:59:59.9999Z"), Some(-1));
        assert_eq!(ms("1970-01-01T00:00:00-03:30"), Some(12_600_000));
        for text in [
            "2024-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2023-02-16T10:14:07+23:59",
            "9999-12-31T23:59:59Z",
        ] {
            assert!(ms(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_real_time_is_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "2023-01-32T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-02-16T10:14:07z",
            "2023-02-16t10:14:07Z",
            "2023-02-16 10:14:07Z",
            "2023-02-16T10:14:07",
            "2023-02-16T10:14:07+0100",
            "2023-02-16T10:14:07+24:00",
            "2023-02-16T10:14:07+01:60",
            "2023-02-16T10:14:07.Z",
            "2023-02-16T10:14:07,5Z",
            "2023-02-16T10:14:07.1234567890Z",
            " 2023-02-16T10:14:07Z",
            "2023-02-16T10:14:07Z ",
            "+2023-02-16T10:14:07Z",
            "٢٠٢٣-02-16T10:14:07Z",
            "2023-2-16T10:14:07Z",
        ] {
            assert!(ms(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn the_window_is_strict_on_both_sides() {
        let at = TimeStamp::parse("1970-01-01T00:10:00Z").unwrap();
        assert!(
            at.is_within(600_000 + 599_999, 600_000, 60_000)
                && !at.is_within(600_000 + 600_000, 600_000, 60_000)
        );
        assert!(
            at.is_within(600_000 - 59_999, 600_000, 60_000)
                && !at.is_within(600_000 - 60_000, 600_000, 60_000)
        );
    }

    #[test]
    fn the_local_offset_is_written_when_known() {
        let at = |offset| TimeStamp::from_unix_ms(1_676_538_847_123, offset).unwrap().as_str().to_owned();
        assert_eq!(at(Some(60)), "2023-02-16T10:14:07+01:00");
        assert_eq!(at(Some(-210)), "2023-02-16T05:44:07-03:30");
        assert_eq!(at(Some(0)), "2023-02-16T09:14:07+00:00");
        assert_eq!(at(None), "2023-02-16T09:14:07Z");
        assert!(TimeStamp::from_unix_ms(i64::MAX, None).is_err());
    }
}
