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
    /// There may be no world that watches the log.
    _log: LogGuard,
}

/// A version of the secret: the members of `GetSecretValue`'s answer, and when it was created.
#[derive(Debug, Clone)]
pub struct SecretVersion {
    pub value: Value,
    /// In epoch seconds; nothing where the answer has no date.
    pub created_at: Option<i64>,
}

#[derive(Default)]
struct Vault {
    /// By staging label.
    versions: HashMap<&'static str, SecretVersion>,
    /// By staging label: the code of the error that is answered instead, or nothing for silence.
    failures: HashMap<&'static str, Option<&'static str>>,
    /// What the labels mean once the next request is answered.
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

    /// Gives a staging label to a version with these members of `GetSecretValue`'s answer.
    pub fn set(&self, stage: &'static str, value: Value, created_at: i64) {
        let created_at = Some(created_at);
        self.label(stage, SecretVersion { value, created_at });
    }

    /// Gives a staging label to a version.
    pub fn label(&self, stage: &'static str, version: SecretVersion) {
        keep(&version);
        self.vault().versions.insert(stage, version);
    }

    /// Takes a staging label away.
    pub fn take_away(&self, stage: &'static str) {
        self.vault().versions.remove(stage);
    }

    /// Gives the labels to these versions as soon as the next request is answered.
    pub fn rotate_after_next_request(
        &self,
        versions: impl IntoIterator<Item = (&'static str, SecretVersion)>,
    ) {
        let versions: HashMap<_, _> = versions.into_iter().collect();
        versions.values().for_each(keep);
        self.vault().next = Some(versions);
    }

    /// Makes all requests fail with this code, or none.
    pub fn fail(&self, code: Option<&'static str>) {
        let mut vault = self.vault();
        vault.failures.clear();
        if code.is_some() {
            vault.failures.extend(STAGES.map(|stage| (stage, code)));
        }
    }

    /// Makes the requests about one label fail with this code, or get no answer.
    pub fn fail_about(&self, stage: &'static str, code: Option<&'static str>) {
        self.vault().failures.insert(stage, code);
    }

    /// The requests since the last call of this.
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

/// The answer about a label; nothing for silence.
fn answer_about(vault: &Mutex<Vault>, request: Value, stage: &str) -> Option<Response> {
    let mut vault = vault.lock().expect("nobody panics with it");
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
            // A version is its value: here, none has the same as another.
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

/// An id of a version that the log may show, which may not show the value.
fn id(value: &str) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish().to_string()
}

/// The log may not show its value; the names in a JSON object are no secrets.
fn keep(version: &SecretVersion) {
    let text = version.value["SecretString"].as_str();
    if let Some(secret) = text.filter(|it| !it.starts_with('{')) {
        forbid_in_log(secret);
    }
}
