//! Servers of keys that count the requests and return what the test sets: a JWK Set over HTTP or
//! HTTPS, and AWS Secrets Manager as far as the authorizer uses it.

mod named_key;
mod secrets_manager;
mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::named_key::NamedKey;
pub use self::secrets_manager::{SecretVersion, SecretsManager};
pub use self::tls::Tls;

/// The answer of a key server.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Delay of the answer.
    pub delay: Duration,
}

impl Answer {
    /// A JWK Set of these keys, without headers for caching.
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

    /// Sets the answer from now on.
    pub fn set(&self, answer: Answer) {
        self.served().answer = answer;
    }

    /// Number of requests since the last call of this method.
    #[must_use]
    pub fn requests(&self) -> usize {
        std::mem::take(&mut self.served().requests)
    }

    fn served(&self) -> MutexGuard<'_, Served> {
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
        let mut served = served.lock().expect("the lock is not poisoned");
        served.requests += 1;
        served.answer.clone()
    };
    tokio::time::sleep(answer.delay).await;
    let status = StatusCode::from_u16(answer.status).expect("a status");
    let headers = answer.headers.into_iter();
    let headers = headers.map(|(name, value)| {
        let value = value.parse().expect("a header value");
        (name.parse().expect("a header name"), value)
    });
    (status, headers.collect::<HeaderMap>(), answer.body).into_response()
}

async fn serve(router: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let serving = async move {
        axum::serve(listener, router)
            .await
            .expect("the server runs");
    };
    (address, tokio::spawn(serving))
}
