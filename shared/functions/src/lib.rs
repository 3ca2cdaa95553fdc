//! Code that the Lambda functions share. Each function converts an event to a call of a use case.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`authorize`] | use case of the authorizer: allow a request, or deny it with a reason |
//! | [`clean_up`] | use case of the cleanup: process what is due, and report |
//! | [`statistics`], [`schedule`], [`reports`] | use cases of the monitoring API |
//! | [`user_sessions`] | use case of the session service: list a user's sessions, close one |
//! | [`key_sources`] | sources of the keys that verify tokens: JWK Set, Secrets Manager, configuration |
//! | [`environment`] | environment variables, read once; all problems in one error |
//! | [`config`] | which variables each function reads |
//! | [`table_check`] | check of the table during init |
//! | [`http`], [`metrics`], [`telemetry`] | HTTP requests and responses, metrics, logs |
//!
//! ```
//! use session_functions::config::CleanupConfig;
//! use session_functions::environment::Environment;
//!
//! let environment = Environment::from_iter([("TABLE_NAME", "sessions"), ("DUE_SHARDS", "0")]);
//! let error = CleanupConfig::read(&environment).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "invalid configuration: DUE_SHARDS is \"0\" (a whole number from 1 to 100)",
//! );
//! ```
//!
//! The decisions are in `session_domain`, tokens in `session_token`, the table in `session_lifecycle`.

pub mod authorize;
pub mod clean_up;
pub mod config;
pub mod environment;
pub mod http;
pub mod key_sources;
pub mod metrics;
pub mod reports;
pub mod schedule;
pub mod statistics;
pub mod table_check;
pub mod telemetry;
pub mod user_sessions;
