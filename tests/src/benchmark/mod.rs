//! Set-up and statistics of the benchmarks.

pub mod stats;
