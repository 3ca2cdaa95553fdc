//! Reading what is due, list by list.

use futures_util::future::{self, FutureExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};
use rand::seq::SliceRandom as _;
use std::collections::HashSet;

use super::CleanupTable;
use super::run::Run;
use super::tally::Tally;
use session_domain::{Action, DueList, RecordKey};
use session_lifecycle::ports::ReadRecords;

/// Lists that are read at once.
const LISTS_AT_ONCE: usize = 8;

/// What reading a due list yields.
enum Piece {
    /// Records to settle.
    Records(DueList, Vec<RecordKey>),
    /// What the reading itself amounted to.
    Reading(Tally),
}

/// Pieces that are settled at once.
const fn pieces_at_once(action: Action) -> usize {
    match action {
        Action::Deactivate => 8,
        // The answer to a deletion is the record, up to 400 KB of it, for only that tells who has
        // deleted it. Two batches of 25 in flight are 20 MB.
        Action::Delete => 2,
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Settles what is due, and moves the malformed records that it met off the lists.
    pub(super) async fn work(&self, tally: &mut Tally) {
        loop {
            // Deactivations first, for until then an expired session is open.
            for action in [Action::Deactivate, Action::Delete] {
                self.work_lists(action, tally).await;
            }
            let all_moved = self.move_malformed(tally).await;
            if all_moved || self.time_is_up() || tally.error.is_some() {
                return;
            }
        }
    }

    /// Settles what is due on the lists of an action.
    async fn work_lists(&self, action: Action, tally: &mut Tally) {
        let shards = self.settings.shards.all();
        let mut lists: Vec<_> = shards.map(|shard| DueList { action, shard }).collect();
        // Runs at the same time help each other: each takes the lists in an order of its own.
        lists.shuffle(&mut rand::rng());
        let pieces = stream::iter(lists)
            .map(|list| self.read_list(list).boxed())
            .flatten_unordered(LISTS_AT_ONCE);
        let mut done = pieces
            .map(|piece| match piece {
                Piece::Records(list, keys) => self.settle(list, keys).boxed(),
                Piece::Reading(tally) => future::ready(tally).boxed(),
            })
            .buffer_unordered(pieces_at_once(action));
        while let Some(part) = done.next().await {
            tally.add(part);
            self.log_progress(tally);
        }
    }

    /// Reads a list page by page, oldest first, and cuts the pages into pieces.
    fn read_list(&self, list: DueList) -> impl Stream<Item = Piece> {
        let due_by = self.rules.due_by(list.action, self.now);
        stream::unfold(Some(None), move |place| async move {
            let after: Option<_> = place?;
            let mut tally = Tally::default();
            if self.time_is_up() {
                tally.time_ran_out = true;
                return Some((vec![Piece::Reading(tally)], None));
            }
            let page = self
                .retry(&mut tally, || {
                    self.table.due_page(list, due_by, after.clone())
                })
                .await;
            let Some(page) = page else {
                return Some((vec![Piece::Reading(tally)], None));
            };
            if list.action == Action::Deactivate {
                tally.oldest_expired = page.oldest;
            }
            for malformed in &page.malformed {
                tally.counts.malformed += self.note_malformed(malformed, list);
            }
            // An entry that moves while the page is read may be on it twice, and a batch that names a
            // record twice is refused whole.
            let mut seen = HashSet::with_capacity(page.keys.len());
            let mut keys = page.keys;
            keys.retain(|key| seen.insert(key.clone()));
            // What is written on trust goes in small pieces, so that the oldest go first.
            let size = if self.reads_before_it_writes() {
                <T as ReadRecords>::MOST
            } else {
                self.pace.batch()
            };
            let pieces = keys
                .chunks(size)
                .map(|keys| Piece::Records(list, keys.to_vec()))
                .chain([Piece::Reading(tally)])
                .collect();
            Some((pieces, page.next.map(Some)))
        })
        .flat_map(stream::iter)
    }
}
