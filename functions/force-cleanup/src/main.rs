//! Entry point of the Lambda function `force-cleanup`.

use std::process::ExitCode;

use force_cleanup::ForceCleanup;
use lambda_http::{Request, RequestExt as _, service_fn};
use session_functions::config::ForceCleanupConfig;
use session_functions::metrics::Metrics;
use session_functions::telemetry;
use session_lifecycle::aws::{CallPolicy, connect};
use session_lifecycle::clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = ForceCleanupConfig::read(&variables)?;
        let client = connect(CallPolicy::BATCH).await;
        config.table.check(&client).await?;
        let metrics = Metrics::to_stdout(config.metrics_namespace.clone(), "force-cleanup");
        let force_cleanup = &ForceCleanup::new(config, client, metrics);
        let handle = move |request: Request| async move {
            let left = clock::until(request.lambda_context().deadline());
            let response = force_cleanup.handle(&request, clock::now(), left).await;
            Ok::<_, lambda_runtime::Error>(response)
        };
        lambda_http::run(service_fn(handle)).await
    })
    .await
}
