//! How many sessions there are.

use serde::Serialize;

use super::Timestamp;

/// The table's sessions, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Session records in the table.
    pub total_sessions: u64,
    /// Those with `is_active` true, expired ones among them.
    pub active_sessions: u64,
    /// Active ones whose `expires_at` has passed.
    pub expired_sessions: u64,
    /// Whether there is an expired session.
    pub cleanup_needed: bool,
    /// Those with `is_active` false.
    pub inactive_sessions: u64,
    /// How long the oldest expired session has been expired, in seconds.
    pub oldest_expired_age_seconds: Option<i64>,
}

impl Statistics {
    /// Puts together what was counted: live sessions, expired ones, inactive ones, and the end of
    /// the expired session that ended first.
    #[must_use]
    pub fn new(
        live: u64,
        expired: u64,
        inactive: u64,
        oldest_expired: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        Self {
            total_sessions: live + expired + inactive,
            active_sessions: live + expired,
            expired_sessions: expired,
            cleanup_needed: expired > 0,
            inactive_sessions: inactive,
            oldest_expired_age_seconds: oldest_expired.map(|end| now.since(end)),
        }
    }
}
