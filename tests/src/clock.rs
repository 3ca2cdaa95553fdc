//! The time of the tests.

use chrono::{DateTime, Utc};

/// When the tests take place: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

/// The time `seconds` after the epoch.
#[must_use]
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time that exists")
}
