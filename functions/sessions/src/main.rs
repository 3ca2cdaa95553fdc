//! Entry point of the Lambda function `sessions`.

use std::process::ExitCode;

use lambda_http::{Request, service_fn};
use session_functions::config::SessionsConfig;
use session_functions::metrics::Metrics;
use session_functions::telemetry;
use session_lifecycle::aws::{CallPolicy, connect};
use session_lifecycle::clock;
use sessions::UserSessions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = SessionsConfig::read(&variables)?;
        let client = connect(CallPolicy::MONITORING).await;
        config.table.check_without_index(&client).await?;
        let metrics = Metrics::to_stdout(config.metrics_namespace.clone(), "sessions");
        let sessions = &UserSessions::new(config, client, metrics);
        let handle = move |request: Request| async move {
            let response = sessions.handle(&request, clock::now()).await;
            Ok::<_, lambda_runtime::Error>(response)
        };
        lambda_http::run(service_fn(handle)).await
    })
    .await
}
