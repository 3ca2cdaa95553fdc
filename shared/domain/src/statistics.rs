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
    /// Records that cannot be understood, which a cleanup moved off the work list.
    pub malformed_records: u64,
    /// How long the oldest expired session has been expired, in seconds.
    pub oldest_expired_age_seconds: Option<i64>,
}

impl Statistics {
    /// Statistics of what was counted at `now`.
    #[must_use]
    pub fn new(counted: &Counted, now: Timestamp) -> Self {
        let Counted {
            live,
            expired,
            inactive,
            malformed,
            oldest_expired,
        } = *counted;
        Self {
            total_sessions: live + expired + inactive,
            active_sessions: live + expired,
            expired_sessions: expired,
            cleanup_needed: expired > 0,
            inactive_sessions: inactive,
            malformed_records: malformed,
            oldest_expired_age_seconds: oldest_expired.map(|end| now.since(end)),
        }
    }
}

/// What the index holds, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Active sessions that have not expired.
    pub live: u64,
    /// Active sessions that have expired.
    pub expired: u64,
    /// Inactive sessions.
    pub inactive: u64,
    /// Malformed records that a cleanup moved off the work list.
    pub malformed: u64,
    /// The end of the expired session that ended first.
    pub oldest_expired: Option<Timestamp>,
}
