//! Records that cannot be understood. A run counts and names each once, and moves it off the work
//! list when the work is done, so that it costs one write once and holds nothing up.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};

use super::CleanupTable;
use super::run::Run;
use super::totals::{RunTotals, WriteReason};
use session_domain::{CleanupReport, ConditionalWrite, DueList, ItemKey, MalformedRecord};

/// The most memory for the moves that are still to be made, in bytes. A run that meets more malformed
/// records reads the lists again once it has moved those.
const MAX_BYTES: usize = 24 * 1024 * 1024;

/// What a move takes beside the bytes of its key: the change itself, and two allocations.
const BYTES_OF_A_MOVE: usize = size_of::<ConditionalWrite>() + 64;

/// The most records that are told apart. Of more than that, one that is met twice counts twice.
const MAX_TRACKED: usize = 1_000_000;

/// Batches of moves that are written at once.
const MOVES_AT_ONCE: usize = 8;

/// The malformed records that a run met.
#[derive(Default)]
pub(super) struct MalformedRecords {
    hasher: RandomState,
    state: Mutex<State>,
    /// Whether reading the records first costs less than writing them and being refused.
    frequent: AtomicBool,
    /// How many moves the table has refused.
    not_moved: AtomicUsize,
}

/// Hashes stand for keys, so that even very many take little memory.
#[derive(Default)]
struct State {
    met: HashSet<u64>,
    queued: HashSet<u64>,
    queue: Vec<ConditionalWrite>,
    bytes: usize,
    overflowed: bool,
}

impl MalformedRecords {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and names a record: one where it was not met before, or none.
    pub(super) fn record(&self, record: &MalformedRecord) -> u64 {
        let mut state = self.state();
        if state.met.len() >= MAX_TRACKED {
            return 1;
        }
        if !state.met.insert(self.hasher.hash_one(&record.key)) {
            return 0;
        }
        if state.met.len() <= CleanupReport::NAMED_RECORDS {
            let MalformedRecord { key, problem } = record;
            tracing::warn!(%key, problem, "a record is malformed");
        }
        1
    }

    /// Remembers that a record has to be moved off a list.
    fn queue(&self, key: &ItemKey, list: DueList) {
        let mut state = self.state();
        let bytes = key.partition.len() + key.sort.len() + BYTES_OF_A_MOVE;
        if state.bytes + bytes > MAX_BYTES {
            state.overflowed = true;
        } else if state.queued.insert(self.hasher.hash_one(key)) {
            state.bytes += bytes;
            state
                .queue
                .push(ConditionalWrite::move_malformed(key.clone(), list));
        }
    }

    /// Takes the moves that are to be made; also, whether there were more than are remembered.
    fn take(&self) -> (Vec<ConditionalWrite>, bool) {
        let mut state = self.state();
        state.bytes = 0;
        state.queued.clear();
        let overflowed = mem::take(&mut state.overflowed);
        (mem::take(&mut state.queue), overflowed)
    }

    /// Notes how many of the records of a batch turned out to be malformed.
    pub(super) fn observe(&self, malformed: usize, of: usize) {
        if malformed * 5 > of {
            self.frequent.store(true, Ordering::Relaxed);
        }
    }

    /// Whether records are read before they are written, from now to the end of the run. A refused
    /// write costs a write unit at least, and its share of the rate limit. A read costs a read
    /// unit, a fifteenth of what a deactivation costs, and no share.
    pub(super) fn are_frequent(&self) -> bool {
        self.frequent.load(Ordering::Relaxed)
    }

    /// Notes that a record was not moved.
    pub(super) fn record_not_moved(&self) {
        self.not_moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs how many there were beyond those that were named, and how many stay on the lists.
    pub(super) fn log_others(&self) {
        let not_moved = self.not_moved.load(Ordering::Relaxed);
        if not_moved > 0 {
            tracing::warn!(not_moved, "malformed records stay on the work list");
        }
        let met = self.state().met.len();
        if met > CleanupReport::NAMED_RECORDS {
            let more = met - CleanupReport::NAMED_RECORDS;
            tracing::warn!(more, "more records are malformed");
        }
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Counts and names a malformed record on a list, and remembers to move it. What is not in a
    /// user's partition stays: the cleanup may not write there.
    pub(super) fn record_malformed(&self, record: &MalformedRecord, list: DueList) -> u64 {
        if !self.request.dry_run && record.key.is_of_a_user() {
            self.malformed.queue(&record.key, list);
        }
        self.malformed.record(record)
    }

    /// Moves the malformed records off the lists. Whether those are all that the run met.
    pub(super) async fn move_malformed(&self, totals: &mut RunTotals) -> bool {
        let (mut changes, overflowed) = self.malformed.take();
        let batches = std::iter::from_fn(|| {
            let batch = self.rate_limiter.batch_size().min(changes.len());
            // From the end, so that no change is copied twice.
            (batch > 0).then(|| changes.split_off(changes.len() - batch))
        });
        let mut done = stream::iter(batches)
            .map(|batch| self.write_all(batch, WriteReason::Malformed))
            .buffer_unordered(MOVES_AT_ONCE);
        while let Some(part) = done.next().await {
            totals.add(part);
            self.log_progress(totals);
        }
        !overflowed
    }
}
