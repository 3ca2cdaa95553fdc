//! What the Lambda functions share: their use cases, configuration, HTTP, logs and metrics.

pub mod authorize;
pub mod clean_up;
pub mod config;
pub mod http;
pub mod key_sources;
pub mod metrics;
pub mod reports;
pub mod schedule;
pub mod statistics;
pub mod telemetry;
