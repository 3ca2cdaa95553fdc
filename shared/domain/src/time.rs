//! Times as they are stored: whole seconds since the epoch, in UTC.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Timestamp(i64);

/// Error of a text that is not a time in epoch seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a time in epoch seconds")]
pub struct InvalidTimestamp(pub String);

impl Timestamp {
    /// Latest valid time: the end of the year 9999, which often means "never". The current time in
    /// milliseconds is later, so the limit detects writers that confuse the units.
    pub const MAX_VALID: Self = Self(253_402_300_799);

    /// Latest time of all.
    pub const MAX: Self = Self(i64::MAX);

    /// A time from epoch seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Parses a stored number of seconds.
    ///
    /// Fractions of a second are rounded up, so that nothing is due too early. A comparison of the
    /// result with whole seconds gives the same result as one of the stored number.
    ///
    /// # Errors
    ///
    /// The text is not a number, or is later than [`Timestamp::MAX_VALID`].
    pub fn parse(number: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp(number.to_owned());
        let seconds = number
            .parse()
            .ok()
            .or_else(|| parse_ceil(number))
            .or_else(|| saturated(number.parse::<f64>().ok()?.ceil()))
            .ok_or_else(invalid)?;
        Some(Self(seconds))
            .filter(|time| *time <= Self::MAX_VALID)
            .ok_or_else(invalid)
    }

    /// Parses a stored number of seconds that is an upper limit. Fractions of a second are rounded down, so that
    /// nothing passes the limit.
    ///
    /// # Errors
    ///
    /// As for [`parse`](Self::parse).
    pub fn parse_limit(number: &str) -> Result<Self, InvalidTimestamp> {
        let up = Self::parse(number)?;
        // The negative number, rounded up, is the number rounded down.
        let negative = match number.strip_prefix('-') {
            Some(positive) => positive.to_owned(),
            None => format!("-{number}"),
        };
        // It cannot be read if it is a positive number that is too large: then it is far in the past.
        Ok(Self::parse(&negative).map_or(up, |down| Self(down.0.saturating_neg())))
    }

    /// The time of a `NumericDate` (RFC 7519 §2) at which something ends. Fractions of a second are
    /// rounded up, so that nothing ends too early.
    #[must_use]
    pub fn end_from_numeric_date(date: f64) -> Option<Self> {
        Self::from_whole_seconds(date.ceil())
    }

    /// The time of a `NumericDate` at which something starts. Fractions of a second are rounded down,
    /// as in the current time, so that a token that was just issued is valid.
    #[must_use]
    pub fn start_from_numeric_date(date: f64) -> Option<Self> {
        Self::from_whole_seconds(date.floor())
    }

    fn from_whole_seconds(seconds: f64) -> Option<Self> {
        saturated(seconds)
            .map(Self)
            .filter(|time| *time <= Self::MAX_VALID)
    }

    /// The time in epoch seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This time plus `seconds`.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time minus `seconds`.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this time. Negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Parses a decimal fraction and rounds it up. A conversion to `f64` would not be exact.
fn parse_ceil(number: &str) -> Option<i64> {
    let (whole, fraction) = number.split_once('.')?;
    let whole: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let more = number.starts_with(|first| first != '-') && fraction.bytes().any(|it| it != b'0');
    Some(whole.saturating_add(more.into()))
}

/// Converts a float to an integer. `None` if it is not finite. Numbers outside `i64` saturate.
fn saturated(number: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, as intended"
    )]
    number.is_finite().then_some(number as i64)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp())
    }
}

/// Duration in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub u32);

impl Days {
    /// The duration in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 86_400
    }
}

/// Duration in hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours(pub u32);

impl Hours {
    /// The duration in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 3_600
    }
}

/// Duration in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minutes(pub u32);

impl Minutes {
    /// The duration in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_start_times_down_and_end_times_up() {
        for (date, start, end) in [
            (1_800_000_000.0, Some(1_800_000_000), Some(1_800_000_000)),
            (1_800_000_000.15, Some(1_800_000_000), Some(1_800_000_001)),
            (-0.5, Some(-1), Some(0)),
            (253_402_300_799.5, Some(253_402_300_799), None),
            (1_800_000_000_000.0, None, None),
            (-1e308, Some(i64::MIN), Some(i64::MIN)),
            (f64::NAN, None, None),
            (f64::INFINITY, None, None),
        ] {
            let read = [
                Timestamp::start_from_numeric_date(date),
                Timestamp::end_from_numeric_date(date),
            ];
            let expected = [start, end].map(|it| it.map(Timestamp::from_seconds));
            assert_eq!(read, expected, "{date}");
        }
    }

    #[test]
    fn rounds_limit_down() {
        for (number, seconds) in [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.5", Some(1_700_000_000)),
            ("1700000000.0", Some(1_700_000_000)),
            ("1.7000000005E+9", Some(1_700_000_000)),
            ("-1.5", Some(-2)),
            ("-5", Some(-5)),
            ("253402300799.5", None),
            ("1700000000000", None),
            ("never", None),
        ] {
            let read = Timestamp::parse_limit(number).ok().map(Timestamp::seconds);
            assert_eq!(read, seconds, "{number:?}");
        }
    }

    #[test]
    fn parses_stored_number_as_seconds() {
        for (number, seconds) in [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000)),
            ("-5", Some(-5)),
            ("1700000000.0", Some(1_700_000_000)),
            ("1700000000.25", Some(1_700_000_001)),
            ("1.7E+9", Some(1_700_000_000)),
            ("253402300799", Some(253_402_300_799)),
            ("253402300800", None),
            ("1800000000.00000001", Some(1_800_000_001)),
            ("1800000000.000", Some(1_800_000_000)),
            ("-1.5", Some(-1)),
            ("1.2.3", None),
            (".5", Some(1)),
            ("1700000000000", None),
            ("9E+125", None),
            ("-9E+125", Some(i64::MIN)),
            ("soon", None),
            ("NaN", None),
            ("", None),
        ] {
            let read = Timestamp::parse(number).ok().map(Timestamp::seconds);
            assert_eq!(read, seconds, "{number:?}");
        }
    }
}
