//! Simulated concurrency: a table in memory, and a scheduler that decides which task continues.
//!
//! Between two calls of the table, every other task may run. A seed decides which one, so a failed schedule
//! can be repeated. The tests compare [`MemoryTable`] with the DynamoDB adapter, because a proof on it is
//! worth only as much as its conditions.

mod conditions;
mod interleave;
mod memory;

pub use self::interleave::interleave;
pub use self::memory::{Faults, MemoryTable};
