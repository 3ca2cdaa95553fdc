//! Adopting a table: every record gets the index attributes that its state asks for.
//!
//! The whole table is read. A run keeps its place, so that the next one goes on there: a table may
//! take more time than one run has.

use futures_util::stream::{self, Stream, StreamExt as _};

use super::AdoptionTable;
use super::run::{MAX_ATTEMPTS, PROGRESS_INTERVAL, Run};
use super::totals::{RunTotals, WriteReason};
use session_domain::{
    AdoptionCheckpoint, AdoptionSettings, ItemKey, Reason, Record, SegmentProgress,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{ParsedRecord, ReadRecords};

/// Parts of the table that are read at once.
const SEGMENTS: u16 = 4;

/// What reading a page of a segment comes to.
struct ScanStep {
    segment: usize,
    /// Where the segment's next page begins; nothing where this page has to be read again.
    progress: Option<SegmentProgress>,
    examined: u64,
    totals: RunTotals,
}

/// An adoption under way.
struct Adoption {
    checkpoint: AdoptionCheckpoint,
    /// Whether the table holds a place.
    is_stored: bool,
    /// Whether a place may be kept: not over one that could not be read.
    may_store: bool,
}

impl<T: AdoptionTable> Run<'_, T> {
    /// Reads the table from where the last adoption stopped. A record that is right is not written,
    /// so that a page may be read again.
    pub(super) async fn adopt(&self, totals: &mut RunTotals) {
        if self.time_is_up() {
            totals.time_ran_out = true;
            return;
        }
        let Some(mut adoption) = self.start_adoption(totals).await else {
            return;
        };
        if !self.request.dry_run {
            // One that was repaired may be in a part that an earlier run has read.
            self.adopt_malformed(totals).await;
        }
        let items = self.item_count().await;
        let mut store_deadline = Deadline::after(PROGRESS_INTERVAL);
        let checkpoint = &adoption.checkpoint;
        let count = u16::try_from(checkpoint.segments.len()).unwrap_or(u16::MAX);
        let segments: Vec<_> = (0..count).zip(checkpoint.segments.clone()).collect();
        let segments = stream::iter(segments)
            .map(|(segment, from)| self.adopt_segment(segment, count, from).boxed());
        let mut steps = segments.flatten_unordered(usize::from(SEGMENTS));
        while let Some(step) = steps.next().await {
            let checkpoint = &mut adoption.checkpoint;
            checkpoint.examined += step.examined;
            if let (Some(at), Some(next)) =
                (checkpoint.segments.get_mut(step.segment), step.progress)
            {
                *at = next;
            }
            totals.add(step.totals);
            totals.adoption_percent = items.map(|items| checkpoint.percent(items));
            self.log_progress(totals);
            if store_deadline.remaining().is_zero() {
                self.store_checkpoint(&mut adoption).await;
                store_deadline = Deadline::after(PROGRESS_INTERVAL);
            }
        }
        totals.adoption_percent = items.map(|items| adoption.checkpoint.percent(items));
        self.store_checkpoint(&mut adoption).await;
    }

    /// Looks at each record again that was moved off the lists as malformed.
    async fn adopt_malformed(&self, totals: &mut RunTotals) {
        for shard in self.settings.shards.all() {
            let mut start_after = None;
            loop {
                if self.time_is_up_for(WriteReason::Adoption) {
                    totals.time_ran_out = true;
                    return;
                }
                let before = totals.capacity_units;
                let read = || self.table.malformed_page(shard, start_after.clone());
                let Some(page) = self.retry(totals, read).await else {
                    return;
                };
                // What is no record of ours by its key is somebody else's, as in the scan.
                let mut keys = page.keys;
                keys.retain(|key| key.kind().is_some());
                for keys in keys.chunks(<T as ReadRecords>::MAX_BATCH) {
                    let read = || self.table.read(keys);
                    let Some(records) = self.retry(totals, read).await else {
                        return;
                    };
                    self.adopt_records(records, totals).await;
                }
                let units = totals.capacity_units - before;
                self.scan_rate_limiter
                    .acquire_units(units, &self.deadline)
                    .await;
                start_after = page.next;
                if start_after.is_none() {
                    break;
                }
            }
        }
    }

    /// About how many items the table holds, for saying how far the adoption is.
    async fn item_count(&self) -> Option<u64> {
        let described = self.table.describe().await;
        described
            .map(|table| table.items)
            .inspect_err(|error| {
                let error = error.error_chain();
                tracing::warn!(error, "the size of the table is unknown");
            })
            .ok()
    }

    /// The place of the last adoption, if it is not done, or the beginning of a new one. Nothing
    /// where the place is out of reach: an adoption that began anew would overwrite it.
    async fn start_adoption(&self, totals: &mut RunTotals) -> Option<Adoption> {
        let settings = AdoptionSettings {
            shards: self.settings.shards,
            retention: self.settings.retention,
        };
        let start = Adoption {
            checkpoint: AdoptionCheckpoint::start(SEGMENTS, settings, self.now),
            is_stored: false,
            may_store: true,
        };
        if self.request.dry_run {
            // It writes nothing, a place included; so it begins where it can count all.
            return Some(start);
        }
        let mut attempt = 1;
        loop {
            match self.table.adoption_checkpoint().await {
                Ok(Some(checkpoint)) if checkpoint.is_valid(settings, self.now) => {
                    return Some(Adoption {
                        checkpoint,
                        is_stored: true,
                        ..start
                    });
                }
                Ok(checkpoint) => {
                    return Some(Adoption {
                        is_stored: checkpoint.is_some(),
                        ..start
                    });
                }
                Err(error) if error.is_retryable() && attempt < MAX_ATTEMPTS => {
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) if error.is_retryable() => {
                    totals.record_error(Some(error));
                    return None;
                }
                Err(error) => {
                    let error = error.error_chain();
                    tracing::warn!(error, "the adoption begins anew: its place cannot be read");
                    return Some(Adoption {
                        may_store: false,
                        ..start
                    });
                }
            }
        }
    }

    /// Keeps the place for the next run. Where that fails, the next one reads more again.
    async fn store_checkpoint(&self, adoption: &mut Adoption) {
        let Adoption {
            checkpoint,
            is_stored,
            may_store,
        } = adoption;
        // An adoption that one run finishes needs none.
        if self.request.dry_run || !*may_store || checkpoint.is_done() && !*is_stored {
            return;
        }
        *is_stored = true;
        let seconds = i64::try_from(self.deadline.elapsed().as_secs()).unwrap_or(i64::MAX);
        checkpoint.kept_at = self.now.plus(seconds);
        let mut attempt = 1;
        while let Err(error) = self
            .table
            .store_adoption_checkpoint(checkpoint, checkpoint.valid_until())
            .await
        {
            if attempt == MAX_ATTEMPTS || !error.is_retryable() || self.time_is_up() {
                let error = error.error_chain();
                tracing::warn!(error, "the place of the adoption could not be kept");
                return;
            }
            self.back_off(attempt).await;
            attempt += 1;
        }
    }

    /// Reads a segment page by page.
    fn adopt_segment(
        &self,
        segment: u16,
        segments: u16,
        from: SegmentProgress,
    ) -> impl Stream<Item = ScanStep> {
        let from = match from {
            SegmentProgress::NotStarted => Some(None),
            SegmentProgress::After(key) => Some(Some(key)),
            SegmentProgress::Done => None,
        };
        stream::unfold(from, move |from| async move {
            let start_after: Option<ItemKey> = from?;
            let mut step = ScanStep {
                segment: segment.into(),
                progress: None,
                examined: 0,
                totals: RunTotals::default(),
            };
            if self.deadline.remaining() <= self.time_for_checkpoint() {
                step.totals.time_ran_out = true;
                return Some((step, None));
            }
            let scan = || {
                self.table
                    .scan_page(segment, segments, start_after.as_ref())
            };
            let Some(page) = self.retry(&mut step.totals, scan).await else {
                return Some((step, None));
            };
            // What a page costs is known only now: the next one waits for it.
            let units = step.totals.capacity_units;
            let paid = self
                .scan_rate_limiter
                .acquire_units(units, &self.deadline)
                .await;
            // A pause of the run's own is no silence of the table's.
            self.mark_responsive();
            self.adopt_records(page.records, &mut step.totals).await;
            if step.totals.time_ran_out || step.totals.error.is_some() {
                return Some((step, None));
            }
            step.examined = page.examined;
            let next = page.next;
            step.progress = Some(match &next {
                Some(key) => SegmentProgress::After(key.clone()),
                None => SegmentProgress::Done,
            });
            if next.is_some() && !paid {
                step.totals.time_ran_out = true;
                return Some((step, None));
            }
            Some((step, next.map(Some)))
        })
    }

    async fn adopt_records(&self, records: Vec<ParsedRecord>, totals: &mut RunTotals) {
        let mut changes = Vec::new();
        for record in records {
            match record {
                Ok(record) => {
                    changes.extend(record.index_repair(&self.policy, self.settings.shards));
                    if self.request.dry_run {
                        self.predict_after_adoption(&record, totals);
                    }
                }
                Err(malformed) => totals.counts.malformed += self.malformed.record(&malformed),
            }
        }
        if self.request.dry_run {
            for change in &changes {
                totals.record_applied(change, WriteReason::Adoption);
            }
        } else {
            totals.add(self.write_all(changes, WriteReason::Adoption).await);
        }
    }

    /// Counts what the run would do to a record once the index is right about it.
    fn predict_after_adoption(&self, record: &Record, totals: &mut RunTotals) {
        let shards = self.settings.shards;
        let reason = Reason::ExpiredByCleanup;
        if let Some(change) = record.next_write(&self.policy, shards, reason, self.now) {
            totals.record_applied(&change, WriteReason::Adoption);
        }
    }
}
