//! Adopting a table: every record gets the index attributes that its state asks for.

use futures_util::stream::{self, Stream, StreamExt as _};

use super::settle::{Purpose, credit};
use super::{CleanupTable, Run, Tally};
use crate::domain::Reason;
use crate::ports::{Found, ScanTable};

/// Parts of the table that are read at once.
const SEGMENTS: u16 = 4;

impl<T: CleanupTable + ScanTable> Run<'_, T> {
    /// Reads the whole table. It may stop at any page, and be repeated: a record that is right
    /// is not written.
    pub(super) async fn adopt(&self, tally: &mut Tally) {
        let segments = stream::iter(0..SEGMENTS).map(|segment| self.adopt_segment(segment).boxed());
        let mut pages = segments.flatten_unordered(usize::from(SEGMENTS));
        while let Some(part) = pages.next().await {
            tally.add(part);
            self.tell_progress(tally);
        }
    }

    /// Reads a segment page by page.
    fn adopt_segment(&self, segment: u16) -> impl Stream<Item = Tally> {
        stream::unfold(Some(None), move |place| async move {
            let after: Option<_> = place?;
            let mut tally = Tally::default();
            if self.time_is_up() {
                tally.time_ran_out = true;
                return Some((tally, None));
            }
            let page = self
                .patiently(&mut tally, || {
                    self.table.scan_page(segment, SEGMENTS, after.clone())
                })
                .await;
            let Some(page) = page else {
                return Some((tally, None));
            };
            // What a page costs is known only now: the next one waits for it.
            let paid = self
                .scan_pace
                .admit(tally.capacity_units, &self.watch)
                .await;
            // A pause of the run's own is no silence of the table's.
            self.answered();
            self.adopt_records(page.records, &mut tally).await;
            if page.next.is_some() && !paid {
                tally.time_ran_out = true;
                return Some((tally, None));
            }
            Some((tally, page.next.map(Some)))
        })
    }

    async fn adopt_records(&self, records: Vec<Found>, tally: &mut Tally) {
        let mut changes = Vec::new();
        for record in records {
            match record {
                Ok(record) => {
                    changes.extend(record.reindexing(&self.rules, self.settings.shards));
                    if self.order.dry_run {
                        self.foresee_after_adoption(&record, tally);
                    }
                }
                Err(malformed) => tally.counts.malformed += self.malformed.note(&malformed),
            }
        }
        for batch in changes.chunks(self.pace.batch()) {
            if self.order.dry_run {
                for change in batch {
                    credit(&mut tally.counts, change, Purpose::Adoption);
                }
            } else {
                tally.add(self.write(batch.to_vec(), Purpose::Adoption).await);
            }
        }
    }

    /// Counts what the run would do to a record that the index knows rightly.
    fn foresee_after_adoption(&self, record: &crate::domain::StoredRecord, tally: &mut Tally) {
        let shards = self.settings.shards;
        let reason = Reason::ExpiredByCleanup;
        if let Some(change) = record.next_change(&self.rules, shards, reason, self.now) {
            credit(&mut tally.counts, &change, Purpose::Work);
        }
    }
}
