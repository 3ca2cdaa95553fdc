//! The program that migrates a table, on two tables of the embedded DynamoDB.

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::{Command, Output};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use session_cleanup_local::dynamodb::{EmbeddedDynamoDb, TABLE_NAME, open};
use session_cleanup_local::template::Template;
use tokio::net::TcpListener;

type Attributes<'a> = &'a [(&'a str, AttributeValue)];

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: &str) -> AttributeValue {
    AttributeValue::N(number.to_owned())
}

/// The stack's table, and a table `old` with the key `id` and these items.
async fn tables(items: &[Attributes<'_>]) -> Result<(EmbeddedDynamoDb, Client), Box<dyn Error>> {
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
    for (id, item) in items.iter().enumerate() {
        let item = item.iter().cloned();
        let mut put = client.put_item().table_name("old");
        put = put.item("id", text(&format!("sess:{id}")));
        for (name, value) in item {
            put = put.item(name, value);
        }
        put.send().await?;
    }
    Ok((dynamodb, client))
}

fn migrate(dynamodb: &EmbeddedDynamoDb, arguments: [&str; 3]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_migrate_sessions"))
        .args(arguments)
        .env(
            "AWS_ENDPOINT_URL_DYNAMODB",
            format!("http://{}", dynamodb.address()),
        )
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_sessions_and_leaves_existing_ones() -> Result<(), Box<dyn Error>> {
    let items = [
        r#"{"passport":{"user":"ann"}}"#,
        r#"{"passport":{"user":"bob"}}"#,
        "{}",
    ]
    .map(|sess| {
        [
            ("type", text("connect-session")),
            ("sess", text(sess)),
            ("expires", number("9000000000.123")),
        ]
    });
    let (dynamodb, client) = tables(&items.each_ref().map(<[_; 3]>::as_slice)).await?;
    for outcome in ["created", "exists already"] {
        let output = migrate(&dynamodb, ["old", TABLE_NAME, "connect-dynamodb"])?;
        assert!(output.status.success(), "{output:?}");
        let left_out = "left out: the attribute sess at /passport/user is missing";
        let expected = format!("        2  {outcome}\n        1  {left_out}\n");
        assert_eq!(String::from_utf8(output.stdout)?, expected);
        assert_eq!(String::from_utf8(output.stderr)?, "");
    }
    let stored = client.scan().table_name(TABLE_NAME).send().await?;
    assert_eq!(stored.count(), 2);
    dynamodb.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_out_rejected_and_duplicate_sessions() -> Result<(), Box<dyn Error>> {
    let session = |id: &str| {
        vec![
            ("session_id", text(id)),
            ("user_id", text("ann")),
            ("expires_at", number("9000000000")),
        ]
    };
    let mut items = Vec::new();
    for id in ["1", "2", "3"] {
        let mut inactive = session(id);
        inactive.push(("revoked_at", number("1800000000")));
        items.extend([session(id), inactive, session(id)]);
    }
    for id in ["4", "5"] {
        let mut large = session(id);
        // Almost 400 KB: the attributes of the stack make it too large.
        large.push(("data", text(&"x".repeat(409_500))));
        items.push(large);
    }
    items.push(session("6"));
    let items: Vec<_> = items.iter().map(Vec::as_slice).collect();
    let (dynamodb, client) = tables(&items).await?;
    let folder = tempfile::tempdir()?;
    let layout = folder.path().join("layout.json");
    std::fs::write(
        &layout,
        r#"{
            "session_id": {"attribute": "session_id"}, "user_id": {"attribute": "user_id"},
            "expires_at": {"attribute": "expires_at", "unit": "s"},
            "deactivated_at": {"attribute": "revoked_at", "unit": "s"},
            "client_id": {"attribute": "app"}, "keep": ["data"]
        }"#,
    )?;
    let layout = layout.to_str().ok_or("not UTF-8")?;
    for outcome in ["        4  created\n", "        4  exists already\n"] {
        let output = migrate(&dynamodb, ["old", TABLE_NAME, layout])?;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let rejected = "        2  left out: the table rejected the record: creating a record: \
                        Item size has exceeded the maximum allowed size\n";
        let duplicate = "        6  left out: another item is the same session\n";
        let expected = format!("{outcome}{duplicate}{rejected}");
        assert_eq!(String::from_utf8(output.stdout)?, expected);
        let note = "note: no item has the attribute app\n";
        assert_eq!(String::from_utf8(output.stderr)?, note);
    }
    let stored = client.scan().table_name(TABLE_NAME).send().await?;
    for item in stored.items() {
        let is_active = item["session_id"] == text("6");
        assert_eq!(item["is_active"], AttributeValue::Bool(is_active));
    }
    dynamodb.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_readable_error_if_table_is_missing() -> Result<(), Box<dyn Error>> {
    let item = [
        ("session_id", text("1")),
        ("user_id", text("ann")),
        ("expires_at", number("9000000000")),
    ];
    let (dynamodb, _) = tables(&[&item]).await?;
    for tables in [["new", TABLE_NAME], ["old", "new"]] {
        let output = migrate(&dynamodb, [tables[0], tables[1], "session-id"])?;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stderr)?;
        let last = told.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: "), "{told}");
        assert!(last.contains("ResourceNotFoundException"), "{told}");
        assert!(!told.contains('{'), "{told}");
    }
    dynamodb.stop().await;
    Ok(())
}
