//! AWS Secrets Manager with one secret.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::serve;
use crate::log::{LogGuard, forbid_in_log};

const STAGES: [&str; 2] = ["AWSCURRENT", "AWSPREVIOUS"];

/// AWS Secrets Manager with one secret: its versions by staging label.
pub struct SecretsManager {
    address: SocketAddr,
    vault: Arc<Mutex<Vault>>,
    server: JoinHandle<()>,
    /// Checks the log, because a test may have no world.
    _log: LogGuard,
}

/// A version of the secret: the members of `GetSecretValue`'s answer, and its creation time.
#[derive(Debug, Clone)]
pub struct SecretVersion {
    pub value: Value,
    /// Creation time in epoch seconds, or `None` for an answer without a date.
    pub created_at: Option<i64>,
}

#[derive(Default)]
struct Vault {
    /// Versions by staging label.
    versions: HashMap<&'static str, SecretVersion>,
    /// Error codes by staging label. `None` means no answer at all.
    failures: HashMap<&'static str, Option<&'static str>>,
    /// The versions from the next request on.
    next: Option<HashMap<&'static str, SecretVersion>>,
    requests: Vec<Value>,
}

impl SecretsManager {
    pub async fn start() -> Self {
        let log = LogGuard::start();
        let vault = Arc::default();
        let router = Router::new()
            .fallback(secret_value)
            .with_state(Arc::clone(&vault));
        let (address, server) = serve(router).await;
        Self {
            address,
            vault,
            server,
            _log: log,
        }
    }

    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the version of a staging label, by the members of `GetSecretValue`'s answer.
    pub fn set(&self, stage: &'static str, value: Value, created_at: i64) {
        let created_at = Some(created_at);
        self.label(stage, SecretVersion { value, created_at });
    }

    /// Sets the version of a staging label.
    pub fn label(&self, stage: &'static str, version: SecretVersion) {
        keep(&version);
        self.vault().versions.insert(stage, version);
    }

    /// Removes a staging label.
    pub fn take_away(&self, stage: &'static str) {
        self.vault().versions.remove(stage);
    }

    /// Sets these versions after the next request.
    pub fn rotate_after_next_request(
        &self,
        versions: impl IntoIterator<Item = (&'static str, SecretVersion)>,
    ) {
        let versions: HashMap<_, _> = versions.into_iter().collect();
        versions.values().for_each(keep);
        self.vault().next = Some(versions);
    }

    /// Makes all requests fail with this code, or succeed again.
    pub fn fail(&self, code: Option<&'static str>) {
        let mut vault = self.vault();
        vault.failures.clear();
        if code.is_some() {
            vault.failures.extend(STAGES.map(|stage| (stage, code)));
        }
    }

    /// Makes the requests for one label fail with this code, or get no answer.
    pub fn fail_about(&self, stage: &'static str, code: Option<&'static str>) {
        self.vault().failures.insert(stage, code);
    }

    /// The requests since the last call of this method.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        std::mem::take(&mut self.vault().requests)
    }

    fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn secret_value(
    State(vault): State<Arc<Mutex<Vault>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    assert_eq!(target, Some("secretsmanager.GetSecretValue"));
    let request: Value = serde_json::from_slice(&body).expect("JSON");
    let stage = request["VersionStage"]
        .as_str()
        .expect("a stage")
        .to_owned();
    let answer = answer_about(&vault, request, &stage);
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

/// The answer for a label, or `None` for no answer.
fn answer_about(vault: &Mutex<Vault>, request: Value, stage: &str) -> Option<Response> {
    let mut vault = vault.lock().expect("the lock is not poisoned");
    vault.requests.push(request);
    let failure = |code| {
        let body = json!({ "__type": code, "Message": "no" });
        (StatusCode::BAD_REQUEST, Json(body)).into_response()
    };
    let answer = match (vault.failures.get(stage), vault.versions.get(stage)) {
        (Some(code), _) => code.map(failure),
        (None, None) => Some(failure("ResourceNotFoundException")),
        (None, Some(version)) => {
            let mut body = version.value.clone();
            // The version ID is a hash of the value. No two versions have the same value.
            body["VersionId"] = id(&version.value.to_string()).into();
            if let Some(created_at) = version.created_at {
                body["CreatedDate"] = json!(created_at);
            }
            body["VersionStages"] = json!([stage]);
            Some(Json(body).into_response())
        }
    };
    if let Some(versions) = vault.next.take() {
        vault.versions = versions;
    }
    answer
}

/// A version ID, which may appear in the log, unlike the value.
fn id(value: &str) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().to_string()
}

/// Forbids the value in the log. The names in a JSON object are not secret.
fn keep(version: &SecretVersion) {
    let text = version.value["SecretString"].as_str();
    if let Some(secret) = text.filter(|it| !it.starts_with('{')) {
        forbid_in_log(secret);
    }
}
