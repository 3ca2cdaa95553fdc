//! The world of a test: a table, the functions, the gateway, and a guard of the log.

mod calls;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use dynoxide::Database;
use session_cleanup_local::functions::Functions;
use session_cleanup_local::gateway::Gateway;
use session_cleanup_local::template::{FunctionName, Template};
use session_domain::{Days, Shards};
use session_functions::authorize::TimeLimits;
use session_functions::environment::Environment;
use session_lifecycle::Sessions;
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::dynamodb::Table;

use crate::clock::{NOW, at};
use crate::database::DynamoDb;
use crate::fault_proxy::{Fault, FaultProxy, Request};
use crate::log::{self, LogGuard};
use crate::tokens::Tokens;

pub use self::calls::{CLEANUP, CLEANUPS, STATS};
pub use self::records::{session_id, user_id};

/// Timeouts of the functions.
pub struct Limits {
    pub authorizer: TimeLimits,
    /// Timeouts after which Lambda ends an invocation.
    pub timeouts: BTreeMap<FunctionName, Duration>,
}

impl Limits {
    /// Timeouts that even a busy machine does not reach.
    #[must_use]
    pub fn patient() -> Self {
        let hour = Duration::from_hours(1);
        Self {
            authorizer: TimeLimits {
                decision: hour,
                keys: hour,
            },
            timeouts: FunctionName::ALL.map(|function| (function, hour)).into(),
        }
    }
}

pub struct World {
    pub dynamodb: DynamoDb,
    pub client: Client,
    pub functions: Arc<Functions>,
    pub gateway: Gateway,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub log: LogGuard,
}

impl World {
    /// Starts a world with an empty table.
    pub async fn new() -> Self {
        Self::with([]).await
    }

    /// Starts a world. `variables` add to the default variables of the functions, or replace them.
    pub async fn with<const N: usize>(variables: [(&'static str, &str); N]) -> Self {
        Self::over(serve_table().await, variables, DynamoDb::client).await
    }

    /// Starts a world with a fault proxy between the functions and the table. The functions use
    /// this call policy. The test's own client does not go through the proxy.
    pub async fn with_faults<const N: usize>(
        patience: CallPolicy,
        variables: [(&'static str, &str); N],
        decide: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> (Self, FaultProxy) {
        let dynamodb = serve_table().await;
        let faults = FaultProxy::before(dynamodb.address(), decide).await;
        let world = Self::over(dynamodb, variables, |_| faults.client(patience)).await;
        (world, faults)
    }

    /// Starts a world with this table and this client of the functions.
    pub async fn over<const N: usize>(
        dynamodb: DynamoDb,
        variables: [(&'static str, &str); N],
        functions_client: impl FnOnce(&DynamoDb) -> Client,
    ) -> Self {
        Self::within(Limits::patient(), dynamodb, variables, functions_client).await
    }

    /// Starts a world whose functions have these timeouts.
    pub async fn within<const N: usize>(
        limits: Limits,
        dynamodb: DynamoDb,
        variables: [(&'static str, &str); N],
        functions_client: impl FnOnce(&DynamoDb) -> Client,
    ) -> Self {
        let log = LogGuard::start();
        let template = Template::read().expect("a valid template");
        let client = dynamodb.client();
        let tokens = Tokens::new();
        let mut all: BTreeMap<&str, String> = tokens.variables().into_iter().collect();
        all.insert("TABLE_NAME", dynamodb.table_name().to_owned());
        all.extend(variables.map(|(name, value)| (name, value.to_owned())));
        if let Some(secret) = all.get("JWT_SECRET") {
            log::forbid_in_log(secret);
        }
        let variables: Environment = all.into_iter().collect();
        let functions_client = functions_client(&dynamodb);
        let now = at(NOW);
        let Limits {
            authorizer,
            timeouts,
        } = limits;
        // The future of the start is large.
        let starting = Functions::start(&variables, &functions_client, timeouts, now, authorizer);
        let functions = Box::pin(starting).await.expect("valid variables");
        let functions = Arc::new(functions);
        let gateway = Gateway::new(
            Arc::clone(&functions),
            template.routes,
            template.gateway_responses,
        );
        let table = Table::new(client.clone(), dynamodb.table_name(), Shards::default());
        let sessions = Sessions::new(table, Days(30));
        Self {
            dynamodb,
            client,
            functions,
            gateway,
            tokens,
            sessions,
            log,
        }
    }

    /// Name of the table.
    #[must_use]
    pub fn table_name(&self) -> &str {
        self.dynamodb.table_name()
    }
}

/// Starts a DynamoDB with the template's table, empty.
pub async fn serve_table() -> DynamoDb {
    DynamoDb::start().await
}

/// Serves the template's table in this database, on a free port.
pub async fn serve(database: Database) -> DynamoDb {
    DynamoDb::embedded(database).await
}
