//! The whole stack on one machine, without an AWS account; and without Docker, but for `sam_local`.
//!
//! - [`template`]: what `template.yaml` says of the table, the routes and the schedule, so that
//!   this stack and the deployed one cannot drift apart.
//! - [`dynamodb`]: the embedded DynamoDB, in memory or in a file.
//! - [`functions`]: the four functions, invoked with JSON as Lambda does.
//! - [`gateway`]: API Gateway's part: requests become events, answers become responses.
//! - [`stack`]: all of these together; [`server`] puts them on a port.
//! - [`sample`] and [`import`]: what the table is filled with; [`data`]: the files that keep it.
//! - [`jwt`]: which tokens the authorizer takes; [`tokens`]: signs such; [`issue`]: opens a session
//!   for each.
//! - [`client`]: calls them over HTTP.
//! - [`demo`], [`serve`], [`token`] and `sam_local`: the commands; [`banner`] and
//!   [`terminal`]: how they look.

pub mod banner;
pub mod client;
pub mod data;
pub mod demo;
mod durations;
pub mod dynamodb;
pub mod error;
pub mod functions;
pub mod gateway;
pub mod import;
pub mod issue;
pub mod jwt;
#[cfg(unix)]
pub mod sam_local;
pub mod sample;
pub mod serve;
pub mod server;
pub mod stack;
pub mod template;
pub mod terminal;
pub mod token;
pub mod tokens;
