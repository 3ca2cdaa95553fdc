//! The program that migrates a table, on two tables of the embedded DynamoDB.

use std::net::Ipv4Addr;
use std::process::Command;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use session_cleanup_local::dynamodb::{EmbeddedDynamoDb, TABLE_NAME, open};
use session_cleanup_local::template::Template;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn copies_sessions_and_leaves_existing_ones() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let dynamodb = EmbeddedDynamoDb::start(open(None)?, listener, &Template::read()?.table)?;
    let client = dynamodb.client();
    let hash = KeySchemaElement::builder().attribute_name("id");
    let id = AttributeDefinition::builder().attribute_name("id");
    client
        .create_table()
        .table_name("old")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(hash.key_type(KeyType::Hash).build()?)
        .attribute_definitions(id.attribute_type(ScalarAttributeType::S).build()?)
        .send()
        .await?;
    for (id, sess) in [
        ("sess:1", r#"{"passport":{"user":"ann"}}"#),
        ("sess:2", r#"{"passport":{"user":"bob"}}"#),
        ("sess:3", "{}"),
    ] {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        client
            .put_item()
            .table_name("old")
            .item("id", text(id))
            .item("type", text("connect-session"))
            .item("sess", text(sess))
            .item("expires", AttributeValue::N("9000000000.123".to_owned()))
            .send()
            .await?;
    }
    for outcome in ["created", "exists already"] {
        let output = Command::new(env!("CARGO_BIN_EXE_migrate_sessions"))
            .args(["old", TABLE_NAME, "connect-dynamodb"])
            .env(
                "AWS_ENDPOINT_URL_DYNAMODB",
                format!("http://{}", dynamodb.address()),
            )
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .output()?;
        assert!(output.status.success(), "{output:?}");
        let left_out = "left out: the attribute sess at /passport/user is missing";
        let expected = format!("        2  {outcome}\n        1  {left_out}\n");
        assert_eq!(String::from_utf8(output.stdout)?, expected);
    }
    let stored = client.scan().table_name(TABLE_NAME).send().await?;
    assert_eq!(stored.count(), 2);
    dynamodb.stop().await;
    Ok(())
}
