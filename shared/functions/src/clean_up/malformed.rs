//! Malformed records. A run counts and logs each one once, and moves it off its due list after all other
//! work, so that it costs one write once and delays nothing.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _};

use super::CleanupTable;
use super::run::{Mode, Run};
use super::totals::{RunTotals, WriteReason};
use session_domain::{CleanupReport, ConditionalWrite, DueList, ItemKey, MalformedRecord};

/// Memory limit for queued moves, in bytes. A run that finds more malformed records moves the queued
/// ones and then reads the due lists again.
const MAX_BYTES: usize = 24 * 1024 * 1024;

/// Memory of a queued move without the bytes of its key: the write and two allocations.
const BYTES_PER_MOVE: usize = size_of::<ConditionalWrite>() + 64;

/// Limit of distinct records that are tracked. Beyond it, a record that is found twice counts twice.
const MAX_TRACKED: usize = 1_000_000;

/// Batches of moves that are written concurrently.
const CONCURRENT_MOVES: usize = 8;

/// The malformed records that a run found.
#[derive(Default)]
pub(super) struct MalformedRecords {
    hasher: RandomState,
    state: Mutex<State>,
    /// Whether reading records first is cheaper than a write whose condition fails.
    frequent: AtomicBool,
    /// Number of records that stay on their due list.
    not_moved: AtomicUsize,
}

/// The records by the hash of their key, which keeps the memory small for a million of them, and the
/// queued moves.
#[derive(Default)]
struct State {
    found: HashSet<u64>,
    queued: HashSet<u64>,
    queue: Vec<ConditionalWrite>,
    bytes: usize,
    overflowed: bool,
}

impl MalformedRecords {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a record. Returns 1 if it is new to this run, otherwise 0.
    pub(super) fn record(&self, record: &MalformedRecord) -> u64 {
        let mut state = self.state();
        if state.found.len() >= MAX_TRACKED {
            return 1;
        }
        if !state.found.insert(self.hasher.hash_one(&record.key)) {
            return 0;
        }
        if state.found.len() <= CleanupReport::NAMED_RECORDS {
            let MalformedRecord { key, problem } = record;
            tracing::warn!(%key, problem, "a record is malformed");
        }
        1
    }

    /// Queues the move of a record off a due list.
    fn queue(&self, key: &ItemKey, list: DueList) {
        let mut state = self.state();
        let bytes = key.partition.len() + key.sort.len() + BYTES_PER_MOVE;
        if state.bytes + bytes > MAX_BYTES {
            state.overflowed = true;
        } else if state.queued.insert(self.hasher.hash_one(key)) {
            state.bytes += bytes;
            state
                .queue
                .push(ConditionalWrite::move_malformed(key.clone(), list));
        }
    }

    /// Takes the queued moves, and whether the queue was too small for all of them.
    fn take(&self) -> (Vec<ConditionalWrite>, bool) {
        let mut state = self.state();
        state.bytes = 0;
        state.queued.clear();
        let overflowed = mem::take(&mut state.overflowed);
        (mem::take(&mut state.queue), overflowed)
    }

    /// Notes how many records of a batch are malformed.
    pub(super) fn observe(&self, malformed: usize, batch_size: usize) {
        if malformed * 5 > batch_size {
            self.frequent.store(true, Ordering::Relaxed);
        }
    }

    /// Whether records are read before they are written, from now until the end of the run. A write
    /// whose condition fails costs at least one write unit and counts against the rate limit. A read
    /// costs one read unit, a fifteenth of the price of a deactivation, and is not limited.
    pub(super) fn are_frequent(&self) -> bool {
        self.frequent.load(Ordering::Relaxed)
    }

    /// Notes that a record stays on its due list.
    pub(super) fn record_not_moved(&self) {
        self.not_moved.fetch_add(1, Ordering::Relaxed);
    }

    /// Logs how many records were not named, and how many stay on their due lists.
    pub(super) fn log_others(&self) {
        let not_moved = self.not_moved.load(Ordering::Relaxed);
        if not_moved > 0 {
            tracing::warn!(not_moved, "malformed records stay on their due lists");
        }
        let found = self.state().found.len();
        if found > CleanupReport::NAMED_RECORDS {
            let more = found - CleanupReport::NAMED_RECORDS;
            tracing::warn!(more, "more records are malformed");
        }
    }
}

impl<T: CleanupTable> Run<'_, T> {
    /// Logs a malformed record on a due list and queues its move. Returns 1 if it is new to this run,
    /// otherwise 0. An item outside a user's partition stays: the cleanup's IAM policy allows no write
    /// there.
    pub(super) fn record_malformed(&self, record: &MalformedRecord, list: DueList) -> u64 {
        if self.mode == Mode::Apply && record.key.is_of_a_user() {
            self.malformed.queue(&record.key, list);
        }
        self.malformed.record(record)
    }

    /// Moves the queued records off their due lists. Returns whether those are all that the run found.
    pub(super) async fn move_malformed(&self, totals: &mut RunTotals) -> bool {
        let (mut moves, overflowed) = self.malformed.take();
        let batches = std::iter::from_fn(|| {
            let batch = self.write_rate.batch_size().min(moves.len());
            // Splitting at the end copies each move only once.
            (batch > 0).then(|| moves.split_off(moves.len() - batch))
        });
        let mut results = stream::iter(batches)
            .map(|batch| self.execute(batch, WriteReason::Malformed))
            .buffer_unordered(CONCURRENT_MOVES);
        while let Some(result) = results.next().await {
            totals.add(result);
            self.log_progress(totals);
        }
        !overflowed
    }
}
