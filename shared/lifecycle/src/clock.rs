//! The only code that reads a clock. Everything else takes the time as an argument.
#![expect(clippy::disallowed_methods, reason = "only this module reads a clock")]

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// The current time.
#[must_use]
pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// Duration until `time`. Zero if it has passed.
#[must_use]
pub fn until(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::now()).unwrap_or_default()
}

/// A time limit that measures how much of it has elapsed.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    start: Instant,
    limit: Duration,
}

impl Deadline {
    /// A deadline that is `limit` from now.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self {
            start: Instant::now(),
            limit,
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Time until the limit. Zero if it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }
}

/// Measures elapsed time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts the measurement.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
