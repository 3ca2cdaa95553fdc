//! The DynamoDB of a world: the embedded one, or the endpoint in the variable `DYNAMODB_ENDPOINT`,
//! such as `http://127.0.0.1:4566`, where each world creates its own table.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, Projection,
    PutRequest, TableStatus, WriteRequest,
};
use dynoxide::{Database, ImportOptions};
use serde_json::{Value, json};
use session_cleanup_local::dynamodb::{self, EmbeddedDynamoDb, TABLE_NAME};
use session_cleanup_local::template::Template;
use session_functions::environment::Environment;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::item_from;

/// Maximum number of items in a DynamoDB batch.
const MAX_ITEMS: usize = 25;

/// The properties of the template's table that `CreateTable` accepts.
///
/// Without its TTL if the database is not embedded: a service deletes by its own clock, and the
/// tests run at [`NOW`](crate::NOW).
const PROPERTIES: [&str; 4] = [
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "BillingMode",
];

/// A DynamoDB with the template's table.
pub struct DynamoDb {
    address: SocketAddr,
    table_name: String,
    /// Properties of the template's table.
    properties: Value,
    embedded: Option<EmbeddedDynamoDb>,
}

impl DynamoDb {
    /// Starts a DynamoDB with an empty table.
    pub async fn start() -> Self {
        let Some(address) = endpoint() else {
            return Self::embedded(dynamodb::open(None).expect("a database in memory")).await;
        };
        let this = Self {
            address,
            table_name: format!("sessions-{}", Uuid::new_v4()),
            properties: Template::read().expect("a valid template").table,
            embedded: None,
        };
        create_table(&this.client(), &this.definition(&this.table_name)).await;
        this
    }

    /// Serves the table in this database, regardless of `DYNAMODB_ENDPOINT`.
    pub async fn embedded(database: Database) -> Self {
        let template = Template::read().expect("a valid template");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let embedded = EmbeddedDynamoDb::start(database, listener, &template.table)
            .expect("the template's table can be created");
        Self {
            address: embedded.address(),
            table_name: TABLE_NAME.to_owned(),
            properties: template.table,
            embedded: Some(embedded),
        }
    }

    /// Address of the endpoint.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn table_name(&self) -> &str {
        &self.table_name
    }

    /// A client of this DynamoDB.
    #[must_use]
    pub fn client(&self) -> Client {
        dynamodb::client(self.address)
    }

    /// The embedded database. A test that uses it must check [`needs_embedded`] first.
    #[must_use]
    pub fn database(&self) -> Database {
        let embedded = self.embedded.as_ref();
        embedded
            .expect("this test needs the embedded database")
            .database()
    }

    /// Creates another table like the template's. Blocks the thread.
    pub fn create_table(&self, name: &str) {
        let definition = self.definition(name);
        if let Some(embedded) = &self.embedded {
            let request = serde_json::from_value(definition).expect("a table definition");
            let created = embedded.database().create_table(request);
            created.expect("the template's table can be created");
        } else {
            let client = self.client();
            wait_for(create_table(&client, &definition));
        }
    }

    /// The request that creates the template's table with this name. Its properties have the names
    /// of the API.
    fn definition(&self, name: &str) -> Value {
        let mut request = json!({ "TableName": name });
        for property in PROPERTIES {
            request[property] = self.properties[property].clone();
        }
        request
    }

    /// Deletes a table. Blocks the thread.
    pub fn delete_table(&self, name: &str) {
        let is_gone = if let Some(embedded) = &self.embedded {
            let request = serde_json::from_value(json!({ "TableName": name }));
            let request = request.expect("a table name");
            embedded.database().delete_table(request).is_ok()
        } else {
            let request = self.client().delete_table().table_name(name);
            wait_for(request.send()).is_ok()
        };
        // A second panic would hide the first.
        assert!(is_gone || thread::panicking(), "{name} is not deleted");
    }

    /// Stores items in a table. Blocks the thread.
    pub fn import(&self, table: &str, items: Vec<Value>) {
        if let Some(embedded) = &self.embedded {
            let items = serde_json::from_value(items.into()).expect("items in DynamoDB JSON");
            let options = ImportOptions::default();
            let done = embedded.database().import_items(table, items, options);
            done.expect("the table accepts them");
        } else {
            let client = self.client();
            wait_for(write(&client, table, &items));
        }
    }

    /// Stops listening, and waits for the requests in progress.
    pub async fn stop(self) {
        let embedded = self
            .embedded
            .expect("this test needs the embedded database");
        embedded.stop().await;
    }
}

/// Whether a test must be skipped because the database is not embedded. Prints a line if so.
#[must_use]
pub fn needs_embedded(test: &str, why: &str) -> bool {
    let other = endpoint().is_some();
    if other {
        // Bypass the test harness, which hides the output of passed tests.
        let told = writeln!(io::stderr(), "SKIPPED {test}: {why}");
        told.expect("stderr is open");
    }
    other
}

fn endpoint() -> Option<SocketAddr> {
    let variables = Environment::from_process();
    let endpoint = variables.get("DYNAMODB_ENDPOINT")?;
    let address = endpoint.strip_prefix("http://").map(str::parse);
    Some(address.and_then(Result::ok).unwrap_or_else(|| {
        panic!("DYNAMODB_ENDPOINT must be like http://127.0.0.1:4566, but is {endpoint:?}")
    }))
}

/// Runs a future from synchronous code, also inside a runtime.
fn wait_for<T: Send>(doing: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(doing)
    };
    let done = thread::scope(|scope| scope.spawn(run).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Creates a table with this definition.
async fn create_table(client: &Client, table: &Value) {
    let name = text(table, "TableName");
    let attributes = list(&table["AttributeDefinitions"], |it| {
        AttributeDefinition::builder()
            .attribute_name(text(it, "AttributeName"))
            .attribute_type(text(it, "AttributeType").into())
            .build()
            .expect("a complete definition")
    });
    let indexes = list(&table["GlobalSecondaryIndexes"], |it| {
        let projection = text(&it["Projection"], "ProjectionType").into();
        GlobalSecondaryIndex::builder()
            .index_name(text(it, "IndexName"))
            .set_key_schema(Some(keys(&it["KeySchema"])))
            .projection(Projection::builder().projection_type(projection).build())
            .build()
            .expect("a complete definition")
    });
    let create = client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::from(text(table, "BillingMode")))
        .set_attribute_definitions(Some(attributes))
        .set_key_schema(Some(keys(&table["KeySchema"])))
        .set_global_secondary_indexes(Some(indexes));
    create
        .send()
        .await
        .expect("the template's table can be created");
    loop {
        let table = client.describe_table().table_name(name).send().await;
        let table = table
            .expect("the table exists")
            .table
            .expect("a description");
        if table.table_status == Some(TableStatus::Active) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn keys(schema: &Value) -> Vec<KeySchemaElement> {
    list(schema, |it| {
        KeySchemaElement::builder()
            .attribute_name(text(it, "AttributeName"))
            .key_type(text(it, "KeyType").into())
            .build()
            .expect("a complete definition")
    })
}

fn list<T>(values: &Value, of: impl FnMut(&Value) -> T) -> Vec<T> {
    values.as_array().expect("a list").iter().map(of).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("text")
}

async fn write(client: &Client, table: &str, items: &[Value]) {
    for batch in items.chunks(MAX_ITEMS) {
        let requests = batch.iter().map(|item| {
            let put = PutRequest::builder()
                .set_item(Some(item_from(item)))
                .build();
            WriteRequest::builder()
                .put_request(put.expect("it has an item"))
                .build()
        });
        let mut left = Some(requests.collect::<Vec<_>>());
        while let Some(requests) = left {
            let request = client.batch_write_item().request_items(table, requests);
            let answer = request.send().await.expect("the table accepts them");
            left = answer.unprocessed_items.and_then(|mut it| it.remove(table));
        }
    }
}
