//! The baseline of the benchmarks: a Lambda function that only makes one DynamoDB call, without
//! configuration, logs, tokens or decisions.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

/// Name of the table in the local stack.
const TABLE_NAME: &str = "sessions";

/// Any event. The members of an authorizer event are ignored.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    panic: bool,
}

#[derive(Serialize)]
struct Answer {
    items: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let client = &Client::new(&config);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        handle(client, &event.payload).await
    }))
    .await
}

async fn handle(client: &Client, event: &Event) -> Result<Answer, Error> {
    // For the tests, because the functions themselves have no panic. With the release profile, a
    // panic must fail this invocation only, and the process must stay alive.
    assert!(!event.panic, "the event asks for a panic");
    // The authorizer's own request. With another one, the comparison would measure the difference
    // between the requests.
    let keys = KeysAndAttributes::builder()
        .keys(key("SESSION#live").into())
        .keys(key("BLACKLIST#baseline").into())
        .projection_expression("pk,sk,is_active,expires_at,due_key")
        .consistent_read(true)
        .build()?;
    let answer = client
        .batch_get_item()
        .request_items(TABLE_NAME, keys)
        .send()
        .await?;
    let items = answer
        .responses
        .and_then(|mut tables| tables.remove(TABLE_NAME));
    Ok(Answer {
        items: items.map_or(0, |items| items.len()),
    })
}

fn key(sort: &str) -> [(String, AttributeValue); 2] {
    [("pk", "USER#ann"), ("sk", sort)]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
}
