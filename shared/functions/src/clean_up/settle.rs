//! Settling a piece of a list: write on trust, look at what was refused, decide again.

use std::collections::HashMap;

use super::CleanupTable;
use super::run::Run;
use super::tally::{Purpose, Tally};
use session_domain::{Change, DueList, ItemKey, Reason, RecordKey, StoredRecord, Write};
use session_lifecycle::ports::{Found, Outcome, StoreError};

/// A change that is still to be made.
struct Pending {
    change: Change,
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
const MOST_FAILURES: u32 = 12;

impl Pending {
    const fn new(change: Change) -> Self {
        Self {
            change,
            uncertain: false,
            refused: false,
            failures: 0,
        }
    }

    /// Whether a record that is gone was most probably deleted by the attempt whose answer is lost.
    const fn may_have_deleted(&self) -> bool {
        self.uncertain && matches!(self.change.write, Write::Delete { .. })
    }
}

/// What is left of a batch after an attempt.
#[derive(Default)]
struct Unsettled {
    pending: Vec<Pending>,
    /// Whether to wait before the next attempt.
    pause: bool,
}

impl<T: CleanupTable> Run<'_, T> {
    /// Settles records on `list`.
    pub(super) async fn settle(&self, list: DueList, keys: Vec<RecordKey>) -> Tally {
        let mut tally = Tally::default();
        if self.time_is_up() {
            tally.time_ran_out = true;
            return tally;
        }
        if self.order.dry_run && self.order.adopt {
            // A dry adoption leaves the index as it is: the scan has counted what a run would
            // find there. Only what is on the lists and is no record was not in the scan.
            return tally;
        }
        let changes = if self.reads_before_it_writes() {
            self.read_and_decide(list, keys, &mut tally).await
        } else {
            keys.into_iter()
                .map(|key| Change::expected(key, list, &self.rules, self.now))
                .collect()
        };
        if self.order.dry_run {
            for change in &changes {
                tally.credit(change, Purpose::Work(list));
            }
        } else {
            tally.add(self.write(changes, Purpose::Work(list)).await);
        }
        tally
    }

    /// Whether records are read first: to write none, or because many of them are malformed.
    pub(super) fn reads_before_it_writes(&self) -> bool {
        self.order.dry_run || self.malformed.are_frequent()
    }

    /// The changes that records on `list` need, by their own truth.
    async fn read_and_decide(
        &self,
        list: DueList,
        keys: Vec<RecordKey>,
        tally: &mut Tally,
    ) -> Vec<Change> {
        let keys: Vec<_> = keys.into_iter().map(RecordKey::into_item).collect();
        let Some(records) = self.retry(tally, || self.table.read(&keys)).await else {
            if !tally.time_ran_out {
                tally.counts.failed += keys.len() as u64;
            }
            return Vec::new();
        };
        tally.counts.changed_elsewhere += (keys.len() - records.len()) as u64;
        let mut changes = Vec::new();
        for record in records {
            match record {
                Ok(record) => match self.decide(&record, Purpose::Work(list)) {
                    Some(change) => changes.push(change),
                    None => tally.counts.changed_elsewhere += 1,
                },
                Err(record) => tally.counts.malformed += self.note_malformed(&record, list),
            }
        }
        changes
    }

    /// Writes changes to records that are all different, batch by batch, as long as there is time.
    pub(super) async fn write(&self, mut changes: Vec<Change>, purpose: Purpose) -> Tally {
        let mut tally = Tally::default();
        while !changes.is_empty() && !tally.time_ran_out {
            let rest = changes.split_off(self.pace.batch().min(changes.len()));
            self.write_batch(changes, purpose, &mut tally).await;
            changes = rest;
        }
        tally
    }

    /// Writes until each change is settled, or the run's time is up.
    async fn write_batch(&self, changes: Vec<Change>, purpose: Purpose, tally: &mut Tally) {
        let mut pending: Vec<_> = changes.into_iter().map(Pending::new).collect();
        let mut attempt = 0;
        while !pending.is_empty() {
            let before = self.watch.elapsed();
            let admission = self.pace.admit(pending.len(), &self.watch).await;
            // A pause of the run's own is no silence of the table's.
            self.table_is_not_asked_for(self.watch.elapsed().saturating_sub(before));
            let in_time = admission.filter(|_| !self.time_is_up_for(purpose));
            let Some(admission) = in_time else {
                tally.time_ran_out = true;
                if attempt > 0 && purpose != Purpose::Malformed {
                    tally.counts.failed += pending.len() as u64;
                }
                return;
            };
            attempt += 1;
            let changes: Vec<_> = pending.iter().map(|it| it.change.clone()).collect();
            let answer = self.table.apply(&changes).await;
            self.pace
                .charge(admission, answer.as_ref().map_or(0.0, |it| it.table_units));
            let unsettled = match answer {
                Ok(outcomes) => {
                    self.table_answered();
                    let outcomes = tally.meter(outcomes);
                    self.sort_out(pending, outcomes, purpose, tally).await
                }
                Err(error) => self.retry_batch(pending, error, tally),
            };
            if unsettled.pause && !unsettled.pending.is_empty() {
                self.back_off(attempt).await;
            }
            pending = unsettled.pending;
        }
    }

    /// What is left of a batch whose call failed.
    fn retry_batch(
        &self,
        mut pending: Vec<Pending>,
        error: StoreError,
        tally: &mut Tally,
    ) -> Unsettled {
        if !self.is_worth_a_retry(&error) {
            tally.counts.failed += pending.len() as u64;
            tally.note(Some(error));
            return Unsettled::default();
        }
        tracing::debug!(error = error.causes(), "a batch failed");
        self.slow_down_if_throttled(&error);
        for it in &mut pending {
            it.uncertain |= error.may_have_happened();
        }
        let pause = true;
        Unsettled { pending, pause }
    }

    /// Counts what was done, and decides again about what was not.
    async fn sort_out(
        &self,
        pending: Vec<Pending>,
        outcomes: Vec<Outcome>,
        purpose: Purpose,
        tally: &mut Tally,
    ) -> Unsettled {
        let mut unsettled = Unsettled::default();
        let (written, mut refused) = (pending.len(), Vec::new());
        for (mut it, outcome) in pending.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => tally.credit(&it.change, purpose),
                Outcome::Gone if it.may_have_deleted() => tally.credit(&it.change, purpose),
                Outcome::Gone => tally.counts.changed_elsewhere += 1,
                // It can be understood by now, or is on another list, or gone.
                Outcome::Refused if purpose == Purpose::Malformed => {
                    self.malformed.note_not_moved();
                }
                Outcome::Refused => refused.push(it),
                Outcome::Failed(error) if error.may_pass() && it.failures < MOST_FAILURES => {
                    self.slow_down_if_throttled(&error);
                    it.failures += u32::from(!matches!(error, StoreError::Throttled { .. }));
                    it.uncertain |= error.may_have_happened();
                    unsettled.pending.push(it);
                    unsettled.pause = true;
                }
                Outcome::Failed(error) => self.note_failed(&it.change, error, purpose, tally),
            }
        }
        let malformed = self
            .sort_out_refused(refused, purpose, &mut unsettled, tally)
            .await;
        if let Purpose::Work(_) = purpose {
            self.malformed.observe(malformed, written);
        }
        unsettled
    }

    /// Reads the records whose changes were refused, and decides by what they say. How many of them
    /// are malformed.
    async fn sort_out_refused(
        &self,
        refused: Vec<Pending>,
        purpose: Purpose,
        unsettled: &mut Unsettled,
        tally: &mut Tally,
    ) -> usize {
        if refused.is_empty() {
            return 0;
        }
        let keys: Vec<_> = refused.iter().map(|it| it.change.key.clone()).collect();
        let mut found: HashMap<ItemKey, Found> = match self.table.read(&keys).await {
            Ok(records) => tally
                .meter(records)
                .into_iter()
                .map(|found| (key_of(&found).clone(), found))
                .collect(),
            // A write that was refused did not take place, and may be sent again.
            Err(error) if self.is_worth_a_retry(&error) => {
                tracing::debug!(error = error.causes(), "refused records could not be read");
                self.slow_down_if_throttled(&error);
                unsettled.pending.extend(refused);
                unsettled.pause = true;
                return 0;
            }
            Err(error) => {
                tally.counts.failed += refused.len() as u64;
                tally.note(Some(error));
                return 0;
            }
        };
        let mut malformed = 0;
        for mut it in refused {
            match found.remove(&it.change.key) {
                None => tally.counts.changed_elsewhere += 1,
                Some(Err(record)) => {
                    malformed += 1;
                    tally.counts.malformed += match purpose {
                        Purpose::Work(list) => self.note_malformed(&record, list),
                        Purpose::Adoption | Purpose::Malformed => self.malformed.note(&record),
                    };
                }
                Some(Ok(record)) if it.uncertain && it.change.is_seen_in(&record) => {
                    tally.credit(&it.change, purpose);
                }
                Some(Ok(record)) => match self.decide(&record, purpose) {
                    // The record may have changed between the write and the read, and once more. If the
                    // same change is refused twice although the record needs it, the run gives up.
                    Some(change) if change == it.change && it.refused => {
                        tracing::error!(record = %change.key, "a change was refused that the record asks for");
                        tally.counts.failed += 1;
                    }
                    Some(change) => {
                        it.refused = change == it.change;
                        it.uncertain = false;
                        it.change = change;
                        unsettled.pending.push(it);
                    }
                    None => tally.counts.changed_elsewhere += 1,
                },
            }
        }
        malformed
    }

    /// Counts a change that the table refuses for good, or has failed to make again and again, and
    /// names its record.
    fn note_failed(&self, change: &Change, error: StoreError, purpose: Purpose, tally: &mut Tally) {
        if !error.may_pass() && !matches!(error, StoreError::RecordRejected { .. }) {
            tally.counts.failed += 1;
            return tally.note(Some(error));
        }
        if purpose == Purpose::Malformed {
            // It was counted as malformed.
            return self.malformed.note_not_moved();
        }
        tally.counts.failed += 1;
        tally.failed_records.push(change.key.to_string());
        self.log_failed(&change.key, &error);
    }

    /// What a record needs, by its own truth: its next step, or the right index attributes.
    fn decide(&self, record: &StoredRecord, purpose: Purpose) -> Option<Change> {
        let shards = self.settings.shards;
        let step = || record.next_change(&self.rules, shards, Reason::ExpiredByCleanup, self.now);
        let reindexing = || record.reindexing(&self.rules, shards);
        match purpose {
            Purpose::Work(_) => step().or_else(reindexing),
            Purpose::Adoption => reindexing(),
            Purpose::Malformed => None,
        }
    }
}

fn key_of(found: &Found) -> &ItemKey {
    match found {
        Ok(record) => record.key.item(),
        Err(malformed) => &malformed.key,
    }
}
