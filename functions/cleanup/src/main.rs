//! Entry point of the Lambda function `cleanup`.

use std::process::ExitCode;

use cleanup::Cleanup;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::value::RawValue;
use session_functions::config::CleanupConfig;
use session_functions::metrics::Metrics;
use session_functions::telemetry;
use session_lifecycle::aws::{CallPolicy, connect};
use session_lifecycle::clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = CleanupConfig::read(&variables)?;
        let client = connect(CallPolicy::BATCH).await;
        config.table.check(&client).await?;
        let metrics = Metrics::to_stdout(config.metrics_namespace.clone(), "cleanup");
        let cleanup = &Cleanup::new(config, client, metrics);
        let handle = async |event: LambdaEvent<Box<RawValue>>| {
            let left = clock::until(event.context.deadline());
            let report = cleanup.handle(&event.payload, clock::now(), left).await;
            report.map_err(Diagnostic::from)
        };
        lambda_runtime::run(service_fn(handle)).await
    })
    .await
}
