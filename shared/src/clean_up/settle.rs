//! Seeing to a batch of records: write on trust, look at what refused, decide again.

use super::{CleanupTable, Run, Tally};
use crate::domain::{Change, Counts, DueList, Kind, Reason, RecordKey, StoredRecord, Write};
use crate::ports::Outcome;

/// Why changes are written, and so how they are counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Their records are on the work list.
    Work,
    /// A scan found that their records' index attributes are not right.
    Adoption,
}

/// A change that is still to be made.
struct Pending {
    change: Change,
    /// An earlier attempt may have made it, for its answer is lost. What a refusal means is then to
    /// be seen from the record.
    uncertain: bool,
}

impl Pending {
    const fn new(change: Change) -> Self {
        Self {
            change,
            uncertain: false,
        }
    }

    /// Whether a record that is gone was most probably deleted by the attempt whose answer is lost.
    const fn may_have_deleted(&self) -> bool {
        self.uncertain && matches!(self.change.write, Write::Delete { .. })
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Sees to records on `list`.
    pub(super) async fn settle(&self, list: DueList, keys: Vec<RecordKey>) -> Tally {
        if self.time_is_up() {
            return Tally {
                time_ran_out: true,
                ..Tally::default()
            };
        }
        if self.order.dry_run && self.order.adopt {
            // A dry adoption leaves the index as it is: the scan has counted what a run would
            // find there. Only what is on the lists and is no record was not in the scan.
            return Tally::default();
        }
        if self.order.dry_run {
            return self.foresee(&keys).await;
        }
        let expected = keys
            .into_iter()
            .map(|key| Change::expected(key, list, &self.rules, self.now))
            .collect();
        self.write(expected, Purpose::Work).await
    }

    /// Writes until each change is settled, or the run's time is up.
    pub(super) async fn write(&self, changes: Vec<Change>, purpose: Purpose) -> Tally {
        let mut tally = Tally::default();
        let mut pending: Vec<_> = changes.into_iter().map(Pending::new).collect();
        let mut attempt = 0;
        while !pending.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let writes = pending.len() as f64;
            if !self.pace.admit(writes, &self.watch).await || self.time_is_up() {
                tally.time_ran_out = true;
                if attempt > 0 {
                    tally.counts.failed += pending.len() as u64;
                }
                return tally;
            }
            attempt += 1;
            let (unsettled, pause) = self.attempt(pending, purpose, &mut tally).await;
            pending = unsettled;
            if pause && !pending.is_empty() {
                self.back_off(attempt).await;
            }
        }
        tally
    }

    /// Writes once; what is still to be written, and whether after a pause.
    async fn attempt(
        &self,
        mut pending: Vec<Pending>,
        purpose: Purpose,
        tally: &mut Tally,
    ) -> (Vec<Pending>, bool) {
        let changes: Vec<_> = pending.iter().map(|it| it.change.clone()).collect();
        let outcomes = match self.table.apply(&changes).await {
            Ok(outcomes) => {
                self.answered();
                tally.meter(outcomes)
            }
            Err(error) if self.is_worth_a_retry(&error) => {
                tracing::debug!(error = error.causes(), "a batch failed");
                self.heed(&error);
                for it in &mut pending {
                    it.uncertain |= error.may_have_happened();
                }
                return (pending, true);
            }
            Err(error) => {
                tally.counts.failed += pending.len() as u64;
                tally.note(Some(error));
                return (Vec::new(), false);
            }
        };
        let (mut unsettled, mut pause) = (Vec::new(), false);
        for (mut it, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => credit(&mut tally.counts, &it.change, purpose),
                Outcome::Gone if it.may_have_deleted() => {
                    credit(&mut tally.counts, &it.change, purpose);
                }
                Outcome::Gone => tally.counts.changed_elsewhere += 1,
                Outcome::Refused(Ok(record)) if it.uncertain && it.change.is_seen_in(&record) => {
                    credit(&mut tally.counts, &it.change, purpose);
                }
                Outcome::Refused(Ok(record)) => match self.decide(&record, purpose) {
                    // To refuse just what the record asks for is no answer to go on with.
                    Some(change) if change == it.change => {
                        tracing::error!(record = %change.key, "a change was refused that the record asks for");
                        tally.counts.failed += 1;
                    }
                    Some(change) => unsettled.push(Pending::new(change)),
                    None => tally.counts.changed_elsewhere += 1,
                },
                Outcome::Refused(Err(malformed)) => {
                    tally.counts.malformed += self.malformed.note(&malformed);
                }
                Outcome::Failed(error) if error.may_pass() => {
                    self.heed(&error);
                    it.uncertain |= error.may_have_happened();
                    unsettled.push(it);
                    pause = true;
                }
                Outcome::Failed(error) => {
                    tally.counts.failed += 1;
                    tally.note(Some(error));
                }
            }
        }
        (unsettled, pause)
    }

    /// What a record needs, by its own truth: its next step, or the right index attributes.
    fn decide(&self, record: &StoredRecord, purpose: Purpose) -> Option<Change> {
        let shards = self.settings.shards;
        let step = || record.next_change(&self.rules, shards, Reason::ExpiredByCleanup, self.now);
        let reindexing = || record.reindexing(&self.rules, shards);
        match purpose {
            Purpose::Work => step().or_else(reindexing),
            Purpose::Adoption => reindexing(),
        }
    }

    /// Counts what a run would do to these records: the same decisions, from the records read.
    async fn foresee(&self, keys: &[RecordKey]) -> Tally {
        let mut tally = Tally::default();
        let records = self.patiently(&mut tally, || self.table.read(keys)).await;
        let Some(records) = records else {
            if !tally.time_ran_out {
                tally.counts.failed += keys.len() as u64;
            }
            return tally;
        };
        tally.counts.changed_elsewhere += (keys.len() - records.len()) as u64;
        for record in records {
            match record {
                Ok(record) => match self.decide(&record, Purpose::Work) {
                    Some(change) => credit(&mut tally.counts, &change, Purpose::Work),
                    None => tally.counts.changed_elsewhere += 1,
                },
                Err(malformed) => tally.counts.malformed += self.malformed.note(&malformed),
            }
        }
        tally
    }
}

/// Counts a change that took place.
pub(super) fn credit(counts: &mut Counts, change: &Change, purpose: Purpose) {
    let count = match (&change.write, change.key.kind()) {
        (Write::Deactivate { .. }, _) => &mut counts.sessions_deactivated,
        (Write::Delete { .. }, Kind::Session) => &mut counts.sessions_deleted,
        (Write::Delete { .. }, Kind::RefreshToken) => &mut counts.refresh_tokens_deleted,
        (Write::Delete { .. }, Kind::BlacklistedToken) => &mut counts.blacklisted_tokens_deleted,
        (Write::Reindex { .. } | Write::Extend { .. }, _) if purpose == Purpose::Adoption => {
            &mut counts.adopted
        }
        (Write::Reindex { .. } | Write::Extend { .. }, _) => &mut counts.reindexed,
    };
    *count += 1;
}
