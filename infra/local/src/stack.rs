//! The stack: the embedded DynamoDB, the functions, and the gateway in front of them.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use dynoxide::Database;
use serde_json::{Value, json};
use session_functions::authorize::TimeLimits;
use session_functions::environment::Environment;
use session_lifecycle::Sessions;
use session_lifecycle::clock;
use tokio::net::TcpListener;

use crate::dynamodb::{EmbeddedDynamoDb, EmbeddedError, TABLE_NAME};
use crate::functions::{Functions, StartError};
use crate::gateway::Gateway;
use crate::template::Template;

/// Error of the stack's start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The embedded DynamoDB cannot be started.
    #[error(transparent)]
    DynamoDb(#[from] EmbeddedError),
    /// A function cannot be started.
    #[error(transparent)]
    Configuration(#[from] StartError),
}

/// The running stack.
pub struct Stack {
    /// The template.
    pub template: Template,
    /// The embedded DynamoDB.
    pub dynamodb: EmbeddedDynamoDb,
    /// The functions.
    pub functions: Arc<Functions>,
    /// The API in front of them.
    pub gateway: Arc<Gateway>,
}

impl Stack {
    /// Starts the stack of a template with a database, whose endpoint listens on `listener`.
    /// `variables` configure which tokens the authorizer accepts.
    ///
    /// # Errors
    ///
    /// DynamoDB or a function cannot be started.
    pub async fn start(
        template: Template,
        database: Database,
        listener: TcpListener,
        variables: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, StackError> {
        let dynamodb = EmbeddedDynamoDb::start(database, listener, &template.table)?;
        let variables: Environment = variables
            .into_iter()
            .chain([
                ("TABLE_NAME", TABLE_NAME.to_owned()),
                ("STACK_NAME", "local".to_owned()),
            ])
            .collect();
        let (client, timeouts) = (dynamodb.client(), template.timeouts.clone());
        let (now, limits) = (clock::now(), TimeLimits::INTERACTIVE);
        let functions = Functions::start(&variables, &client, timeouts, now, limits).await?;
        let functions = Arc::new(functions);
        let gateway = Arc::new(Gateway::new(
            Arc::clone(&functions),
            template.routes.clone(),
            template.gateway_responses.clone(),
        ));
        Ok(Self {
            template,
            dynamodb,
            functions,
            gateway,
        })
    }

    /// The sessions in the table, as an application uses them.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.dynamodb.sessions()
    }
}

/// The event of a scheduled EventBridge rule.
#[must_use]
pub fn scheduled_event(now: DateTime<Utc>) -> Value {
    json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:000000000000:rule/hourly-cleanup"],
        "detail": {},
    })
}
