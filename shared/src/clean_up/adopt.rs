//! Adopting a table: every record gets the index attributes that its state asks for.

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};

use super::settle::{Purpose, credit};
use super::{CleanupTable, Run, Tally};
use crate::domain::Reason;
use crate::ports::ScanTable;

/// Parts of the table that are read at once.
const SEGMENTS: u16 = 4;

impl<T: CleanupTable + ScanTable> Run<'_, T> {
    /// Reads the whole table. It may stop at any page, and be repeated: a record that is right
    /// is not written.
    pub(super) async fn adopt(&self, tally: &mut Tally) {
        let mut segments = stream::iter(0..SEGMENTS)
            .map(|segment| self.adopt_segment(segment).boxed())
            .buffer_unordered(SEGMENTS.into());
        while let Some(part) = segments.next().await {
            tally.add(part);
        }
    }

    async fn adopt_segment(&self, segment: u16) -> Tally {
        let mut tally = Tally::default();
        let mut after = None;
        loop {
            if self.time_is_up() {
                tally.time_ran_out = true;
                return tally;
            }
            let page = self
                .patiently(&mut tally, || {
                    self.table.scan_page(segment, SEGMENTS, after.clone())
                })
                .await;
            let Some(page) = page else { return tally };
            let mut changes = Vec::new();
            for record in page.records {
                match record {
                    Ok(record) => {
                        changes.extend(record.reindexing(&self.rules, self.settings.shards));
                        if self.order.dry_run {
                            self.foresee_after_adoption(&record, &mut tally);
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
            match page.next {
                Some(place) => after = Some(place),
                None => return tally,
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
