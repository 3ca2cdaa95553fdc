//! Report of a run.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::Revocation;

/// Trigger of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// The scheduled rule.
    Schedule,
    /// A manual invocation.
    Manual,
    /// A request to the monitoring API.
    Api,
}

impl Trigger {
    /// The name in a report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Api => "api",
        }
    }

    /// Parses the name in a report.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Schedule, Self::Manual, Self::Api]
            .into_iter()
            .find(|it| it.as_str() == name)
    }
}

/// The list of all counts of a report, as `member => MetricName`, with the metric's dimension if it is not
/// `Trigger`. This is the only place that lists them: a new count is a new line here.
///
/// `with_counts!(callback)` expands to `callback! { … }` with the list, and
/// `with_counts!(callback [arguments])` to `callback! { [arguments] … }`.
///
/// ```
/// macro_rules! names {
///     ($($(#[$doc:meta])* $member:ident => $metric:ident $(by $dimension:ident)?,)+) => {
///         [$((stringify!($member), stringify!($metric))),+]
///     };
/// }
/// let names = session_domain::with_counts!(names);
/// assert_eq!(names[0], ("sessions_deactivated", "SessionsDeactivated"));
/// ```
#[macro_export]
macro_rules! with_counts {
    ($callback:ident $([$($arguments:tt)*])?) => {
        $callback! {
            $([$($arguments)*])?
            /// Expired sessions that the run deactivated.
            sessions_deactivated => SessionsDeactivated,
            /// Live sessions that were revoked.
            sessions_revoked => SessionsRevoked by InitiatingEntity,
            /// Inactive sessions past their retention that the run deleted.
            sessions_deleted => SessionsDeleted,
            /// Expired refresh tokens that the run deleted.
            refresh_tokens_deleted => RefreshTokensDeleted,
            /// Expired blacklisted tokens that the run deleted.
            blacklisted_tokens_deleted => BlacklistedTokensDeleted,
            /// Records that another writer changed or deleted first.
            changed_elsewhere => ChangedElsewhere,
            /// Records that were not due: their index entry was wrong, and the run repaired it.
            reindexed => Reindexed,
            /// Records whose index attributes were missing or wrong, and which the run adopted.
            adopted => Adopted,
            /// Records that cannot be interpreted. Their own attributes are unchanged.
            malformed => Malformed,
            /// Records that the table did not change, temporarily or permanently.
            failed => Failed,
        }
    };
}

macro_rules! define_counts {
    ($($(#[$doc:meta])* $member:ident => $metric:ident $(by $dimension:ident)?,)+) => {
        /// Numbers of records in a report, by what the run did with them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub struct Counts {
            $($(#[$doc])* pub $member: u64,)+
        }

        impl Counts {
            /// The names of the counts in a report, in its order.
            pub const NAMES: [&'static str; [$(stringify!($member)),+].len()] =
                [$(stringify!($member)),+];

            /// Each count with its name.
            #[must_use]
            pub const fn named(self) -> [(&'static str, u64); Self::NAMES.len()] {
                [$((stringify!($member), self.$member)),+]
            }

            /// Adds the counts of another part of the run.
            pub const fn add(&mut self, other: Self) {
                $(self.$member += other.$member;)+
            }
        }
    };
}

with_counts!(define_counts);

impl Counts {
    /// Deleted records of all kinds.
    #[must_use]
    pub const fn deleted(&self) -> u64 {
        self.sessions_deleted + self.refresh_tokens_deleted + self.blacklisted_tokens_deleted
    }
}

/// Report of a run. It is logged, stored and returned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleanupReport {
    /// ID of the run.
    pub run_id: Uuid,
    /// Trigger of the run.
    pub trigger: Trigger,
    /// User ID of the caller, if the trigger is the API.
    pub requested_by: Option<String>,
    /// Whether the run was a dry run.
    pub dry_run: bool,
    /// Start time, serialized as RFC 3339 with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub started_at: DateTime<Utc>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Whether the run did everything that was due. False if the time ran out or an error stopped it.
    pub complete: bool,
    /// Numbers of records, by what the run did with them.
    #[serde(flatten)]
    pub counts: Counts,
    /// Consumed read and write units, as DynamoDB reports them.
    pub capacity_units: f64,
    /// Which sessions the run revoked, and why.
    pub revoke: Option<Revocation>,
    /// How long the oldest expired session had been expired at the start of the run, in seconds, from
    /// the due lists. It is logged and measured, but neither returned nor stored.
    #[serde(skip)]
    pub oldest_expired_age_seconds: Option<i64>,
    /// Keys of the first [`CleanupReport::NAMED_RECORDS`] records whose changes the table rejects
    /// permanently.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_records: Vec<String>,
    /// Progress of the adoption at the end of the run, as a percentage of the table. `None` if the run
    /// did not adopt, or the table's size is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption_percent: Option<u8>,
    /// The error, if one stopped the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl CleanupReport {
    /// Maximum number of records that a report names, and that the log names for each problem.
    pub const NAMED_RECORDS: usize = 20;

    /// `started_at` as RFC 3339 with milliseconds.
    #[must_use]
    pub fn started_at_text(&self) -> String {
        Self::time_text(self.started_at)
    }

    /// Parses a time in the format of reports. Other formats are rejected, because their text order
    /// differs from their time order.
    #[must_use]
    pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
        let time = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        let time = DateTime::from_timestamp_millis(time)?;
        (Self::time_text(time) == text).then_some(time)
    }

    /// A time in the format of reports. Sorting these texts sorts the times.
    #[must_use]
    pub fn time_text(time: DateTime<Utc>) -> String {
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&CleanupReport::time_text(*time))
}
