//! Reads the due lists page by page and hands over batches.

use std::collections::HashSet;

use futures_util::future::{self, FutureExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};
use rand::seq::SliceRandom as _;

use super::CleanupTable;
use super::run::Run;
use super::totals::RunTotals;
use session_domain::{Action, DueList, RecordKey};
use session_lifecycle::ports::ReadRecords;

/// Due lists that are read concurrently.
const CONCURRENT_LISTS: usize = 8;

/// What reading a due list yields.
enum WorkItem {
    /// Records to process.
    Batch(DueList, Vec<RecordKey>),
    /// Totals of the read itself.
    PageTotals(RunTotals),
}

/// Batches that are processed concurrently.
const fn concurrent_batches(action: Action) -> usize {
    match action {
        Action::Deactivate => 8,
        // The response to a deletion contains the deleted record (up to 400 KB), because only that
        // shows which run deleted it. Two batches of 25 in flight are 20 MB.
        Action::Delete => 2,
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Processes what is due, and moves the malformed records that it found off the lists.
    pub(super) async fn process_due_lists(&self, totals: &mut RunTotals) {
        loop {
            // Deactivations go first because an expired session stays active until then.
            for action in [Action::Deactivate, Action::Delete] {
                self.process_action(action, totals).await;
            }
            let all_moved = self.move_malformed(totals).await;
            if all_moved || self.time_is_up() || totals.error.is_some() {
                return;
            }
        }
    }

    /// Processes what is due for one action, on the lists of all shards.
    async fn process_action(&self, action: Action, totals: &mut RunTotals) {
        let shards = self.settings.shards.all();
        let mut lists: Vec<_> = shards.map(|shard| DueList { action, shard }).collect();
        // Concurrent runs share the work because each reads the lists in a random order.
        lists.shuffle(&mut rand::rng());
        let items = stream::iter(lists)
            .map(|list| self.read_list(list).boxed())
            .flatten_unordered(CONCURRENT_LISTS);
        let mut results = items
            .map(|item| match item {
                WorkItem::Batch(list, keys) => self.process_batch(list, keys).boxed(),
                WorkItem::PageTotals(totals) => future::ready(totals).boxed(),
            })
            .buffer_unordered(concurrent_batches(action));
        while let Some(result) = results.next().await {
            totals.add(result);
            self.log_progress(totals);
        }
    }

    /// Reads a list page by page, oldest entries first, and cuts each page into batches.
    fn read_list(&self, list: DueList) -> impl Stream<Item = WorkItem> {
        let cutoff = self.policy.cutoff(list.action, self.now);
        stream::unfold(Some(None), move |page_token| async move {
            let start_after: Option<_> = page_token?;
            let mut totals = RunTotals::default();
            if self.time_is_up() {
                totals.time_ran_out = true;
                return Some((vec![WorkItem::PageTotals(totals)], None));
            }
            let page = self
                .retry(&mut totals, || {
                    self.table.due_page(list, cutoff, start_after.clone())
                })
                .await;
            let Some(page) = page else {
                return Some((vec![WorkItem::PageTotals(totals)], None));
            };
            if list.action == Action::Deactivate {
                totals.oldest_expired = page.oldest;
            }
            for malformed in &page.malformed {
                totals.counts.malformed += self.record_malformed(malformed, list);
            }
            let keys = without_repeats(page.keys);
            let items = keys
                .chunks(self.batch_size())
                .map(|keys| WorkItem::Batch(list, keys.to_vec()))
                .chain([WorkItem::PageTotals(totals)])
                .collect();
            Some((items, page.next.map(Some)))
        })
        .flat_map(stream::iter)
    }

    /// Number of records to process together.
    fn batch_size(&self) -> usize {
        if self.reads_first() {
            <T as ReadRecords>::MAX_BATCH
        } else {
            // As small as one write call, so that the oldest entries are written first.
            self.write_rate.batch_size()
        }
    }
}

/// Removes repeated keys. An entry that moves while a page is read can be on the page twice, and
/// DynamoDB rejects a batch that names a record twice.
fn without_repeats(mut keys: Vec<RecordKey>) -> Vec<RecordKey> {
    let mut seen = HashSet::with_capacity(keys.len());
    keys.retain(|key| seen.insert(key.clone()));
    keys
}
