//! The embedded DynamoDB, and its endpoint for any AWS client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{self as http_client, Connector};
use dynoxide::types::Item;
use dynoxide::{Database, DynoxideError, ImportOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use session_domain::{Days, Shards};
use session_lifecycle::Sessions;
use session_lifecycle::dynamodb::Table;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Name of the table in the local stack.
pub const TABLE_NAME: &str = "sessions";

/// A running embedded DynamoDB.
pub struct EmbeddedDynamoDb {
    database: Database,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), String>>,
}

/// Error of the embedded DynamoDB.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DynoxideError),
    /// `CreateTable` rejects the template's table.
    #[error("cannot create the table of template.yaml")]
    Table(#[from] serde_json::Error),
    /// An I/O error.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Opens a database in a file, or in memory.
///
/// # Errors
///
/// The file cannot be opened, or is not a database.
pub fn open(file: Option<&Path>) -> Result<Database, DynoxideError> {
    match file {
        Some(file) => Database::new(&file.to_string_lossy()),
        None => Database::memory(),
    }
}

impl EmbeddedDynamoDb {
    /// Serves `database` on `listener`. Creates the template's table if it is missing.
    ///
    /// # Errors
    ///
    /// The table cannot be created.
    pub fn start(
        database: Database,
        listener: TcpListener,
        table: &Value,
    ) -> Result<Self, EmbeddedError> {
        let address = listener.local_addr()?;
        if database.get_table_metadata(TABLE_NAME)?.is_none() {
            create_table(&database, table)?;
        }
        let (stop, stopped) = oneshot::channel();
        let serving = dynoxide::server::serve_with_shutdown(listener, database.clone(), async {
            // A dropped sender stops the server, too.
            let _ = stopped.await;
        });
        Ok(Self {
            database,
            address,
            stop,
            server: tokio::spawn(serving),
        })
    }

    /// Address of the endpoint.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of this endpoint.
    #[must_use]
    pub fn client(&self) -> Client {
        client(self.address)
    }

    /// The sessions in the table, as an application uses them.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        let table = Table::new(self.client(), TABLE_NAME, Shards::default());
        Sessions::new(table, Days(30))
    }

    /// Deletes the records whose TTL has passed, as native TTL does. Returns their number.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn sweep_ttl(&self) -> Result<usize, DynoxideError> {
        self.database.sweep_ttl()
    }

    /// The items whose keys the table does not have yet.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub fn without_existing(&self, items: Vec<Item>) -> Result<Vec<Item>, DynoxideError> {
        let mut new = Vec::new();
        for item in items {
            let key = BTreeMap::from(["pk", "sk"].map(|name| (name, item.get(name))));
            let request = serde_json::json!({ "TableName": TABLE_NAME, "Key": key });
            let request = serde_json::from_value(request)
                .map_err(|error| DynoxideError::ValidationException(error.to_string()))?;
            if self.database.get_item(request)?.item.is_none() {
                new.push(item);
            }
        }
        Ok(new)
    }

    /// Stores all items, or none. Returns their number.
    ///
    /// # Errors
    ///
    /// The table rejects an item.
    pub fn import(&self, items: Vec<Item>) -> Result<usize, DynoxideError> {
        import(&self.database, items)
    }

    /// A handle of the database.
    #[must_use]
    pub fn database(&self) -> Database {
        self.database.clone()
    }

    /// Stops listening, and waits for the requests in progress.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.server.await;
    }
}

/// A client of a local endpoint, with dummy credentials. It ignores the proxy that environment
/// variables may name.
#[must_use]
pub fn client(address: SocketAddr) -> Client {
    let http = http_client::Builder::new().build_with_connector_fn(|_, _| {
        Connector::builder()
            .proxy_config(ProxyConfig::disabled())
            .build_http()
    });
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(format!("http://{address}"))
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        // The SDK's defaults are for a network. A busy machine may be slower.
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// Stores all items, or none. Returns their number.
pub(crate) fn import(database: &Database, items: Vec<Item>) -> Result<usize, DynoxideError> {
    let done = database.import_items(TABLE_NAME, items, ImportOptions::default())?;
    Ok(done.items_imported)
}

/// Creates the template's table. Its properties have the names of the DynamoDB API.
pub(crate) fn create_table(database: &Database, properties: &Value) -> Result<(), EmbeddedError> {
    fn request<T: DeserializeOwned>(properties: &Value, names: &[&str]) -> serde_json::Result<T> {
        let mut request = serde_json::json!({ "TableName": TABLE_NAME });
        for name in names {
            request[name] = properties[name].clone();
        }
        serde_json::from_value(request)
    }
    database.create_table(request(
        properties,
        &[
            "AttributeDefinitions",
            "KeySchema",
            "GlobalSecondaryIndexes",
            "BillingMode",
        ],
    )?)?;
    database.update_time_to_live(request(properties, &["TimeToLiveSpecification"])?)?;
    Ok(())
}
