//! The malformed records that a run met: each counted and named once, however often it is met.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::domain::MalformedRecord;

/// How many are named in the log; more are only counted.
const NAMED: usize = 20;

/// Remembers hashes of the keys, so that even very many take little memory.
#[derive(Default)]
pub(super) struct MalformedRecords {
    hasher: RandomState,
    met: Mutex<HashSet<u64>>,
}

impl MalformedRecords {
    /// Names a record; how many that makes more: one or none.
    pub(super) fn note(&self, record: &MalformedRecord) -> u64 {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if !met.insert(self.hasher.hash_one(&record.key)) {
            return 0;
        }
        if met.len() <= NAMED {
            let MalformedRecord { key, problem } = record;
            tracing::warn!(key, problem, "a record is malformed and left as it is");
        }
        1
    }

    /// Says how many there were beyond those that were named.
    pub(super) fn summarise(&self) {
        let met = self
            .met
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        if met > NAMED {
            tracing::warn!(
                more = met - NAMED,
                "more records are malformed and left as they are"
            );
        }
    }
}
