//! Logs: JSON lines, each with the id of the request it belongs to.

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

/// The crates whose lines are shown down to the configured level. Others, the SDK and the runtime
/// among them, write whole requests at their finer levels, tokens included: of them no more than
/// warnings are shown, whatever the level.
const OWN_CRATES: [&str; 9] = [
    "session_domain",
    "session_functions",
    "session_lifecycle",
    "session_token",
    "session_cleanup_local",
    "authorizer",
    "stats",
    "force_cleanup",
    "cleanup",
];

/// Starts to log to `writer` at `LOG_LEVEL`, or where that is not set at Lambda's own
/// `AWS_LAMBDA_LOG_LEVEL`; at INFO where neither is. Only the first leaves the metrics in the log:
/// at WARN and above, Lambda takes out all lines that do not say their level.
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
    // A second subscriber of one process, as in tests, is of no use, and no harm.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// The level of this name, as Lambda has them.
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
        // The span that carries the request's id.
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
}
