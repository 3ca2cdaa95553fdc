//! Properties of every token and every JWK Set. The fuzzer looks for inputs that violate them; the
//! tests repeat the inputs found so far.
//!
//! The rules for tokens and keys are implemented here a second time and in another way: with plain
//! JSON values, and with an independent search for duplicate names.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a panic reports a violation"
)]

mod key_set;
mod mapping;
mod names;
mod random;
mod token;

pub use key_set::key_set;
pub use mapping::{Mapping, mappings};
pub use random::random_token;
pub use token::{BETWEEN, token};
