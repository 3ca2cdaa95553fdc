//! Settling a piece of a list: write on trust, look at what was refused, decide again.

use std::collections::HashMap;

use super::CleanupTable;
use super::run::Run;
use super::totals::{RunTotals, WriteReason};
use session_domain::{ConditionalWrite, DueList, ItemKey, Reason, Record, RecordKey, WriteOp};
use session_lifecycle::ports::{Outcome, ParsedRecord, StoreError, StoreErrorKind};

/// A change that is still to be made.
struct Pending {
    change: ConditionalWrite,
    /// An earlier attempt may have made it, for its answer is lost. What a refusal means is then to
    /// be seen from the record.
    uncertain: bool,
    /// The table has refused it once although the record, when it was read, asked for it.
    refused: bool,
    /// How often the table has failed to make it, for another reason than throttling.
    failures: u32,
}

/// How often the table may fail to make a change, for another reason than throttling, before the run
/// goes on without it.
const MAX_FAILURES: u32 = 12;

impl Pending {
    const fn new(change: ConditionalWrite) -> Self {
        Self {
            change,
            uncertain: false,
            refused: false,
            failures: 0,
        }
    }

    /// Whether a record that is gone was most probably deleted by the attempt whose answer is lost.
    const fn may_have_deleted(&self) -> bool {
        self.uncertain && matches!(self.change.op, WriteOp::Delete { .. })
    }
}

/// What is left of a batch after an attempt.
#[derive(Default)]
struct Unfinished {
    pending: Vec<Pending>,
    /// Whether to wait before the next attempt.
    should_back_off: bool,
}

impl<T: CleanupTable> Run<'_, T> {
    /// Settles records on `list`.
    pub(super) async fn process_batch(&self, list: DueList, keys: Vec<RecordKey>) -> RunTotals {
        let mut totals = RunTotals::default();
        if self.time_is_up() {
            totals.time_ran_out = true;
            return totals;
        }
        if self.request.dry_run && self.request.adopt {
            // A dry adoption leaves the index as it is: the scan has counted what a run would
            // find there. Only what is on the lists and is no record was not in the scan.
            return totals;
        }
        let changes = if self.reads_first() {
            self.read_and_decide(list, keys, &mut totals).await
        } else {
            keys.into_iter()
                .map(|key| ConditionalWrite::for_due_entry(key, list, &self.policy, self.now))
                .collect()
        };
        if self.request.dry_run {
            for change in &changes {
                totals.record_applied(change, WriteReason::Due(list));
            }
        } else {
            totals.add(self.write_all(changes, WriteReason::Due(list)).await);
        }
        totals
    }

    /// Whether records are read first: to write none, or because many of them are malformed.
    pub(super) fn reads_first(&self) -> bool {
        self.request.dry_run || self.malformed.are_frequent()
    }

    /// The changes that records on `list` need, by their own truth.
    async fn read_and_decide(
        &self,
        list: DueList,
        keys: Vec<RecordKey>,
        totals: &mut RunTotals,
    ) -> Vec<ConditionalWrite> {
        let keys: Vec<_> = keys.into_iter().map(RecordKey::into_item).collect();
        let Some(records) = self.retry(totals, || self.table.read(&keys)).await else {
            if !totals.time_ran_out {
                totals.counts.failed += keys.len() as u64;
            }
            return Vec::new();
        };
        totals.counts.changed_elsewhere += (keys.len() - records.len()) as u64;
        let mut changes = Vec::new();
        for record in records {
            match record {
                Ok(record) => match self.next_write(&record, WriteReason::Due(list)) {
                    Some(change) => changes.push(change),
                    None => totals.counts.changed_elsewhere += 1,
                },
                Err(record) => totals.counts.malformed += self.record_malformed(&record, list),
            }
        }
        changes
    }

    /// Writes changes to records that are all different, batch by batch, as long as there is time.
    pub(super) async fn write_all(
        &self,
        mut changes: Vec<ConditionalWrite>,
        reason: WriteReason,
    ) -> RunTotals {
        let mut totals = RunTotals::default();
        while !changes.is_empty() && !totals.time_ran_out {
            let rest = changes.split_off(self.rate_limiter.batch_size().min(changes.len()));
            self.write_until_done(changes, reason, &mut totals).await;
            changes = rest;
        }
        totals
    }

    /// Writes until each change is settled, or the run's time is up.
    async fn write_until_done(
        &self,
        changes: Vec<ConditionalWrite>,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) {
        let mut pending: Vec<_> = changes.into_iter().map(Pending::new).collect();
        let mut attempt = 0;
        while !pending.is_empty() {
            let before = self.deadline.elapsed();
            let permit = self
                .rate_limiter
                .acquire(pending.len(), &self.deadline)
                .await;
            // A pause of the run's own is no silence of the table's.
            self.exclude_idle_time(self.deadline.elapsed().saturating_sub(before));
            let in_time = permit.filter(|_| !self.time_is_up_for(reason));
            let Some(permit) = in_time else {
                totals.time_ran_out = true;
                if attempt > 0 && reason != WriteReason::Malformed {
                    totals.counts.failed += pending.len() as u64;
                }
                return;
            };
            attempt += 1;
            let changes: Vec<_> = pending.iter().map(|it| it.change.clone()).collect();
            let answer = self.table.apply(&changes).await;
            self.rate_limiter
                .charge(permit, answer.as_ref().map_or(0.0, |it| it.table_units));
            let unfinished = match answer {
                Ok(outcomes) => {
                    self.mark_responsive();
                    let outcomes = totals.add_capacity(outcomes);
                    self.handle_outcomes(pending, outcomes, reason, totals)
                        .await
                }
                Err(error) => self.retry_failed_call(pending, error, totals),
            };
            if unfinished.should_back_off && !unfinished.pending.is_empty() {
                self.back_off(attempt).await;
            }
            pending = unfinished.pending;
        }
    }

    /// What is left of a batch whose call failed.
    fn retry_failed_call(
        &self,
        mut pending: Vec<Pending>,
        error: StoreError,
        totals: &mut RunTotals,
    ) -> Unfinished {
        if !self.should_retry(&error) {
            totals.counts.failed += pending.len() as u64;
            totals.record_error(Some(error));
            return Unfinished::default();
        }
        tracing::debug!(error = error.error_chain(), "a batch failed");
        self.slow_down_if_throttled(&error);
        for it in &mut pending {
            it.uncertain |= error.outcome_unknown();
        }
        let should_back_off = true;
        Unfinished {
            pending,
            should_back_off,
        }
    }

    /// Counts what was done, and decides again about what was not.
    async fn handle_outcomes(
        &self,
        pending: Vec<Pending>,
        outcomes: Vec<Outcome>,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) -> Unfinished {
        let mut unfinished = Unfinished::default();
        let (written, mut refused) = (pending.len(), Vec::new());
        for (mut it, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => totals.record_applied(&it.change, reason),
                Outcome::Gone if it.may_have_deleted() => totals.record_applied(&it.change, reason),
                Outcome::Gone => totals.counts.changed_elsewhere += 1,
                // It can be understood by now, or is on another list, or gone.
                Outcome::ConditionFailed if reason == WriteReason::Malformed => {
                    self.malformed.record_not_moved();
                }
                Outcome::ConditionFailed => refused.push(it),
                Outcome::Failed(error) if error.is_retryable() && it.failures < MAX_FAILURES => {
                    self.slow_down_if_throttled(&error);
                    it.failures += u32::from(error.kind() != StoreErrorKind::Throttled);
                    it.uncertain |= error.outcome_unknown();
                    unfinished.pending.push(it);
                    unfinished.should_back_off = true;
                }
                Outcome::Failed(error) => self.record_failed(&it.change, error, reason, totals),
            }
        }
        let malformed = self
            .handle_rejected(refused, reason, &mut unfinished, totals)
            .await;
        if let WriteReason::Due(_) = reason {
            self.malformed.observe(malformed, written);
        }
        unfinished
    }

    /// Reads the records whose changes were refused, and decides by what they say. How many of them
    /// are malformed.
    async fn handle_rejected(
        &self,
        refused: Vec<Pending>,
        reason: WriteReason,
        unfinished: &mut Unfinished,
        totals: &mut RunTotals,
    ) -> usize {
        if refused.is_empty() {
            return 0;
        }
        let keys: Vec<_> = refused.iter().map(|it| it.change.key.clone()).collect();
        let mut found: HashMap<ItemKey, ParsedRecord> = match self.table.read(&keys).await {
            Ok(records) => totals
                .add_capacity(records)
                .into_iter()
                .map(|found| (key_of(&found).clone(), found))
                .collect(),
            // A write that was refused did not take place, and may be sent again.
            Err(error) if self.should_retry(&error) => {
                tracing::debug!(
                    error = error.error_chain(),
                    "refused records could not be read"
                );
                self.slow_down_if_throttled(&error);
                unfinished.pending.extend(refused);
                unfinished.should_back_off = true;
                return 0;
            }
            Err(error) => {
                totals.counts.failed += refused.len() as u64;
                totals.record_error(Some(error));
                return 0;
            }
        };
        let mut malformed = 0;
        for mut it in refused {
            match found.remove(&it.change.key) {
                None => totals.counts.changed_elsewhere += 1,
                Some(Err(record)) => {
                    malformed += 1;
                    totals.counts.malformed += match reason {
                        WriteReason::Due(list) => self.record_malformed(&record, list),
                        WriteReason::Adoption | WriteReason::Malformed => {
                            self.malformed.record(&record)
                        }
                    };
                }
                Some(Ok(record)) if it.uncertain && it.change.is_reflected_in(&record) => {
                    totals.record_applied(&it.change, reason);
                }
                Some(Ok(record)) => match self.next_write(&record, reason) {
                    // The record may have changed between the write and the read, and once more. If the
                    // same change is refused twice although the record needs it, the run gives up.
                    Some(change) if change == it.change && it.refused => {
                        tracing::error!(record = %change.key, "a change was refused that the record asks for");
                        totals.counts.failed += 1;
                    }
                    Some(change) => {
                        it.refused = change == it.change;
                        it.uncertain = false;
                        it.change = change;
                        unfinished.pending.push(it);
                    }
                    None => totals.counts.changed_elsewhere += 1,
                },
            }
        }
        malformed
    }

    /// Counts a change that the table refuses for good, or has failed to make again and again, and
    /// names its record.
    fn record_failed(
        &self,
        change: &ConditionalWrite,
        error: StoreError,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) {
        if !error.is_retryable() && error.kind() != StoreErrorKind::RecordRejected {
            totals.counts.failed += 1;
            return totals.record_error(Some(error));
        }
        if reason == WriteReason::Malformed {
            // It was counted as malformed.
            return self.malformed.record_not_moved();
        }
        totals.counts.failed += 1;
        totals.failed_records.push(change.key.to_string());
        self.log_failed(&change.key, &error);
    }

    /// What a record needs, by its own truth: its next step, or the right index attributes.
    fn next_write(&self, record: &Record, reason: WriteReason) -> Option<ConditionalWrite> {
        let shards = self.settings.shards;
        let step = || record.next_write(&self.policy, shards, Reason::ExpiredByCleanup, self.now);
        let index_repair = || record.index_repair(&self.policy, shards);
        match reason {
            WriteReason::Due(_) => step().or_else(index_repair),
            WriteReason::Adoption => index_repair(),
            WriteReason::Malformed => None,
        }
    }
}

fn key_of(found: &ParsedRecord) -> &ItemKey {
    match found {
        Ok(record) => record.key.item(),
        Err(malformed) => &malformed.key,
    }
}
