//! Set-up and statistics of the benchmarks.

pub mod mappings;
mod setup;
pub mod stats;

pub use self::setup::{Measured, Metered, SHARDS, start, store_in_parts};
