//! What a cleanup says about itself.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// The scheduled rule.
    Schedule,
    /// Somebody, by hand.
    Manual,
    /// A call of the monitoring API.
    Api,
}

impl Trigger {
    /// The name that it has in a report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Api => "api",
        }
    }

    /// Reads the name that it has in a report.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Schedule, Self::Manual, Self::Api]
            .into_iter()
            .find(|it| it.as_str() == name)
    }
}

/// What a run did, in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Expired sessions that became inactive.
    pub sessions_deactivated: u64,
    /// Inactive sessions past their retention that were deleted.
    pub sessions_deleted: u64,
    /// Expired refresh tokens that were deleted.
    pub refresh_tokens_deleted: u64,
    /// Blacklisted tokens past their own end that were deleted.
    pub blacklisted_tokens_deleted: u64,
    /// Records that somebody else had changed or deleted when their turn came.
    pub changed_elsewhere: u64,
    /// Records that were not due: their index entry was wrong and has been put right.
    pub reindexed: u64,
    /// Records that lacked the index's attributes, or had wrong ones, and were given the right ones.
    pub adopted: u64,
    /// Records that cannot be understood. Their attributes stay as they are.
    pub malformed: u64,
    /// Records that the table would not change in time.
    pub failed: u64,
}

impl Counts {
    /// Each count with the name that it has in a report.
    #[must_use]
    pub fn named(mut self) -> [(&'static str, u64); 9] {
        self.named_mut().map(|(name, count)| (name, *count))
    }

    /// Each count with the name that it has in a report, to be changed.
    pub fn named_mut(&mut self) -> [(&'static str, &mut u64); 9] {
        [
            ("sessions_deactivated", &mut self.sessions_deactivated),
            ("sessions_deleted", &mut self.sessions_deleted),
            ("refresh_tokens_deleted", &mut self.refresh_tokens_deleted),
            (
                "blacklisted_tokens_deleted",
                &mut self.blacklisted_tokens_deleted,
            ),
            ("changed_elsewhere", &mut self.changed_elsewhere),
            ("reindexed", &mut self.reindexed),
            ("adopted", &mut self.adopted),
            ("malformed", &mut self.malformed),
            ("failed", &mut self.failed),
        ]
    }

    /// Records of all kinds that were deleted.
    #[must_use]
    pub const fn deleted(&self) -> u64 {
        self.sessions_deleted + self.refresh_tokens_deleted + self.blacklisted_tokens_deleted
    }

    /// Adds what another part of the run did.
    pub fn add(&mut self, other: Self) {
        for ((_, count), (_, more)) in self.named_mut().into_iter().zip(other.named()) {
            *count += more;
        }
    }
}

/// The account of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleanupReport {
    /// Names the run.
    pub run_id: Uuid,
    /// What started it.
    pub trigger: Trigger,
    /// The user who asked for it over the API.
    pub requested_by: Option<String>,
    /// Whether it only counted what it would do.
    pub dry_run: bool,
    /// When it began; RFC 3339 with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub started_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// False where the time ran out with work left.
    pub complete: bool,
    /// What it did.
    #[serde(flatten)]
    pub counts: Counts,
    /// Consumed capacity units, reads and writes together, as the service reports them.
    pub capacity_units: f64,
    /// As it began: for how long the oldest expired session had been expired, in seconds, as far as
    /// the work list told. For the metrics and the log: neither answered nor stored.
    #[serde(skip)]
    pub oldest_expired_age_seconds: Option<i64>,
    /// Keys of records that the table refuses to change for good; the first
    /// [`CleanupReport::NAMED_RECORDS`] of a run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_records: Vec<String>,
    /// How far an adoption was at the end of the run, in per cent of the table; nothing for a run
    /// that did not adopt, or where the table's size is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption_percent: Option<u8>,
    /// What went wrong, where the run could not do all its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl CleanupReport {
    /// The most records that a run names in its report, and of each kind in its log.
    pub const NAMED_RECORDS: usize = 20;

    /// `started_at` as RFC 3339 with milliseconds.
    #[must_use]
    pub fn started_at_text(&self) -> String {
        Self::time_text(self.started_at)
    }

    /// A time in the one form that reports have; in another, texts and times differ in order.
    #[must_use]
    pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        let time = DateTime::from_timestamp_millis(time)?;
        (Self::time_text(time) == text).then_some(time)
    }

    /// A time as reports have it: texts in the order of the times.
    #[must_use]
    pub fn time_text(time: DateTime<Utc>) -> String {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&CleanupReport::time_text(*time))
}
