//! One write until its outcome is known.

use session_domain::{ConditionalWrite, WriteOp};
use session_lifecycle::ports::{StoreError, StoreErrorKind};

/// How often a write may fail, other than by throttling, before the run continues without it.
const MAX_FAILURES: u32 = 12;

/// A write whose outcome is not known yet.
pub(super) struct PendingWrite {
    pub(super) write: ConditionalWrite,
    /// Whether an earlier attempt may have succeeded, because its response was lost. If the
    /// condition now fails, the record shows whether it did.
    pub(super) outcome_unknown: bool,
    /// Whether the condition failed once although the record required exactly this write when it
    /// was read.
    pub(super) rejected_once: bool,
    /// Failed attempts, without throttled ones.
    failures: u32,
}

/// What remains of a batch after an attempt.
#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) pending: Vec<PendingWrite>,
    /// Whether to pause before the next attempt.
    pub(super) should_back_off: bool,
}

impl PendingWrite {
    pub(super) const fn new(write: ConditionalWrite) -> Self {
        Self {
            write,
            outcome_unknown: false,
            rejected_once: false,
            failures: 0,
        }
    }

    /// Whether an attempt of this run, whose response was lost, has most probably deleted a record that
    /// is now gone.
    pub(super) const fn may_have_deleted(&self) -> bool {
        self.outcome_unknown && matches!(self.write.op, WriteOp::Delete { .. })
    }

    /// Whether to try this write again after `error`.
    pub(super) const fn may_retry(&self, error: &StoreError) -> bool {
        error.is_retryable() && self.failures < MAX_FAILURES
    }

    /// Notes an attempt that failed for this write alone.
    pub(super) fn record_failure(&mut self, error: &StoreError) {
        self.failures += u32::from(error.kind() != StoreErrorKind::Throttled);
        self.outcome_unknown |= error.outcome_unknown();
    }

    /// Replaces the write with what the record requires now. Returns `false` if that is the same
    /// write for the second time: the record may have changed between write and read once, but a
    /// condition that fails twice on a record that fulfils it will not succeed.
    pub(super) fn replace(&mut self, write: ConditionalWrite) -> bool {
        let is_same = write == self.write;
        if is_same && self.rejected_once {
            return false;
        }
        self.rejected_once = is_same;
        self.outcome_unknown = false;
        self.write = write;
        true
    }
}
