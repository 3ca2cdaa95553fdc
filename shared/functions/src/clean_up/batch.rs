//! Processes a batch optimistically: writes first, and reads only the records whose condition failed.

use std::collections::HashMap;

use super::CleanupTable;
use super::pending::{PendingWrite, Unfinished};
use super::run::{Mode, Run};
use super::totals::{RunTotals, WriteReason};
use session_domain::{ConditionalWrite, DueList, ItemKey, Reason, Record, RecordKey, Scope};
use session_lifecycle::ports::{Outcome, ParsedRecord, StoreError, StoreErrorKind};

impl<T: CleanupTable> Run<'_, T> {
    /// Processes records on `list`.
    pub(super) async fn process_batch(&self, list: DueList, keys: Vec<RecordKey>) -> RunTotals {
        let mut totals = RunTotals::default();
        if self.time_is_up() {
            totals.time_ran_out = true;
            return totals;
        }
        if self.mode == Mode::Predict && self.request.adopt {
            // The scan has already counted these records. It repaired no index, so the due lists are
            // read only to find malformed entries.
            return totals;
        }
        let writes = if self.reads_first() {
            self.read_and_decide(list, keys, &mut totals).await
        } else {
            keys.into_iter()
                .map(|key| ConditionalWrite::for_due_entry(key, list, &self.policy, self.now))
                .collect()
        };
        totals.add(self.execute(writes, WriteReason::Due(list)).await);
        totals
    }

    /// Whether records are read before they are written: because nothing will be written, or because
    /// many of them are malformed.
    pub(super) fn reads_first(&self) -> bool {
        self.mode == Mode::Predict || self.malformed.are_frequent()
    }

    /// Reads records on `list` and returns the writes that they require.
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
        let mut writes = Vec::new();
        for record in records {
            match record {
                // The scan of this dry run has counted it. A run would have taken it off the list.
                Ok(record) if self.mode == Mode::Predict && self.is_revoked(&record) => {}
                Ok(record) => match self.next_write(&record, WriteReason::Due(list)) {
                    Some(write) => writes.push(write),
                    None => totals.counts.changed_elsewhere += 1,
                },
                Err(record) => totals.counts.malformed += self.record_malformed(&record, list),
            }
        }
        writes
    }

    /// Executes writes to different records: sends them, or counts them in a dry run.
    pub(super) async fn execute(
        &self,
        mut writes: Vec<ConditionalWrite>,
        reason: WriteReason,
    ) -> RunTotals {
        let mut totals = RunTotals::default();
        match self.mode {
            Mode::Predict => {
                for write in &writes {
                    totals.record_applied(write, reason);
                }
            }
            Mode::Apply => {
                while !writes.is_empty() && !totals.time_ran_out {
                    let rest = writes.split_off(self.write_rate.batch_size().min(writes.len()));
                    self.write_batch(writes, reason, &mut totals).await;
                    writes = rest;
                }
            }
        }
        totals
    }

    /// Writes until every write has an outcome or the time is up.
    async fn write_batch(
        &self,
        writes: Vec<ConditionalWrite>,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) {
        let mut pending: Vec<_> = writes.into_iter().map(PendingWrite::new).collect();
        let mut attempt = 0;
        while !pending.is_empty() {
            let before = self.deadline.elapsed();
            let permit = self.write_rate.acquire(pending.len(), &self.deadline).await;
            self.exclude_idle_time(self.deadline.elapsed().saturating_sub(before));
            let Some(permit) = permit.filter(|_| !self.time_is_up_for(reason)) else {
                totals.time_ran_out = true;
                if attempt > 0 && reason != WriteReason::Malformed {
                    totals.counts.failed += pending.len() as u64;
                }
                return;
            };
            attempt += 1;
            let writes: Vec<_> = pending.iter().map(|it| it.write.clone()).collect();
            let response = self.table.apply(&writes).await;
            self.write_rate
                .charge(permit, response.as_ref().map_or(0.0, |it| it.table_units));
            let unfinished = match response {
                Ok(outcomes) => {
                    self.mark_responsive();
                    let outcomes = totals.add_capacity(outcomes);
                    self.handle_outcomes(pending, outcomes, reason, totals)
                        .await
                }
                Err(error) => self.handle_failed_call(pending, error, totals),
            };
            if unfinished.should_back_off && !unfinished.pending.is_empty() {
                self.back_off(attempt).await;
            }
            pending = unfinished.pending;
        }
    }

    /// Decides what to do after a call that failed as a whole.
    fn handle_failed_call(
        &self,
        mut pending: Vec<PendingWrite>,
        error: StoreError,
        totals: &mut RunTotals,
    ) -> Unfinished {
        if !self.should_retry(&error) {
            totals.counts.failed += pending.len() as u64;
            totals.record_error(error);
            return Unfinished::default();
        }
        tracing::debug!(error = error.error_chain(), "retrying a batch");
        self.slow_down_if_throttled(&error);
        for it in &mut pending {
            it.outcome_unknown |= error.outcome_unknown();
        }
        Unfinished {
            pending,
            should_back_off: true,
        }
    }

    /// Counts the writes that took place, and decides about the others.
    async fn handle_outcomes(
        &self,
        pending: Vec<PendingWrite>,
        outcomes: Vec<Outcome>,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) -> Unfinished {
        let mut unfinished = Unfinished::default();
        let (batch_size, mut rejected) = (pending.len(), Vec::new());
        for (mut it, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => totals.record_applied(&it.write, reason),
                Outcome::Gone if it.may_have_deleted() => totals.record_applied(&it.write, reason),
                Outcome::Gone => totals.counts.changed_elsewhere += 1,
                // The record was repaired, is on another list, or is gone.
                Outcome::ConditionFailed if reason == WriteReason::Malformed => {
                    self.malformed.record_not_moved();
                }
                Outcome::ConditionFailed => rejected.push(it),
                Outcome::Failed(error) if it.may_retry(&error) => {
                    self.slow_down_if_throttled(&error);
                    it.record_failure(&error);
                    unfinished.pending.push(it);
                    unfinished.should_back_off = true;
                }
                Outcome::Failed(error) => self.record_failed(&it.write, error, reason, totals),
            }
        }
        let malformed = self
            .handle_rejected(rejected, reason, &mut unfinished, totals)
            .await;
        if let WriteReason::Due(_) = reason {
            self.malformed.observe(malformed, batch_size);
        }
        unfinished
    }

    /// Reads the records whose condition failed, and decides again. Returns how many are malformed.
    async fn handle_rejected(
        &self,
        rejected: Vec<PendingWrite>,
        reason: WriteReason,
        unfinished: &mut Unfinished,
        totals: &mut RunTotals,
    ) -> usize {
        if rejected.is_empty() {
            return 0;
        }
        let keys: Vec<_> = rejected.iter().map(|it| it.write.key.clone()).collect();
        let mut records: HashMap<ItemKey, ParsedRecord> = match self.table.read(&keys).await {
            Ok(records) => totals
                .add_capacity(records)
                .into_iter()
                .map(|record| (key_of(&record).clone(), record))
                .collect(),
            // A write whose condition failed did not take place, so it can be sent again.
            Err(error) if self.should_retry(&error) => {
                let why = error.error_chain();
                tracing::debug!(error = why, "rejected records could not be read");
                self.slow_down_if_throttled(&error);
                unfinished.pending.extend(rejected);
                unfinished.should_back_off = true;
                return 0;
            }
            Err(error) => {
                totals.counts.failed += rejected.len() as u64;
                totals.record_error(error);
                return 0;
            }
        };
        let mut malformed = 0;
        for it in rejected {
            match records.remove(&it.write.key) {
                None => totals.counts.changed_elsewhere += 1,
                Some(Err(record)) => {
                    malformed += 1;
                    totals.counts.malformed += match reason {
                        WriteReason::Due(list) => self.record_malformed(&record, list),
                        WriteReason::Scan | WriteReason::Malformed => {
                            self.malformed.record(&record)
                        }
                    };
                }
                Some(Ok(record)) => {
                    unfinished
                        .pending
                        .extend(self.decide_again(it, &record, reason, totals));
                }
            }
        }
        malformed
    }

    /// Decides about a write whose condition failed. Returns it if it has to be sent again.
    fn decide_again(
        &self,
        mut pending: PendingWrite,
        record: &Record,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) -> Option<PendingWrite> {
        if pending.outcome_unknown && pending.write.is_reflected_in(record) {
            totals.record_applied(&pending.write, reason);
            return None;
        }
        let Some(write) = self.next_write(record, reason) else {
            totals.counts.changed_elsewhere += 1;
            return None;
        };
        if !pending.replace(write) {
            let key = &pending.write.key;
            tracing::error!(record = %key, "a write was rejected although the record requires it");
            totals.counts.failed += 1;
            return None;
        }
        Some(pending)
    }

    /// Counts a record whose write was rejected permanently or failed too often.
    fn record_failed(
        &self,
        write: &ConditionalWrite,
        error: StoreError,
        reason: WriteReason,
        totals: &mut RunTotals,
    ) {
        if !error.is_retryable() && error.kind() != StoreErrorKind::RecordRejected {
            totals.counts.failed += 1;
            return totals.record_error(error);
        }
        if reason == WriteReason::Malformed {
            // It is already counted as malformed.
            return self.malformed.record_not_moved();
        }
        totals.counts.failed += 1;
        totals.failed_records.push(write.key.to_string());
        self.log_failed(&write.key, &error);
    }

    /// The write that a record requires: its next action, or the repair of its index attributes.
    pub(super) fn next_write(
        &self,
        record: &Record,
        reason: WriteReason,
    ) -> Option<ConditionalWrite> {
        match reason {
            WriteReason::Due(_) => self.due_write(record).or_else(|| self.index_repair(record)),
            WriteReason::Scan => self.revocation(record).or_else(|| {
                let repair = || self.index_repair(record);
                self.request.adopt.then(repair).flatten()
            }),
            WriteReason::Malformed => None,
        }
    }

    /// The write that revokes a session, if the run has to.
    fn revocation(&self, record: &Record) -> Option<ConditionalWrite> {
        let revoke = self.request.revoke.as_ref()?;
        revoke.write(record, &self.policy, self.settings.shards, self.now)
    }

    /// Whether the run revokes a session.
    pub(super) fn is_revoked(&self, record: &Record) -> bool {
        let revoke = self.request.revoke.as_ref();
        revoke.is_some_and(|it| it.scope(record, self.now) == Scope::Inside)
    }

    /// The write of a record's next action, if that is due.
    pub(super) fn due_write(&self, record: &Record) -> Option<ConditionalWrite> {
        let shards = self.settings.shards;
        record.next_write(&self.policy, shards, Reason::ExpiredByCleanup, self.now)
    }

    /// The write that repairs a record's index attributes, if they are wrong.
    pub(super) fn index_repair(&self, record: &Record) -> Option<ConditionalWrite> {
        record.index_repair(&self.policy, self.settings.shards)
    }
}

fn key_of(record: &ParsedRecord) -> &ItemKey {
    match record {
        Ok(record) => record.key.item(),
        Err(malformed) => &malformed.key,
    }
}
