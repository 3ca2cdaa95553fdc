//! What a part of a run did.

use session_domain::{CleanupReport, ConditionalWrite, Counts, DueList, Kind, Timestamp, WriteOp};
use session_lifecycle::ports::{Metered, StoreError};

/// Why changes are written, and so how they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteReason {
    /// Their records are on this list.
    Due(DueList),
    /// A scan found that their records' index attributes are not right.
    Adoption,
    /// Their records cannot be understood and are moved off the work list.
    Malformed,
}

/// What a part of a run did.
#[derive(Debug, Default)]
pub(super) struct RunTotals {
    pub(super) counts: Counts,
    pub(super) capacity_units: f64,
    /// When the oldest expired session expired.
    pub(super) oldest_expired: Option<Timestamp>,
    /// Whether the time ran out with work left.
    pub(super) time_ran_out: bool,
    /// Keys of records that the table refuses to change for good.
    pub(super) failed_records: Vec<String>,
    /// How far an adoption is.
    pub(super) adoption_percent: Option<u8>,
    /// The first error that keeps the run from doing its work.
    pub(super) error: Option<StoreError>,
}

impl RunTotals {
    /// Adds what another part of the run did.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.capacity_units += other.capacity_units;
        let oldest = [self.oldest_expired, other.oldest_expired];
        self.oldest_expired = oldest.into_iter().flatten().min();
        self.time_ran_out |= other.time_ran_out;
        self.failed_records.extend(other.failed_records);
        self.failed_records.truncate(CleanupReport::NAMED_RECORDS);
        self.adoption_percent = other.adoption_percent.or(self.adoption_percent);
        self.record_error(other.error);
    }

    /// Keeps an error, if it is the first.
    pub(super) fn record_error(&mut self, error: Option<StoreError>) {
        if self.error.is_none() {
            self.error = error;
        }
    }

    /// Keeps the capacity of an answer, and gives the answer.
    pub(super) fn add_capacity<V>(&mut self, answer: Metered<V>) -> V {
        self.capacity_units += answer.capacity_units;
        answer.value
    }

    /// Counts a change that took place.
    pub(super) const fn record_applied(&mut self, change: &ConditionalWrite, reason: WriteReason) {
        let counts = &mut self.counts;
        let count = match (&change.op, reason) {
            (WriteOp::Deactivate { .. }, _) => &mut counts.sessions_deactivated,
            (WriteOp::Delete { kind, .. }, _) => match kind {
                Kind::Session => &mut counts.sessions_deleted,
                Kind::RefreshToken => &mut counts.refresh_tokens_deleted,
                Kind::BlacklistedToken => &mut counts.blacklisted_tokens_deleted,
            },
            (WriteOp::Reindex { .. } | WriteOp::Extend { .. }, WriteReason::Adoption) => {
                &mut counts.adopted
            }
            (WriteOp::Reindex { .. } | WriteOp::Extend { .. }, _) => &mut counts.reindexed,
            // The record was counted when it was met.
            (WriteOp::MoveMalformed { .. }, _) => return,
        };
        *count += 1;
    }
}
