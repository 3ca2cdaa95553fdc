//! Entry point of the Lambda function `stats`.

use std::process::ExitCode;

use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Request, Service as _, service_fn};
use lambda_runtime::{Diagnostic, Error, LambdaEvent};
use serde_json::Value;
use serde_json::value::RawValue;
use session_functions::config::StatsConfig;
use session_functions::metrics::Metrics;
use session_functions::telemetry::{self, diagnostic};
use session_lifecycle::aws::{CallPolicy, connect};
use session_lifecycle::clock;
use stats::{Stats, is_scheduled};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = StatsConfig::read(&variables)?;
        let client = connect(CallPolicy::MONITORING).await;
        config.table.check(&client).await?;
        let metrics = Metrics::to_stdout(config.metrics_namespace.clone(), "stats");
        let stats = &Stats::new(config, client, metrics);
        let handle = |event: LambdaEvent<Box<RawValue>>| async move {
            let (event, context) = event.into_parts();
            if is_scheduled(&event) {
                let watched = stats.watch(clock::now()).await;
                watched.map_err(|error| diagnostic("StoreError", &error))?;
                return Ok(Value::Null);
            }
            let request: LambdaRequest = serde_json::from_str(event.get()).map_err(Error::from)?;
            let serve =
                async |request: Request| Ok::<_, Error>(stats.handle(&request, clock::now()).await);
            let mut api = Adapter::from(service_fn(serve));
            let response = api.call(LambdaEvent::new(request, context)).await?;
            let response = serde_json::to_value(response).map_err(Error::from)?;
            Ok::<_, Diagnostic>(response)
        };
        lambda_runtime::run(lambda_runtime::service_fn(handle)).await
    })
    .await
}
