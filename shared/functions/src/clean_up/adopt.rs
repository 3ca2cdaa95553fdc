//! Adopting a table: every record gets the index attributes that its state asks for.
//!
//! The whole table is read. A run keeps its place, so that the next one goes on there: a table may
//! take more time than one run has.

use futures_util::stream::{self, Stream, StreamExt as _};

use super::AdoptionTable;
use super::run::{ATTEMPTS, PROGRESS, Run};
use super::tally::{Purpose, Tally};
use session_domain::{
    AdoptionPlace, AdoptionSettings, ItemKey, Reason, SegmentPlace, StoredRecord,
};
use session_lifecycle::clock::Stopwatch;
use session_lifecycle::ports::{Found, ReadRecords};

/// Parts of the table that are read at once.
const SEGMENTS: u16 = 4;

/// What reading a page of a segment comes to.
struct Step {
    segment: usize,
    /// Where the segment's next page begins; nothing where this page has to be read again.
    place: Option<SegmentPlace>,
    examined: u64,
    tally: Tally,
}

/// An adoption under way.
struct Adoption {
    place: AdoptionPlace,
    /// Whether the table holds a place.
    is_kept: bool,
    /// Whether a place may be kept: not over one that could not be read.
    may_keep: bool,
}

impl<T: AdoptionTable> Run<'_, T> {
    /// Reads the table from where the last adoption stopped. A record that is right is not written,
    /// so that a page may be read again.
    pub(super) async fn adopt(&self, tally: &mut Tally) {
        if self.time_is_up() {
            tally.time_ran_out = true;
            return;
        }
        let Some(mut adoption) = self.begin_adoption(tally).await else {
            return;
        };
        if !self.order.dry_run {
            // One that was repaired may be in a part that an earlier run has read.
            self.adopt_malformed(tally).await;
        }
        let items = self.item_count().await;
        let mut kept = Stopwatch::start(PROGRESS);
        let place = &adoption.place;
        let count = u16::try_from(place.segments.len()).unwrap_or(u16::MAX);
        let segments: Vec<_> = (0..count).zip(place.segments.clone()).collect();
        let segments = stream::iter(segments)
            .map(|(segment, from)| self.adopt_segment(segment, count, from).boxed());
        let mut steps = segments.flatten_unordered(usize::from(SEGMENTS));
        while let Some(step) = steps.next().await {
            let place = &mut adoption.place;
            place.examined += step.examined;
            if let (Some(at), Some(next)) = (place.segments.get_mut(step.segment), step.place) {
                *at = next;
            }
            tally.add(step.tally);
            tally.adoption_percent = items.map(|items| place.percent(items));
            self.log_progress(tally);
            if kept.left().is_zero() {
                self.keep_place(&mut adoption).await;
                kept = Stopwatch::start(PROGRESS);
            }
        }
        tally.adoption_percent = items.map(|items| adoption.place.percent(items));
        self.keep_place(&mut adoption).await;
    }

    /// Looks at each record again that was moved off the lists as malformed.
    async fn adopt_malformed(&self, tally: &mut Tally) {
        for shard in self.settings.shards.all() {
            let mut after = None;
            loop {
                if self.time_is_up_for(Purpose::Adoption) {
                    tally.time_ran_out = true;
                    return;
                }
                let before = tally.capacity_units;
                let read = || self.table.malformed_page(shard, after.clone());
                let Some(page) = self.retry(tally, read).await else {
                    return;
                };
                // What is no record of ours by its key is somebody else's, as in the scan.
                let mut keys = page.keys;
                keys.retain(|key| key.kind().is_some());
                for keys in keys.chunks(<T as ReadRecords>::MOST) {
                    let read = || self.table.read(keys);
                    let Some(records) = self.retry(tally, read).await else {
                        return;
                    };
                    self.adopt_records(records, tally).await;
                }
                let units = tally.capacity_units - before;
                self.scan_pace.admit_units(units, &self.watch).await;
                after = page.next;
                if after.is_none() {
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
                let error = error.causes();
                tracing::warn!(error, "the size of the table is unknown");
            })
            .ok()
    }

    /// The place of the last adoption, if it is not done, or the beginning of a new one. Nothing
    /// where the place is out of reach: an adoption that began anew would overwrite it.
    async fn begin_adoption(&self, tally: &mut Tally) -> Option<Adoption> {
        let settings = AdoptionSettings {
            shards: self.settings.shards,
            retention: self.settings.retention,
        };
        let beginning = Adoption {
            place: AdoptionPlace::beginning(SEGMENTS, settings, self.now),
            is_kept: false,
            may_keep: true,
        };
        if self.order.dry_run {
            // It writes nothing, a place included; so it begins where it can count all.
            return Some(beginning);
        }
        let mut attempt = 1;
        loop {
            match self.table.adoption_place().await {
                Ok(Some(place)) if place.is_valid(settings, self.now) => {
                    return Some(Adoption {
                        place,
                        is_kept: true,
                        ..beginning
                    });
                }
                Ok(place) => {
                    return Some(Adoption {
                        is_kept: place.is_some(),
                        ..beginning
                    });
                }
                Err(error) if error.may_pass() && attempt < ATTEMPTS => {
                    self.back_off(attempt).await;
                    attempt += 1;
                }
                Err(error) if error.may_pass() => {
                    tally.note(Some(error));
                    return None;
                }
                Err(error) => {
                    let error = error.causes();
                    tracing::warn!(error, "the adoption begins anew: its place cannot be read");
                    return Some(Adoption {
                        may_keep: false,
                        ..beginning
                    });
                }
            }
        }
    }

    /// Keeps the place for the next run. Where that fails, the next one reads more again.
    async fn keep_place(&self, adoption: &mut Adoption) {
        let Adoption {
            place,
            is_kept,
            may_keep,
        } = adoption;
        // An adoption that one run finishes needs none.
        if self.order.dry_run || !*may_keep || place.is_done() && !*is_kept {
            return;
        }
        *is_kept = true;
        let seconds = i64::try_from(self.watch.elapsed().as_secs()).unwrap_or(i64::MAX);
        place.kept_at = self.now.plus(seconds);
        let mut attempt = 1;
        while let Err(error) = self
            .table
            .keep_adoption_place(place, place.valid_until())
            .await
        {
            if attempt == ATTEMPTS || !error.may_pass() || self.time_is_up() {
                let error = error.causes();
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
        from: SegmentPlace,
    ) -> impl Stream<Item = Step> {
        let from = match from {
            SegmentPlace::NotBegun => Some(None),
            SegmentPlace::After(key) => Some(Some(key)),
            SegmentPlace::Done => None,
        };
        stream::unfold(from, move |from| async move {
            let after: Option<ItemKey> = from?;
            let mut step = Step {
                segment: segment.into(),
                place: None,
                examined: 0,
                tally: Tally::default(),
            };
            if self.watch.left() <= self.time_for_the_place() {
                step.tally.time_ran_out = true;
                return Some((step, None));
            }
            let scan = || self.table.scan_page(segment, segments, after.as_ref());
            let Some(page) = self.retry(&mut step.tally, scan).await else {
                return Some((step, None));
            };
            // What a page costs is known only now: the next one waits for it.
            let units = step.tally.capacity_units;
            let paid = self.scan_pace.admit_units(units, &self.watch).await;
            // A pause of the run's own is no silence of the table's.
            self.table_answered();
            self.adopt_records(page.records, &mut step.tally).await;
            if step.tally.time_ran_out || step.tally.error.is_some() {
                return Some((step, None));
            }
            step.examined = page.examined;
            let next = page.next;
            step.place = Some(match &next {
                Some(key) => SegmentPlace::After(key.clone()),
                None => SegmentPlace::Done,
            });
            if next.is_some() && !paid {
                step.tally.time_ran_out = true;
                return Some((step, None));
            }
            Some((step, next.map(Some)))
        })
    }

    async fn adopt_records(&self, records: Vec<Found>, tally: &mut Tally) {
        let mut changes = Vec::new();
        for record in records {
            match record {
                Ok(record) => {
                    changes.extend(record.reindexing(&self.rules, self.settings.shards));
                    if self.order.dry_run {
                        self.predict_after_adoption(&record, tally);
                    }
                }
                Err(malformed) => tally.counts.malformed += self.malformed.note(&malformed),
            }
        }
        if self.order.dry_run {
            for change in &changes {
                tally.credit(change, Purpose::Adoption);
            }
        } else {
            tally.add(self.write(changes, Purpose::Adoption).await);
        }
    }

    /// Counts what the run would do to a record once the index is right about it.
    fn predict_after_adoption(&self, record: &StoredRecord, tally: &mut Tally) {
        let shards = self.settings.shards;
        let reason = Reason::ExpiredByCleanup;
        if let Some(change) = record.next_change(&self.rules, shards, reason, self.now) {
            tally.credit(&change, Purpose::Adoption);
        }
    }
}
