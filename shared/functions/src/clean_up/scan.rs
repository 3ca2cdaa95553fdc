//! Scan of the whole table before the cleanup. It gives every record the index attributes that its state
//! requires (adoption), or revokes sessions, or both.
//!
//! A scan can take longer than one run. A run therefore stores a checkpoint, and the next run with the
//! same settings continues there.

use futures_util::stream::{self, Stream, StreamExt as _};

use super::ScannedTable;
use super::report::PROGRESS_INTERVAL;
use super::retry::retry_briefly;
use super::run::{Mode, Run};
use super::totals::{RunTotals, WriteReason};
use session_domain::{
    ItemKey, MalformedRecord, Record, ScanCheckpoint, ScanSettings, Scope, SegmentProgress,
};
use session_lifecycle::clock::Deadline;
use session_lifecycle::ports::{ParsedRecord, ReadRecords};

/// Segments of the table that are scanned concurrently.
const SEGMENTS: u16 = 4;

/// The result of one page of a segment.
struct ScanStep {
    segment: usize,
    /// Where the segment's next page starts. `None` if this page has to be read again.
    progress: Option<SegmentProgress>,
    examined: u64,
    totals: RunTotals,
}

/// A scan in progress.
struct Scan {
    checkpoint: ScanCheckpoint,
    /// Whether the table holds a checkpoint.
    is_stored: bool,
    /// Whether to store checkpoints: not in a dry run, and not over one that cannot be read.
    may_store: bool,
}

impl<T: ScannedTable> Run<'_, T> {
    /// Scans the table from where the last scan with the same settings stopped. A page can be read twice
    /// without harm, because a record that is already adopted or revoked is not written.
    pub(super) async fn scan(&self, totals: &mut RunTotals) {
        if self.time_is_up() {
            totals.time_ran_out = true;
            return;
        }
        let Some(mut scan) = self.start_scan(totals).await else {
            return;
        };
        if self.request.adopt && self.mode == Mode::Apply {
            // Repaired records first: they may be in a part of the table that is already scanned, or
            // that this run does not reach.
            self.adopt_malformed(totals).await;
        }
        let items = if self.request.adopt {
            self.item_count().await
        } else {
            None
        };
        let mut store_deadline = Deadline::after(PROGRESS_INTERVAL);
        let checkpoint = &scan.checkpoint;
        let count = u16::try_from(checkpoint.segments.len()).unwrap_or(u16::MAX);
        let segments: Vec<_> = (0..count).zip(checkpoint.segments.clone()).collect();
        let segments = stream::iter(segments)
            .map(|(segment, from)| self.scan_segment(segment, count, from).boxed());
        let mut steps = segments.flatten_unordered(usize::from(SEGMENTS));
        while let Some(step) = steps.next().await {
            let checkpoint = &mut scan.checkpoint;
            checkpoint.examined += step.examined;
            if let (Some(current), Some(next)) =
                (checkpoint.segments.get_mut(step.segment), step.progress)
            {
                *current = next;
            }
            totals.add(step.totals);
            totals.adoption_percent = items.map(|items| checkpoint.percent(items));
            self.log_progress(totals);
            if store_deadline.remaining().is_zero() {
                self.store_checkpoint(&mut scan).await;
                store_deadline = Deadline::after(PROGRESS_INTERVAL);
            }
        }
        totals.adoption_percent = items.map(|items| scan.checkpoint.percent(items));
        self.store_checkpoint(&mut scan).await;
    }

    /// Reads every record that was moved off its due list as malformed, and adopts it if it is repaired.
    async fn adopt_malformed(&self, totals: &mut RunTotals) {
        for shard in self.settings.shards.all() {
            let mut start_after = None;
            loop {
                if self.time_is_up_for(WriteReason::Scan) {
                    totals.time_ran_out = true;
                    return;
                }
                let before = totals.capacity_units;
                let read = || self.table.malformed_page(shard, start_after.clone());
                let Some(page) = self.retry(totals, read).await else {
                    return;
                };
                // Like the scan, this ignores items that are not records by their key.
                let mut keys = page.keys;
                keys.retain(|key| key.kind().is_some());
                for keys in keys.chunks(<T as ReadRecords>::MAX_BATCH) {
                    let read = || self.table.read(keys);
                    let Some(records) = self.retry(totals, read).await else {
                        return;
                    };
                    self.process_scanned(records, totals).await;
                }
                let units = totals.capacity_units - before;
                self.scan_rate.acquire_units(units, &self.deadline).await;
                start_after = page.next;
                if start_after.is_none() {
                    break;
                }
            }
        }
    }

    /// Approximate number of items in the table, from which the progress is calculated.
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

    /// Continues the last scan if it is unfinished, or starts a new one. `None` if the checkpoint
    /// could not be read at the moment: the next run may continue from it.
    async fn start_scan(&self, totals: &mut RunTotals) -> Option<Scan> {
        let settings = ScanSettings {
            shards: self.settings.shards,
            retention: self.settings.retention,
            adopt: self.request.adopt,
            revoke: self.request.revoke.clone(),
        };
        let start = Scan {
            checkpoint: ScanCheckpoint::start(SEGMENTS, settings.clone(), self.now),
            is_stored: false,
            may_store: true,
        };
        if self.mode == Mode::Predict {
            // A dry run has to count the whole table.
            return Some(Scan {
                may_store: false,
                ..start
            });
        }
        let read = || self.table.scan_checkpoint(&settings);
        match retry_briefly(Some(&self.deadline), read).await {
            Ok(Some(checkpoint)) if checkpoint.is_valid(&settings, self.now) => Some(Scan {
                checkpoint,
                is_stored: true,
                ..start
            }),
            Ok(checkpoint) => Some(Scan {
                is_stored: checkpoint.is_some(),
                ..start
            }),
            Err(error) if error.is_retryable() && self.time_is_up() => {
                totals.time_ran_out = true;
                None
            }
            Err(error) if error.is_retryable() => {
                totals.record_error(error);
                None
            }
            Err(error) => {
                let error = error.error_chain();
                tracing::warn!(
                    error,
                    "the scan starts again: its checkpoint cannot be read"
                );
                Some(Scan {
                    may_store: false,
                    ..start
                })
            }
        }
    }

    /// Stores the checkpoint for the next run. If that fails, the next run repeats a part of the scan.
    async fn store_checkpoint(&self, scan: &mut Scan) {
        let Scan {
            checkpoint,
            is_stored,
            may_store,
            ..
        } = scan;
        // A scan that one run completes needs no checkpoint.
        if !*may_store || checkpoint.is_done() && !*is_stored {
            return;
        }
        *is_stored = true;
        let seconds = i64::try_from(self.deadline.elapsed().as_secs()).unwrap_or(i64::MAX);
        checkpoint.kept_at = self.now.plus(seconds);
        let ttl = checkpoint.valid_until();
        let store = || self.table.store_scan_checkpoint(checkpoint, ttl);
        if let Err(error) = retry_briefly(Some(&self.deadline), store).await {
            let error = error.error_chain();
            tracing::warn!(error, "the checkpoint of the scan could not be stored");
        }
    }

    /// Scans a segment page by page.
    fn scan_segment(
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
            if self.time_is_up_for(WriteReason::Scan) {
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
            // The cost of a page is known only after it was read, so the next page waits for it.
            let units = step.totals.capacity_units;
            let acquired = self.scan_rate.acquire_units(units, &self.deadline).await;
            // Waiting for the rate limiter does not count as an unresponsive table.
            self.mark_responsive();
            self.process_scanned(page.records, &mut step.totals).await;
            if step.totals.time_ran_out || step.totals.error.is_some() {
                return Some((step, None));
            }
            step.examined = page.examined;
            let next = page.next;
            step.progress = Some(match &next {
                Some(key) => SegmentProgress::After(key.clone()),
                None => SegmentProgress::Done,
            });
            if next.is_some() && !acquired {
                step.totals.time_ran_out = true;
                return Some((step, None));
            }
            Some((step, next.map(Some)))
        })
    }

    async fn process_scanned(&self, records: Vec<ParsedRecord>, totals: &mut RunTotals) {
        let mut writes = Vec::new();
        for record in records {
            match record {
                Ok(record) => {
                    if let Some(problem) = self.unknown_start(&record) {
                        totals.counts.malformed += self.malformed.record(&problem);
                    }
                    writes.extend(self.next_write(&record, WriteReason::Scan));
                    if self.request.adopt && self.mode == Mode::Predict {
                        // The due lists do not show this record until its index is repaired, so its
                        // next action is counted here.
                        writes.extend(self.due_write(&record));
                    }
                }
                Err(malformed) => totals.counts.malformed += self.malformed.record(&malformed),
            }
        }
        totals.add(self.execute(writes, WriteReason::Scan).await);
    }

    /// The problem of a session that the run cannot revoke because its start is unknown.
    fn unknown_start(&self, record: &Record) -> Option<MalformedRecord> {
        let revoke = self.request.revoke.as_ref()?;
        (revoke.scope(record, self.now) == Scope::Unknown).then(|| MalformedRecord {
            key: record.key.item().clone(),
            problem: "created_at is missing or not a time, so the session is not revoked"
                .to_owned(),
        })
    }
}
