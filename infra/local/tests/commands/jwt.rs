//! The options for tokens: the user's own keys and claims.

use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_lifecycle::clock;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::running::{Running, command};
use crate::{complaint, ended, let_in, start};

const SECRET: &str = "a secret of this test that is long enough for HS512, which needs 64 bytes";

fn key(name: &str) -> String {
    format!("{}/../../tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Creates a file with this content in a temporary folder.
fn file(folder: &TempDir, content: &str) -> String {
    let path: PathBuf = folder.path().join("file");
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The claims that the banner prints for another program to sign.
fn claims(local: &Running, name: &str) -> Value {
    let mut lines = local.introduction.lines();
    lines
        .find(|line| line.contains(&format!("# {name} is")))
        .unwrap();
    serde_json::from_str(lines.next().unwrap()).unwrap()
}

#[tokio::test]
async fn accepts_tokens_signed_with_given_secret() {
    let folder = tempfile::tempdir().unwrap();
    // With a line end, as an editor writes it.
    let secret = file(&folder, &format!("{SECRET}\n"));
    let local = start(&[
        "--empty",
        "--jwt-secret",
        &secret,
        "--jwt-algorithm",
        "HS512",
        "--jwt-issuer",
        "https://id.example",
        "--jwt-audience",
        "my-api",
        "--jwt-leeway-seconds",
        "60",
    ]);
    // The stack signs its own tokens with it, too.
    let ready = local.exported("ADMIN");
    let header = jsonwebtoken::decode_header(ready).unwrap();
    assert_eq!(header.alg, Algorithm::HS512);
    assert_eq!(let_in(&local, ready).await, (200, json!(null)));

    let mut claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(ready).unwrap();
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("https://id.example"), &json!("my-api"))
    );
    let sign = |claims: &Value| {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        encode(&Header::new(Algorithm::HS512), claims, &key).unwrap()
    };
    assert_eq!(let_in(&local, &sign(&claims)).await, (200, json!(null)));
    // In the future, but within the leeway.
    let soon = (clock::now() + TimeDelta::seconds(50)).timestamp();
    claims["nbf"] = soon.into();
    assert_eq!(let_in(&local, &sign(&claims)).await, (200, json!(null)));
    claims["iss"] = "https://other.example".into();
    assert_eq!(
        let_in(&local, &sign(&claims)).await,
        (401, json!("Invalid token"))
    );
}

#[tokio::test]
async fn accepts_tokens_that_given_public_key_verifies() {
    let public = key("rsa.pub.pem");
    let local = start(&["--empty", "--jwt-public-key", &public]);
    assert!(local.introduction.contains("signed elsewhere, RS256"));
    let pem = std::fs::read(key("rsa.pem")).unwrap();
    let token = encode(
        &Header::new(Algorithm::RS256),
        &claims(&local, "READER"),
        &EncodingKey::from_rsa_pem(&pem).unwrap(),
    );
    assert_eq!(let_in(&local, &token.unwrap()).await, (200, json!(null)));
}

#[tokio::test]
async fn accepts_tokens_that_key_of_given_jwks_verifies() {
    let pem = std::fs::read(key("rsa.pem")).unwrap();
    let signing = EncodingKey::from_rsa_pem(&pem).unwrap();
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&signing, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some("one".to_owned());
    let set = json!({ "keys": [jwk] }).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let router = Router::new().route("/jwks.json", get(|| async { set }));
    let server = tokio::spawn(async { axum::serve(listener, router).await });

    let url_of_set = url.clone();
    let local = tokio::task::spawn_blocking(move || start(&["--empty", "--jwks", &url_of_set]));
    let local = local.await.unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("one".to_owned());
    let token = encode(&header, &claims(&local, "ADMIN"), &signing).unwrap();
    assert_eq!(let_in(&local, &token).await, (200, json!(null)));
    server.abort();
}

#[test]
fn reports_each_invalid_option_on_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(&folder, "short");
    let public = key("rsa.pub.pem");
    for (arguments, expected) in [
        (
            &["--jwt-secret", &*secret][..],
            &["--jwt-secret must have 32 bytes or more for HS256"][..],
        ),
        (
            &[
                "--jwt-algorithm",
                "HS257",
                "--jwt-leeway-seconds",
                "121",
                "--jwt-issuer",
                "",
            ],
            &[
                "--jwt-algorithm is \"HS257\"",
                "--jwt-issuer is missing",
                "--jwt-leeway-seconds is \"121\"",
            ],
        ),
        (
            &["--jwks", "http://id.example/"],
            &["--jwks-url must be an https URL"],
        ),
        (
            &[
                "--jwt-public-key",
                &*public,
                "--jwks",
                "https://id.example/",
            ],
            &["--jwt-public-key and --jwks-url are set (one of them)"],
        ),
        (
            &["--jwt-algorithm", "RS256"],
            &["error: --jwt-public-key or --jwks-url is needed for RS256"],
        ),
        (
            &["--jwt-public-key", &*secret],
            &["--jwt-public-key must be the PEM of a public key"],
        ),
    ] {
        let output = ended(command(&[&["local"], arguments].concat()));
        let complaint = complaint(&output);
        let lines: Vec<_> = complaint.trim_end().lines().collect();
        assert_eq!(lines.len(), expected.len(), "{complaint}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(
                line.starts_with("error: ") && line.contains(expected),
                "{complaint}"
            );
        }
        assert!(!complaint.contains("short"), "{complaint}");
    }
}
