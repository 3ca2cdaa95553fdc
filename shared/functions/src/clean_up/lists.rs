//! Reading what is due, list by list.

use futures_util::future::{self, FutureExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};
use rand::seq::SliceRandom as _;
use std::collections::HashSet;

use super::CleanupTable;
use super::run::Run;
use super::totals::RunTotals;
use session_domain::{Action, DueList, RecordKey};
use session_lifecycle::ports::ReadRecords;

/// Lists that are read at once.
const LISTS_AT_ONCE: usize = 8;

/// What reading a due list yields.
enum WorkItem {
    /// Records to settle.
    Batch(DueList, Vec<RecordKey>),
    /// What the reading itself amounted to.
    PageTotals(RunTotals),
}

/// Pieces that are settled at once.
const fn items_at_once(action: Action) -> usize {
    match action {
        Action::Deactivate => 8,
        // The answer to a deletion is the record, up to 400 KB of it, for only that tells who has
        // deleted it. Two batches of 25 in flight are 20 MB.
        Action::Delete => 2,
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Settles what is due, and moves the malformed records that it met off the lists.
    pub(super) async fn process_due_lists(&self, totals: &mut RunTotals) {
        loop {
            // Deactivations first, for until then an expired session is open.
            for action in [Action::Deactivate, Action::Delete] {
                self.process_lists(action, totals).await;
            }
            let all_moved = self.move_malformed(totals).await;
            if all_moved || self.time_is_up() || totals.error.is_some() {
                return;
            }
        }
    }

    /// Settles what is due on the lists of an action.
    async fn process_lists(&self, action: Action, totals: &mut RunTotals) {
        let shards = self.settings.shards.all();
        let mut lists: Vec<_> = shards.map(|shard| DueList { action, shard }).collect();
        // Runs at the same time help each other: each takes the lists in an order of its own.
        lists.shuffle(&mut rand::rng());
        let items = stream::iter(lists)
            .map(|list| self.read_list(list).boxed())
            .flatten_unordered(LISTS_AT_ONCE);
        let mut done = items
            .map(|item| match item {
                WorkItem::Batch(list, keys) => self.process_batch(list, keys).boxed(),
                WorkItem::PageTotals(totals) => future::ready(totals).boxed(),
            })
            .buffer_unordered(items_at_once(action));
        while let Some(part) = done.next().await {
            totals.add(part);
            self.log_progress(totals);
        }
    }

    /// Reads a list page by page, oldest first, and cuts the pages into pieces.
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
            // An entry that moves while the page is read may be on it twice, and a batch that names a
            // record twice is refused whole.
            let mut seen = HashSet::with_capacity(page.keys.len());
            let mut keys = page.keys;
            keys.retain(|key| seen.insert(key.clone()));
            // What is written on trust goes in small pieces, so that the oldest go first.
            let size = if self.reads_first() {
                <T as ReadRecords>::MAX_BATCH
            } else {
                self.rate_limiter.batch_size()
            };
            let items = keys
                .chunks(size)
                .map(|keys| WorkItem::Batch(list, keys.to_vec()))
                .chain([WorkItem::PageTotals(totals)])
                .collect();
            Some((items, page.next.map(Some)))
        })
        .flat_map(stream::iter)
    }
}
