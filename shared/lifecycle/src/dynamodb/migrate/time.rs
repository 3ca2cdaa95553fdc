//! Times of the other table, in the unit that the layout names.

use std::fmt;

use chrono::{DateTime, NaiveDateTime};
use serde::Deserialize;
use session_domain::Timestamp;

use super::value::Scalar;

/// Unit of a stored time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Unit {
    S,
    Ms,
    Us,
    Ns,
    Iso8601,
}

/// Earliest valid time: the start of the year 2000. No session of a DynamoDB table is older. The
/// current time in seconds, read as milliseconds, is earlier.
const EARLIEST: Timestamp = Timestamp::from_seconds(946_684_800);

impl Unit {
    /// Reads a time. Fractions of a second are rounded down, so that no session lives longer than
    /// in its own store. An error says what is wrong, without the value.
    pub(super) fn read(self, value: &Scalar) -> Result<Timestamp, String> {
        let seconds = match (self.decimals(), value) {
            (Some(decimals), Scalar::Number(text) | Scalar::Text(text)) => {
                floor(text, decimals).ok_or_else(|| format!("not a number ({self})"))?
            }
            (None, Scalar::Text(text)) => {
                parse_iso8601(text).ok_or("not a date and time as in 2030-01-31T12:00:00Z")?
            }
            _ => return Err(format!("not a time ({self})")),
        };
        let time = Timestamp::from_seconds(seconds);
        if time > Timestamp::MAX_VALID {
            Err(format!("a time after the year 9999, if its unit is {self}"))
        } else if time < EARLIEST {
            Err(format!(
                "a time before the year 2000, if its unit is {self}"
            ))
        } else {
            Ok(time)
        }
    }

    /// The number of decimal digits that this unit has more than seconds. `None` if it is not a number.
    const fn decimals(self) -> Option<i64> {
        match self {
            Self::S => Some(0),
            Self::Ms => Some(3),
            Self::Us => Some(6),
            Self::Ns => Some(9),
            Self::Iso8601 => None,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S => "s",
            Self::Ms => "ms",
            Self::Us => "us",
            Self::Ns => "ns",
            Self::Iso8601 => "iso8601",
        })
    }
}

/// Divides a decimal number by a power of ten and rounds down. Works on the digits, because a stored
/// number may have 38 of them. A number that is too large for the result saturates.
fn floor(number: &str, decimals: i64) -> Option<i64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (number, 0),
    };
    let is_negative = mantissa.starts_with('-');
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent) - decimals;
    let (mut seconds, mut has_rest) = (0_i64, false);
    for (at, digit) in (0..).zip(digits.bytes()) {
        if at < point {
            seconds = seconds
                .saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'));
        } else {
            has_rest |= digit != b'0';
        }
    }
    for _ in i64::try_from(digits.len()).ok()?..point {
        seconds = seconds.saturating_mul(10);
    }
    Some(if is_negative {
        seconds.saturating_neg().saturating_sub(has_rest.into())
    } else {
        seconds
    })
}

/// Parses a date and time. One without an offset is in UTC.
fn parse_iso8601(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_time_in_each_unit_rounded_down() {
        use Unit::{Iso8601, Ms, Ns, S, Us};
        for (unit, number) in [
            (S, "1800000000"),
            (S, "1800000000.999"),
            (S, "1800000000.1234560012817382812599999999"),
            (S, "1.8E+9"),
            (S, "18000000009e-1"),
            (S, "+01800000000."),
            (Ms, "1800000000000"),
            (Ms, "1800000000999.9"),
            (Ms, "1.8e12"),
            (Us, "1800000000999999"),
            (Ns, "1800000000999999999"),
            (Iso8601, "2027-01-15T08:00:00Z"),
            (Iso8601, "2027-01-15T08:00:00.999Z"),
            (Iso8601, "2027-01-15T09:30:00.1+01:30"),
            (Iso8601, "2027-01-15T08:00:00.123456"),
            (Iso8601, "2027-01-15 08:00:00"),
        ] {
            let read = unit.read(&Scalar::Text(number.into()));
            assert_eq!(read, Ok(Timestamp::from_seconds(1_800_000_000)), "{number}");
            let read = unit.read(&Scalar::Number(number.into()));
            assert_eq!(read.is_ok(), unit != Iso8601, "{number}");
        }
    }

    #[test]
    fn rejects_what_is_not_time_of_unit() {
        use Unit::{Iso8601, Ms, Ns, S};
        for (unit, text, expected) in [
            (S, "1800000000000", "after the year 9999, if its unit is s"),
            (S, "9E+125", "after the year 9999"),
            (Ms, "1800000000", "before the year 2000, if its unit is ms"),
            (Ns, "0", "before the year 2000"),
            (S, "-0.5", "before the year 2000"),
            (S, "-9E+125", "before the year 2000"),
            (S, "", "not a number (s)"),
            (S, ".", "not a number"),
            (S, "1.2.3", "not a number"),
            (S, "1e", "not a number"),
            (S, "NaN", "not a number"),
            (S, "2027-01-15T08:00:00Z", "not a number"),
            (Iso8601, "1800000000", "not a date and time"),
            (Iso8601, "2027-01-15", "not a date and time"),
            (Iso8601, "2027-02-30T08:00:00Z", "not a date and time"),
        ] {
            let error = unit.read(&Scalar::Text(text.into())).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(S.read(&Scalar::Flag(true)).is_err());
        assert_eq!(floor("-1.5", 0), Some(-2));
        assert_eq!(floor("-2000", 3), Some(-2));
    }
}
