//! The time of the tests.

use chrono::{DateTime, Utc};

/// The time of all tests: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

/// Converts epoch seconds to a time.
#[must_use]
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a valid time")
}
