//! Set-up and statistics of the benchmarks.

mod setup;
pub mod stats;

pub use self::setup::{Measured, Metered, SHARDS, start, store_in_parts};
