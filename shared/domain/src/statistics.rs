//! Statistics of the table.

use serde::Serialize;

use super::Timestamp;

/// Numbers of sessions in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Sessions in the table.
    pub total_sessions: u64,
    /// Sessions with `is_active` true, including expired ones.
    pub active_sessions: u64,
    /// Active sessions that have expired.
    pub expired_sessions: u64,
    /// Whether there is an expired session.
    pub cleanup_needed: bool,
    /// Sessions with `is_active` false.
    pub inactive_sessions: u64,
    /// Malformed records that runs moved off the due lists.
    pub malformed_records: u64,
    /// How long the oldest expired session has been expired, in seconds.
    pub oldest_expired_age_seconds: Option<i64>,
}

impl Statistics {
    /// Statistics from the counts at `now`.
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

/// Numbers of entries in the due index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Active sessions that have not expired.
    pub live: u64,
    /// Active sessions that have expired.
    pub expired: u64,
    /// Inactive sessions.
    pub inactive: u64,
    /// Malformed records that runs moved off the due lists.
    pub malformed: u64,
    /// Expiry time of the session that expired first.
    pub oldest_expired: Option<Timestamp>,
}
