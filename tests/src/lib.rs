//! Test support: what the integration tests, the emulator tests and the benchmarks share.
//!
//! A test makes a [`World`]: a DynamoDB with the template's table (embedded by default), the
//! functions, the gateway, and a clock that is fixed at [`NOW`].
//!
//! | module | what it is |
//! | --- | --- |
//! | [`mod@world`], [`clock`], [`database`] | the world of a test, its time, its DynamoDB |
//! | [`items`], [`sample`], [`counts`](mod@counts) | items in DynamoDB JSON, random records, the counts of a report |
//! | [`model`] | an independent model of the table, which the tests compare with |
//! | [`simulation`] | a table in memory, and a scheduler of concurrent tasks |
//! | [`fault_proxy`] | a proxy in front of the table that injects faults |
//! | [`key_server`] | servers of keys: a JWK Set over HTTP or HTTPS, and Secrets Manager |
//! | [`tokens`], [`token_factory`] | tokens as the issuer signs them, and as an attacker does |
//! | [`identity_providers`] | tokens as identity providers make them, with their settings and keys |
//! | [`authorizing`], [`events`] | authorizer events and answers; events of the other functions |
//! | [`log`], [`metrics`] | what the functions log, and the metrics in it |
//! | [`emulator`], [`process`] | release binaries in AWS's emulator, and their CPU time and memory |
//! | [`benchmark`], [`cost`] | set-up and statistics of the benchmarks; the cost of a cleanup run |
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "test code: a panic fails the test"
)]

pub mod authorizing;
pub mod benchmark;
pub mod clock;
pub mod cost;
pub mod counts;
pub mod database;
pub mod emulator;
pub mod events;
pub mod fault_proxy;
pub mod identity_providers;
pub mod items;
pub mod key_server;
pub mod log;
pub mod metrics;
pub mod model;
pub mod process;
pub mod sample;
pub mod simulation;
pub mod token_factory;
pub mod tokens;
pub mod world;

pub use crate::clock::{DAY, HOUR, NOW, at};
pub use crate::counts::{counts, only};
pub use crate::items::{Item, active_session, inactive_session, item_from, number, text};
pub use crate::world::{
    CLEANUP, CLEANUPS, Limits, STATS, World, serve, serve_table, session_id, user_id,
};
