//! Servers of keys: an identity provider's JWK Set over HTTP, and AWS Secrets Manager as far as
//! the authorizer asks it. Both answer what a test sets, and count what they are asked.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::log::{Watch, keep_secret};

/// What a key server answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// How long the answer takes.
    pub delay: Duration,
}

impl Answer {
    /// A JWK Set of these keys, without a word on how long to keep it.
    #[must_use]
    pub fn keys(keys: &[Value]) -> Self {
        Self::body(json!({ "keys": keys }).to_string())
    }

    #[must_use]
    pub fn body(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// An HTTP server of one document.
pub struct KeyServer {
    address: SocketAddr,
    served: Arc<Mutex<Served>>,
    server: JoinHandle<()>,
}

struct Served {
    answer: Answer,
    requests: usize,
}

impl KeyServer {
    pub async fn start(answer: Answer) -> Self {
        let served = Arc::new(Mutex::new(Served {
            answer,
            requests: 0,
        }));
        let router = Router::new()
            .fallback(document)
            .with_state(Arc::clone(&served));
        let (address, serving) = serve(router).await;
        Self {
            address,
            served,
            server: serving,
        }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Answers this from now on.
    pub fn set(&self, answer: Answer) {
        self.served().answer = answer;
    }

    /// How often it was asked since the last call of this.
    #[must_use]
    pub fn requests(&self) -> usize {
        std::mem::take(&mut self.served().requests)
    }

    fn served(&self) -> std::sync::MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn document(State(served): State<Arc<Mutex<Served>>>) -> Response {
    let answer = {
        let mut served = served.lock().expect("nobody panics with it");
        served.requests += 1;
        served.answer.clone()
    };
    tokio::time::sleep(answer.delay).await;
    let status = StatusCode::from_u16(answer.status).expect("a status");
    let headers = answer.headers.into_iter();
    let headers = headers.map(|(name, value)| {
        let value = value.parse().expect("a header's value");
        (name.parse().expect("a header's name"), value)
    });
    (status, headers.collect::<HeaderMap>(), answer.body).into_response()
}

async fn serve(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("its address");
    let serving = async move {
        axum::serve(listener, router).await.expect("it serves");
    };
    (address, tokio::spawn(serving))
}

/// HTTPS in front of a server of plain HTTP.
pub struct Tls {
    address: SocketAddr,
    certificate: NamedTempFile,
    server: JoinHandle<()>,
}

impl Tls {
    /// Passes on to `server` what arrives over TLS, under a certificate for 127.0.0.1 that no
    /// authority has signed.
    pub async fn before(server: &KeyServer) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a key");
        let mut certificate = NamedTempFile::new().expect("a file");
        certificate
            .write_all(own.cert.pem().as_bytes())
            .expect("the file takes it");
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a private key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("the key fits the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("its address");
        let plain = server.address;
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that does not trust the certificate hangs up.
                    let mut outside = acceptor.accept(stream).await?;
                    let mut inside = TcpStream::connect(plain).await?;
                    copy_bidirectional(&mut outside, &mut inside).await
                });
            }
        });
        Self {
            address,
            certificate,
            server,
        }
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    /// The file of the certificate, for a client that is to trust it.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A key pair for ES256 with its name, as an identity provider has it.
pub struct NamedKey {
    kid: String,
    key: EncodingKey,
}

impl NamedKey {
    #[must_use]
    pub fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key pair");
        let der = pair.to_pkcs8v1().expect("its encoding");
        Self {
            kid: kid.to_owned(),
            key: EncodingKey::from_ec_der(der.as_ref()),
        }
    }

    /// The public key as a JWK.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).expect("a public key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token of these claims, with this key's name in its header.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, claims, &self.key).expect("a token")
    }
}

const STAGES: [&str; 2] = ["AWSCURRENT", "AWSPREVIOUS"];

/// AWS Secrets Manager with one secret: its versions by staging label.
pub struct SecretsManager {
    address: SocketAddr,
    vault: Arc<Mutex<Vault>>,
    server: JoinHandle<()>,
    /// There may be no world that watches the log.
    _log: Watch,
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
        let log = Watch::start();
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

    fn vault(&self) -> std::sync::MutexGuard<'_, Vault> {
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
        keep_secret(secret);
    }
}
