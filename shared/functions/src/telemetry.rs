//! Logs, as JSON lines with the request ID, and errors of invocations.

use std::error::Error;
use std::process::ExitCode;

use lambda_http::lambda_runtime::Diagnostic;
use session_domain::error_chain;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::environment::Environment;

/// Crates that log at the configured level. All other crates log at WARN or above, whatever the
/// level: at lower levels, the SDK and the Lambda runtime log whole requests, with their tokens.
const OWN_CRATES: [&str; 10] = [
    "session_domain",
    "session_functions",
    "session_lifecycle",
    "session_token",
    "session_cleanup_local",
    "authorizer",
    "stats",
    "force_cleanup",
    "cleanup",
    "sessions",
];

/// Starts logging to `writer`.
///
/// The level is `LOG_LEVEL`, or else Lambda's own `AWS_LAMBDA_LOG_LEVEL`, or else INFO. Set the
/// first to keep the metrics: at `AWS_LAMBDA_LOG_LEVEL` WARN and above, Lambda drops all lines
/// without a level, such as metrics.
pub fn start<W>(variables: &Environment, writer: W)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let level = variables
        .get("LOG_LEVEL")
        .or_else(|| variables.get("AWS_LAMBDA_LOG_LEVEL"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_writer(writer)
        .with_filter(filter(level));
    // Tests start logging repeatedly in one process; only the first call has an effect.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// Parses a level, by the names that Lambda uses.
pub(crate) fn level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => Some(LevelFilter::TRACE),
        "DEBUG" => Some(LevelFilter::DEBUG),
        "INFO" => Some(LevelFilter::INFO),
        "WARN" => Some(LevelFilter::WARN),
        "ERROR" | "FATAL" => Some(LevelFilter::ERROR),
        _ => None,
    }
}

fn filter(name: Option<&str>) -> Targets {
    let level = name.and_then(level).unwrap_or(LevelFilter::INFO);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        // The span with the request ID.
        .with_target("lambda_runtime::layers::trace", LevelFilter::INFO)
        .with_targets(OWN_CRATES.map(|name| (name, level)))
}

/// Runs a function until Lambda stops it. An error during init is logged in one line.
pub async fn run_function(
    run: impl AsyncFnOnce(Environment) -> Result<(), Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    let variables = Environment::from_process();
    start(&variables, std::io::stdout);
    match run(variables).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The error of an invocation, as Lambda logs and returns it: `errorType`, and an `errorMessage`
/// that contains all sources.
#[must_use]
pub fn diagnostic(error_type: &str, error: &dyn Error) -> Diagnostic {
    Diagnostic {
        error_type: error_type.to_owned(),
        error_message: error_chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn applies_log_level_to_own_crates_and_hides_requests() {
        let debug = filter(Some("debug"));
        assert!(debug.would_enable("session_functions::clean_up", &Level::DEBUG));
        assert!(!debug.would_enable("session_functions::clean_up", &Level::TRACE));
        assert!(!debug.would_enable("lambda_runtime::runtime", &Level::INFO));
        assert!(!debug.would_enable("hyper::proto", &Level::DEBUG));
        assert!(debug.would_enable("lambda_runtime::layers::trace", &Level::INFO));
        let error = filter(Some("FATAL"));
        assert!(!error.would_enable("cleanup", &Level::WARN));
        assert!(!error.would_enable("hyper", &Level::WARN));
        assert!(filter(None).would_enable("cleanup", &Level::INFO));
        assert!(!filter(Some("nonsense")).would_enable("cleanup", &Level::DEBUG));
    }

    #[test]
    fn each_function_logs_at_configured_level() {
        let functions = concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions");
        for function in std::fs::read_dir(functions).unwrap() {
            let name = function.unwrap().file_name().into_string().unwrap();
            let target = name.replace('-', "_");
            assert!(filter(None).would_enable(&target, &Level::INFO), "{name}");
        }
    }
}
