//! What goes across the functions, against the embedded DynamoDB. One program, so that it is linked once and its tests
//! share all cores. tests/README.md says what each module shows.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

mod adoption;
mod attacks;
mod audit;
mod authorizer;
mod cleanup;
mod clocks;
mod configuration;
mod events;
mod failures;
mod faults;
mod key_sets;
mod limits;
mod logs;
mod malformed;
mod metrics;
mod monitoring;
mod mutation;
mod properties;
mod races;
mod sessions;
mod stored_secrets;
mod stress;
mod table_errors;
mod tokens;
mod vectors;
