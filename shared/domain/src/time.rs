//! Times as the table stores them: whole seconds since the epoch, UTC.

use std::fmt;

use chrono::{DateTime, Utc};

/// A point in time, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A number that cannot be a time in seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a time in epoch seconds")]
pub struct InvalidTimestamp(pub String);

impl Timestamp {
    /// The last time that is believed: the end of the year 9999, which often stands for "never".
    /// A time of today in milliseconds lies beyond it, so that a writer who confuses the units is
    /// noticed rather than obeyed.
    pub const MAX_VALID: Self = Self(253_402_300_799);

    /// A time from epoch seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Reads a stored number, in seconds.
    ///
    /// A fraction of a second is rounded up, so that nothing is due before its time; comparing
    /// the result with whole seconds then says what comparing the stored number would.
    ///
    /// # Errors
    ///
    /// What is no number, or lies beyond [`Timestamp::MAX_VALID`].
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

    /// A `NumericDate` (RFC 7519 §2) at which something ends. A fraction of a second is rounded up,
    /// so that nothing ends before its time.
    #[must_use]
    pub fn end_from_numeric_date(date: f64) -> Option<Self> {
        Self::from_whole_seconds(date.ceil())
    }

    /// A `NumericDate` at which something begins. A fraction of a second is rounded down: the time of
    /// day is, too, and what was issued a moment ago is valid.
    #[must_use]
    pub fn start_from_numeric_date(date: f64) -> Option<Self> {
        Self::from_whole_seconds(date.floor())
    }

    fn from_whole_seconds(seconds: f64) -> Option<Self> {
        saturated(seconds)
            .map(Self)
            .filter(|time| *time <= Self::MAX_VALID)
    }

    /// Epoch seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// This time plus `seconds`.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time less `seconds`.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this time; negative where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Rounds a decimal fraction up exactly, which a binary one could not.
fn parse_ceil(number: &str) -> Option<i64> {
    let (whole, fraction) = number.split_once('.')?;
    let whole: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let more = number.starts_with(|first| first != '-') && fraction.bytes().any(|it| it != b'0');
    Some(whole.saturating_add(more.into()))
}

/// A whole number as an integer; nothing for what is not finite. Numbers beyond `i64` saturate.
fn saturated(number: f64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturating is what is meant"
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

/// A span in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub u32);

impl Days {
    /// The span in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 86_400
    }
}

/// A span in hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours(pub u32);

impl Hours {
    /// The span in seconds.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 as i64 * 3_600
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
