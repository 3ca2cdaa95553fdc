//! Integration tests across the functions, with the embedded DynamoDB. They are one program, so
//! that it is linked once and its tests share all cores. tests/README.md describes the modules.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic fails the test"
)]

mod adoption;
mod attacks;
mod audit;
mod authorizer;
mod cleanup;
mod clocks;
mod configuration;
mod counts;
mod events;
mod failures;
mod faults;
mod histories;
mod identity_providers;
mod idle_time;
mod incident;
mod key_sets;
mod limits;
mod logs;
mod malformed;
mod metrics;
mod migration;
mod monitoring;
mod mutation;
mod opening;
mod properties;
mod races;
mod refresh;
mod revocation;
mod schedules;
mod session_service;
mod sessions;
mod stored_secrets;
mod stress;
mod table_check;
mod table_errors;
mod tokens;
mod vectors;
