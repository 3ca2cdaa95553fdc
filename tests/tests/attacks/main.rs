//! The attacks on tokens that are known, each against the authorizer as it is configured for the
//! algorithm that it is about, with a live session behind. Beside what is refused stands what
//! differs from it in nothing else and is let in.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

mod algorithm;
mod claims;
mod edwards;
mod elliptic;
mod embedded;
mod form;
mod header;
mod keys;
mod rsa;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use jsonwebtoken::Algorithm;
use serde_json::Value;
use session_cleanup_tests::forging::{Target, verifier};
use session_lifecycle::keys::read_jwks;
use tokio::net::TcpListener;

/// A server on this machine that answers every request with one document, and counts them.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    async fn start(document: &Value) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let document = document.to_string();
        let answer = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            document
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// An authorizer that fetches this JWK Set.
async fn target_of_set(algorithm: Algorithm, set: &Value) -> Target {
    let server = Server::start(set).await;
    let keys = read_jwks(set.to_string().as_bytes(), algorithm).unwrap();
    let name = format!("{algorithm:?}");
    let variables = [
        ("JWT_ALGORITHM", name.as_str()),
        ("JWT_SECRET", ""),
        ("JWKS_URL", &server.url()),
    ];
    Target::new(variables, verifier(algorithm, keys)).await
}
