//! What must hold of every token and of every JWK Set. The fuzzer looks for an input that shows
//! otherwise; the tests try what it has found so far.
//!
//! What a token or a key is good for is said here once more, and differently: over plain JSON
//! values, and with a search for doubled names that has nothing in common with the other one.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "this is test code: a panic is what it is for"
)]

mod key_set;
mod names;
mod token;

pub use key_set::key_set;
pub use token::token;
