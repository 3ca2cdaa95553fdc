//! The Lambda function `stats`.

use std::process::ExitCode;

use lambda_http::{Request, service_fn};
use session_lifecycle::config::StatsConfig;
use session_lifecycle::dynamodb::{Patience, connect};
use session_lifecycle::metrics::Metrics;
use session_lifecycle::{clock, telemetry};
use stats::Stats;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = StatsConfig::read(&variables)?;
        let metrics = Metrics::to_log(config.metrics_namespace.clone(), "stats");
        let stats = &Stats::new(config, connect(Patience::LOOK).await, metrics);
        let handle = move |request: Request| async move {
            Ok::<_, lambda_runtime::Error>(stats.handle(&request, clock::now()).await)
        };
        lambda_http::run(service_fn(handle)).await
    })
    .await
}
