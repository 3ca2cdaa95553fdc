//! Entry point of the Lambda function `authorizer`.

use std::process::ExitCode;

use authorizer::{Authorizer, AuthorizerEvent};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use session_functions::authorize::TimeLimits;
use session_functions::config::AuthorizerConfig;
use session_functions::metrics::Metrics;
use session_functions::telemetry;
use session_lifecycle::aws::{CallPolicy, connect};
use session_lifecycle::clock;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::run_function(async |variables| {
        let config = AuthorizerConfig::read(&variables)?;
        let client = connect(CallPolicy::INTERACTIVE).await;
        let (table, its_client) = (config.table.clone(), client.clone());
        let metrics = Metrics::to_stdout(config.metrics_namespace.clone(), "authorizer");
        let (now, limits) = (clock::now(), TimeLimits::INTERACTIVE);
        let authorizer = &Authorizer::start(config, client, metrics, now, limits).await?;
        authorizer
            .warm_up(table.check_without_index(&its_client))
            .await?;
        // Boxed, because the nested futures exceed the compiler's limit for the layout of a type.
        let handle = |event: LambdaEvent<AuthorizerEvent>| {
            Box::pin(async move {
                let response = authorizer.handle(&event.payload, clock::now()).await;
                response.map_err(Diagnostic::from)
            })
        };
        lambda_runtime::run(service_fn(handle)).await
    })
    .await
}
