//! What a run, or a part of it, has counted.

use session_domain::{
    CleanupReport, ConditionalWrite, Counts, DueList, Kind, Reason, Timestamp, WriteOp,
};
use session_lifecycle::ports::{Metered, StoreError};

/// Why a record is written. It decides how the write is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteReason {
    /// The record is on this due list.
    Due(DueList),
    /// A scan found it, for an adoption or a revocation.
    Scan,
    /// The record cannot be interpreted and is moved off its due list.
    Malformed,
}

/// What a run, or a part of it, has counted.
#[derive(Debug, Default)]
pub(super) struct RunTotals {
    pub(super) counts: Counts,
    pub(super) capacity_units: f64,
    /// Expiry time of the session that expired first.
    pub(super) oldest_expired: Option<Timestamp>,
    /// Whether the time ran out before the work was done.
    pub(super) time_ran_out: bool,
    /// Keys of failed records.
    pub(super) failed_records: Vec<String>,
    /// Progress of an adoption.
    pub(super) adoption_percent: Option<u8>,
    /// The first error that a retry cannot solve.
    pub(super) error: Option<StoreError>,
}

impl RunTotals {
    /// Adds the totals of another part of the run.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.capacity_units += other.capacity_units;
        let oldest = [self.oldest_expired, other.oldest_expired];
        self.oldest_expired = oldest.into_iter().flatten().min();
        self.time_ran_out |= other.time_ran_out;
        self.failed_records.extend(other.failed_records);
        self.failed_records.truncate(CleanupReport::NAMED_RECORDS);
        self.adoption_percent = other.adoption_percent.or(self.adoption_percent);
        self.error = self.error.take().or(other.error);
    }

    /// Keeps an error if it is the first.
    pub(super) fn record_error(&mut self, error: StoreError) {
        self.error.get_or_insert(error);
    }

    /// Adds the capacity units of a response and returns its value.
    pub(super) fn add_capacity<V>(&mut self, response: Metered<V>) -> V {
        self.capacity_units += response.capacity_units;
        response.value
    }

    /// Counts a write that took place.
    pub(super) const fn record_applied(&mut self, write: &ConditionalWrite, reason: WriteReason) {
        let counts = &mut self.counts;
        let count = match (&write.op, reason) {
            (
                WriteOp::Deactivate {
                    reason: Reason::Revoked,
                    ..
                },
                _,
            ) => &mut counts.sessions_revoked,
            (WriteOp::Deactivate { .. }, _) => &mut counts.sessions_deactivated,
            (WriteOp::Delete { kind, .. }, _) => match kind {
                Kind::Session => &mut counts.sessions_deleted,
                Kind::RefreshToken => &mut counts.refresh_tokens_deleted,
                Kind::BlacklistedToken => &mut counts.blacklisted_tokens_deleted,
            },
            (WriteOp::Reindex { .. }, WriteReason::Scan) => &mut counts.adopted,
            (WriteOp::Reindex { .. }, _) => &mut counts.reindexed,
            // The record was counted when it was found.
            (WriteOp::MoveMalformed { .. }, _) => return,
            // No run writes these.
            (WriteOp::Extend { .. } | WriteOp::Touch(_) | WriteOp::ReplaceRefreshToken(_), _) => {
                return;
            }
        };
        *count += 1;
    }
}
