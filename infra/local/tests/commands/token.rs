//! `cargo local token`.

use std::net::TcpListener;
use std::process::Output;

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::{Value, json};

use crate::running::{Running, command};
use crate::{assert_one_line, ended, let_in, start};

/// Runs `cargo local token` for this stack.
fn ask(local: &Running, arguments: &[&str]) -> Output {
    let port = local.address("API").rsplit(':').next().unwrap();
    ended(command(
        &[&["local", "token", "--port", port], arguments].concat(),
    ))
}

/// The single line that a command prints.
fn printed(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{text}");
    line.to_owned()
}

#[tokio::test]
async fn prints_token_that_authorizer_accepts() {
    let local = start(&["--empty"]);
    let output = ask(&local, &["--user", "ann", "--scope", "sessions:read"]);
    assert!(output.stderr.is_empty());
    let token = printed(&output);
    assert_eq!(let_in(&local, &token).await, (200, json!(null)));
    let claims: Value = insecure_decode_claims(&token).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["scope"]),
        (&json!("ann"), &json!("sessions:read"))
    );

    let token = printed(&ask(&local, &["--user", "ann", "--scope", "orders:read"]));
    assert_eq!(let_in(&local, &token).await, (403, json!("Forbidden")));
    let expired = ["--user", "ann", "--scope", "sessions:read", "--expired"];
    let token = printed(&ask(&local, &expired));
    assert_eq!(let_in(&local, &token).await, (401, json!("Token expired")));
}

#[tokio::test]
async fn issues_tokens_for_given_session() {
    let local = start(&["--empty"]);
    let arguments = [
        "--user",
        "ann",
        "--scope",
        "sessions:read",
        "--session",
        "s-1",
        "--hours",
        "1",
    ];
    let first = printed(&ask(&local, &arguments));
    // The session exists now, so the second token is for the same session.
    let second = printed(&ask(&local, &arguments));
    for token in [&first, &second] {
        let claims: Value = insecure_decode_claims(token).unwrap();
        assert_eq!(claims["sid"], "s-1");
        assert_eq!(let_in(&local, token).await, (200, json!(null)));
    }
    assert_ne!(first, second);
}

#[test]
fn explains_invalid_token_request() {
    let local = start(&["--empty"]);
    let long = "x".repeat(257);
    for (user, scope, session, expected) in [
        ("", "sessions:read", "s", "a user id must be"),
        (&*long, "sessions:read", "s", "a user id must be"),
        ("ann", "sessions:read", &*long, "a session id must be"),
        ("ann", "", "s", "scope must be"),
        ("ann", "a  b", "s", "scope must be"),
    ] {
        let arguments = ["--user", user, "--scope", scope, "--session", session];
        assert_one_line(&ask(&local, &arguments), expected);
    }
}

#[test]
fn explains_how_to_start_stack_if_none_runs() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let arguments = [
        "local", "token", "--user", "a", "--scope", "b", "--port", &port,
    ];
    assert_one_line(&ended(command(&arguments)), "start one with `cargo local`");
}

#[test]
fn detects_other_server_on_port() {
    let local = start(&["--empty"]);
    let port = local.address("DynamoDB").rsplit(':').next().unwrap();
    let arguments = [
        "local", "token", "--user", "a", "--scope", "b", "--port", port,
    ];
    assert_one_line(&ended(command(&arguments)), "is not `cargo local`");
}

#[tokio::test]
async fn prints_claims_to_sign_elsewhere_if_it_has_no_key() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/keys");
    let key = format!("{keys}/p256.pub.pem");
    let local = start(&[
        "--empty",
        "--jwt-public-key",
        &key,
        "--jwt-algorithm",
        "ES256",
    ]);
    let arguments = ["--user", "ann", "--scope", "sessions:read"];
    let output = ask(&local, &arguments);
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("no key to sign with") && told.contains("ES256"),
        "{told}"
    );
    assert!(told.contains("\"sid\""), "{told}");

    let claims = printed(&ask(&local, &[&arguments[..], &["--claims"]].concat()));
    let claims: Value = serde_json::from_str(&claims).unwrap();
    let pem = std::fs::read(format!("{keys}/p256.pem")).unwrap();
    let token = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256),
        &claims,
        &jsonwebtoken::EncodingKey::from_ec_pem(&pem).unwrap(),
    );
    assert_eq!(let_in(&local, &token.unwrap()).await, (200, json!(null)));
}
