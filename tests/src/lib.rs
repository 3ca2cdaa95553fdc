//! The world that the tests act in: a DynamoDB with the template's table, embedded as a rule, the four
//! functions, the gateway, and a clock that the test holds.
#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    clippy::missing_panics_doc,
    reason = "this is test code: what fails here fails the test"
)]

pub mod authorizing;
pub mod cost;
pub mod database;
pub mod emulator;
pub mod events;
pub mod faults;
pub mod forging;
pub mod key_server;
pub mod log;
pub mod measuring;
pub mod metrics;
pub mod model;
pub mod process;
pub mod sample;
pub mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::{HeaderMap, HeaderValue, Method};
use chrono::{DateTime, Utc};
use dynoxide::Database;
use serde_json::{Value, json};
use session_cleanup_local::functions::Functions;
use session_cleanup_local::gateway::{ApiRequest, Gateway};
use session_cleanup_local::template::{FunctionName, Template};
use session_cleanup_local::tokens::Bearer;
use session_domain::{Days, SessionId, Shards, Timestamp, TokenId, UserId};
use session_functions::authorize::TimeLimits;
use session_functions::config::Variables;
use session_lifecycle::aws::Patience;
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::NewSession;
use session_lifecycle::{Created, Sessions};

use crate::database::DynamoDb;
use crate::faults::{Fault, Faults};
use crate::log::Watch;
use crate::tokens::Tokens;

/// When the tests take place: 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

pub const STATS: &str = "/api/v1/monitoring/sessions/stats";
pub const CLEANUP: &str = "/api/v1/monitoring/sessions/cleanup";
pub const CLEANUPS: &str = "/api/v1/monitoring/sessions/cleanups";

/// How long the functions may take.
pub struct Limits {
    pub authorizer: TimeLimits,
    /// As Lambda would end them.
    pub timeouts: BTreeMap<FunctionName, Duration>,
}

impl Limits {
    /// Limits for which no machine is too busy.
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

/// An item in DynamoDB JSON, as `{"pk": {"S": "…"}, …}`.
pub type Item = HashMap<String, AttributeValue>;

/// The time `seconds` after the epoch.
#[must_use]
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time that exists")
}

pub struct World {
    pub dynamodb: DynamoDb,
    pub client: Client,
    pub functions: Arc<Functions>,
    pub gateway: Gateway,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub log: Watch,
}

impl World {
    /// A world with an empty table.
    pub async fn new() -> Self {
        Self::with([]).await
    }

    /// A world whose functions have these variables beside or instead of the usual ones.
    pub async fn with<const N: usize>(variables: [(&'static str, &str); N]) -> Self {
        Self::over(serve_table().await, variables, DynamoDb::client).await
    }

    /// The same, where the functions meet faults on their way to the table, and wait for it as
    /// long as `patience`. The test's own client goes straight.
    pub async fn with_faults<const N: usize>(
        patience: Patience,
        variables: [(&'static str, &str); N],
        decide: impl Fn(&faults::Request) -> Fault + Send + Sync + 'static,
    ) -> (Self, Faults) {
        let dynamodb = serve_table().await;
        let faults = Faults::before(dynamodb.address(), decide).await;
        let world = Self::over(dynamodb, variables, |_| faults.client(patience)).await;
        (world, faults)
    }

    /// A world over this table, whose functions have this client.
    pub async fn over<const N: usize>(
        dynamodb: DynamoDb,
        variables: [(&'static str, &str); N],
        functions_client: impl FnOnce(&DynamoDb) -> Client,
    ) -> Self {
        Self::within(Limits::patient(), dynamodb, variables, functions_client).await
    }

    /// The same, whose functions take no longer than `limits`.
    pub async fn within<const N: usize>(
        limits: Limits,
        dynamodb: DynamoDb,
        variables: [(&'static str, &str); N],
        functions_client: impl FnOnce(&DynamoDb) -> Client,
    ) -> Self {
        let log = Watch::start();
        let template = Template::read().expect("the template can be read");
        let client = dynamodb.client();
        let tokens = Tokens::new();
        let mut all: BTreeMap<&str, String> = tokens.variables().into_iter().collect();
        all.insert("TABLE_NAME", dynamodb.table_name().to_owned());
        all.extend(variables.map(|(name, value)| (name, value.to_owned())));
        if let Some(secret) = all.get("JWT_SECRET") {
            log::keep_secret(secret);
        }
        let variables: Variables = all.into_iter().collect();
        let functions_client = functions_client(&dynamodb);
        let now = at(NOW);
        let Limits {
            authorizer,
            timeouts,
        } = limits;
        let functions = Functions::start(&variables, &functions_client, timeouts, now, authorizer)
            .await
            .expect("the variables are right");
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

    /// The name of the table.
    #[must_use]
    pub fn table_name(&self) -> &str {
        self.dynamodb.table_name()
    }

    /// Opens a session that ends at `expires_at`.
    pub async fn open(&self, user: &str, session: &str, expires_at: i64) {
        let new = NewSession {
            user: user_id(user),
            session: session_id(session),
            expires_at: Timestamp::from_seconds(expires_at),
            ip_address: None,
            user_agent: None,
        };
        let created_at = Timestamp::from_seconds((expires_at - HOUR).min(NOW));
        let created = self
            .sessions
            .create(new, created_at)
            .await
            .expect("the store takes it");
        assert_eq!(created, Created::Stored);
    }

    /// Blacklists a token whose own end is `expires_at`.
    pub async fn blacklist(&self, user: &str, token: &str, expires_at: i64) {
        let token = TokenId::parse(token).expect("a token id");
        self.sessions
            .blacklist(&user_id(user), &token, Timestamp::from_seconds(expires_at))
            .await
            .expect("the store takes it");
    }

    /// Stores a refresh token that ends at `expires_at`.
    pub async fn refresh_token(&self, user: &str, token: &str, expires_at: i64) {
        self.sessions
            .add_refresh_token(
                &user_id(user),
                &session_id("any"),
                token,
                Timestamp::from_seconds(expires_at),
            )
            .await
            .expect("the store takes it");
    }

    /// Stores an item as it is, as a writer in any language might.
    pub async fn put(&self, item: Value) {
        self.client
            .put_item()
            .table_name(self.table_name())
            .set_item(Some(item_from(&item)))
            .send()
            .await
            .expect("the store takes it");
    }

    /// The item with this key.
    pub async fn item(&self, pk: &str, sk: &str) -> Option<Item> {
        self.client
            .get_item()
            .table_name(self.table_name())
            .key("pk", AttributeValue::S(pk.to_owned()))
            .key("sk", AttributeValue::S(sk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .expect("the store answers")
            .item
    }

    /// The row of a session.
    pub async fn session(&self, user: &str, session: &str) -> Option<Item> {
        self.item(&format!("USER#{user}"), &format!("SESSION#{session}"))
            .await
    }

    /// Every item of the table.
    pub async fn items(&self) -> Vec<Item> {
        self.client
            .scan()
            .table_name(self.table_name())
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .expect("the store answers")
    }

    /// Every item of the table but the reports, by key.
    pub async fn records(&self) -> Vec<(String, Item)> {
        let mut records: Vec<_> = self
            .items()
            .await
            .into_iter()
            .filter(|item| text(item, "pk") != "CLEANUP")
            .map(|item| (format!("{} {}", text(&item, "pk"), text(&item, "sk")), item))
            .collect();
        records.sort_by(|a, b| a.0.cmp(&b.0));
        records
    }

    /// Invokes the cleanup at `now`.
    pub async fn clean_up(&self, event: Value, now: i64) -> Value {
        self.functions
            .invoke(FunctionName::Cleanup, &event, at(now))
            .await
            .expect("the cleanup does its work")
    }

    /// Signs a token that is good for an hour after [`NOW`].
    #[must_use]
    pub fn token(&self, user: &str, session: &str, scope: &str) -> String {
        self.tokens.sign(Bearer {
            user,
            session,
            scope,
            expires_at: at(NOW + HOUR),
        })
    }

    /// Opens a live session and signs a token for it.
    pub async fn login(&self, user: &str, scope: &str) -> String {
        self.open(user, "login", NOW + HOUR).await;
        self.token(user, "login", scope)
    }

    /// Calls the API at [`NOW`] through gateway and authorizer; the status and the body.
    pub async fn call(&self, method: Method, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header value");
            headers.insert("authorization", value);
        }
        self.call_with(method, path, headers).await
    }

    /// Calls the API at [`NOW`] with these headers; the status and the body.
    pub async fn call_with(&self, method: Method, path: &str, headers: HeaderMap) -> (u16, Value) {
        let values = headers.values().filter_map(|it| it.to_str().ok());
        values.for_each(log::keep_value);
        let uri = path.parse().expect("a path");
        let request = ApiRequest {
            method,
            uri,
            headers,
            body: None,
        };
        let response = self.gateway.serve_at(&request, at(NOW)).await;
        let body = serde_json::from_str(&response.body).expect("the body is JSON");
        (response.status.as_u16(), body)
    }
}

/// The template's table, empty.
pub async fn serve_table() -> DynamoDb {
    DynamoDb::start().await
}

/// Serves the template's table in this database, on a free port.
pub async fn serve(database: Database) -> DynamoDb {
    DynamoDb::embedded(database).await
}

#[must_use]
pub fn user_id(id: &str) -> UserId {
    UserId::parse(id).expect("a user id")
}

#[must_use]
pub fn session_id(id: &str) -> SessionId {
    SessionId::parse(id).expect("a session id")
}

/// Reads an item in DynamoDB JSON.
#[must_use]
pub fn item_from(json: &Value) -> Item {
    let attributes = json.as_object().expect("an item is an object");
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

fn attribute(json: &Value) -> AttributeValue {
    let (kind, value) = json
        .as_object()
        .and_then(|it| it.iter().next())
        .expect("a typed value");
    let text = || value.as_str().expect("text").to_owned();
    let texts = || {
        let list = value.as_array().expect("a list");
        list.iter()
            .map(|it| it.as_str().expect("text").to_owned())
            .collect()
    };
    let bytes = |text: &str| aws_sdk_dynamodb::primitives::Blob::new(text.as_bytes());
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(bytes(&text())),
        "BOOL" => AttributeValue::Bool(value.as_bool().expect("a boolean")),
        "NULL" => AttributeValue::Null(true),
        "SS" => AttributeValue::Ss(texts()),
        "NS" => AttributeValue::Ns(texts()),
        "BS" => AttributeValue::Bs(texts().iter().map(|text: &String| bytes(text)).collect()),
        "L" => AttributeValue::L(
            value
                .as_array()
                .expect("a list")
                .iter()
                .map(attribute)
                .collect(),
        ),
        "M" => AttributeValue::M(item_from(value)),
        other => panic!("no type of DynamoDB: {other}"),
    }
}

/// The counts of a report that are not zero.
#[must_use]
pub fn counts(report: &Value) -> BTreeMap<String, u64> {
    const COUNTS: [&str; 9] = [
        "sessions_deactivated",
        "sessions_deleted",
        "refresh_tokens_deleted",
        "blacklisted_tokens_deleted",
        "changed_elsewhere",
        "reindexed",
        "adopted",
        "malformed",
        "failed",
    ];
    COUNTS
        .into_iter()
        .map(|name| (name.to_owned(), report[name].as_u64().expect("a count")))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Expected counts, for comparing with [`counts`].
#[must_use]
pub fn only<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect()
}

/// An active session as a writer in any language stores it, by the contract.
#[must_use]
pub fn active_session(user: &str, session: &str, expires_at: i64) -> Value {
    json!({
        "pk": { "S": format!("USER#{user}") },
        "sk": { "S": format!("SESSION#{session}") },
        "user_id": { "S": user },
        "session_id": { "S": session },
        "is_active": { "BOOL": true },
        "created_at": { "N": (expires_at - HOUR).to_string() },
        "expires_at": { "N": expires_at.to_string() },
        "due_key": { "S": "deactivate#07" },
        "due_at": { "N": expires_at.to_string() },
        "ttl": { "N": (expires_at + 30 * DAY).to_string() },
    })
}

/// An inactive session likewise.
#[must_use]
pub fn inactive_session(user: &str, session: &str, deactivated_at: i64) -> Value {
    let end = (deactivated_at + 30 * DAY).to_string();
    let mut item = active_session(user, session, deactivated_at);
    item["is_active"] = json!({ "BOOL": false });
    item["deactivated_at"] = json!({ "N": deactivated_at.to_string() });
    item["deactivation_reason"] = json!({ "S": "logout" });
    item["due_key"] = json!({ "S": "delete#07" });
    item["due_at"] = json!({ "N": end });
    item["ttl"] = json!({ "N": end });
    item
}

/// A number attribute.
#[must_use]
pub fn number(item: &Item, name: &str) -> i64 {
    item[name]
        .as_n()
        .expect("a number")
        .parse()
        .expect("a whole number")
}

/// A text attribute.
#[must_use]
pub fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item[name].as_s().expect("text")
}
