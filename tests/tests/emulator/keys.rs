//! The authorizer with keys from a JWK Set and from AWS Secrets Manager.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::key_server::{Answer, KeyServer, NamedKey, SecretsManager, Tls};
use session_cleanup_tests::{HOUR, World};
use session_lifecycle::clock::Deadline;

use crate::{AUTHORIZER_EVENTS, now};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:jwt-AbCdEf";

/// Whether the authorizer allows a token, with the same result for each gateway.
async fn let_in(authorizer: &Emulator, token: &str) -> bool {
    let mut answers = Vec::new();
    for (name, _) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, token);
        let answer = authorizer.invoke(&event).await.unwrap();
        let error = &answer["context"]["error"];
        assert!(
            *error == Value::Null || *error == "Invalid token",
            "{answer}"
        );
        answers.push(error.is_null());
    }
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    answers[0]
}

fn claims(world: &World) -> Value {
    json!({
        "iss": world.tokens.variables()[2].1, "aud": world.tokens.variables()[3].1,
        "sub": "ann", "sid": "live", "jti": "j", "exp": now() + HOUR,
    })
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn jwks_keys_rotate_without_restart() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let (old, new, newer) = (
        NamedKey::new("old"),
        NamedKey::new("new"),
        NamedKey::new("newer"),
    );
    let server = KeyServer::start(Answer::keys(&[old.jwk()])).await;
    let variables = [
        ("JWT_ALGORITHM", "ES256"),
        ("JWT_SECRET", ""),
        ("JWKS_URL", &server.url()),
    ];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    let claims = claims(&world);
    assert!(let_in(&authorizer, &old.sign(&claims)).await);
    server.set(Answer::keys(&[old.jwk(), new.jwk()]));
    let deadline = Deadline::after(Duration::from_secs(25));
    assert!(let_in(&authorizer, &new.sign(&claims)).await);
    assert!(let_in(&authorizer, &old.sign(&claims)).await);
    assert_eq!(server.requests(), 2);
    assert!(!let_in(&authorizer, &newer.sign(&claims)).await);
    let searched = server.requests();
    let in_time = !deadline.remaining().is_zero();
    assert!(!in_time || searched == 0, "a fetch within thirty seconds");
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn fetches_jwks_over_tls_only_from_trusted_server() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let key = NamedKey::new("a");
    let server = KeyServer::start(Answer::keys(&[key.jwk()])).await;
    let tls = Tls::before(&server).await;
    let url = tls.url();
    let variables = [
        ("JWT_ALGORITHM", "ES256"),
        ("JWT_SECRET", ""),
        ("JWKS_URL", &url),
    ];
    let token = key.sign(&claims(&world));
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    for (name, _) in AUTHORIZER_EVENTS {
        let event = event_with_token(FunctionName::Authorizer, name, &token);
        let error = authorizer.invoke(&event).await.unwrap_err();
        assert!(error.contains("the keys cannot be fetched"), "{error}");
        assert!(error.contains("certificate"), "{error}");
    }
    assert_eq!(server.requests(), 0);

    let trusted = tls.certificate().to_str().unwrap();
    let [algorithm, secret, url] = variables;
    let variables = [algorithm, secret, url, ("SSL_CERT_FILE", trusted)];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    assert!(let_in(&authorizer, &token).await);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn init_reads_stored_secret_and_its_previous_version() {
    let world = World::new().await;
    world.open("ann", "live", now() + HOUR).await;
    let secrets = ["a".repeat(32), "b".repeat(32), "c".repeat(32)];
    let value = |secret: &str| {
        let object = json!({ "key": secret });
        json!({ "SecretString": object.to_string() })
    };
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", value(&secrets[0]), now());
    manager.set("AWSPREVIOUS", value(&secrets[1]), now() - HOUR);
    let arn = format!("{ARN}:key::");
    let endpoint = manager.endpoint();
    let variables = [
        ("JWT_SECRET", ""),
        ("JWT_SECRET_ARN", &arn),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &endpoint),
    ];
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    for (secret, good) in secrets.iter().zip([true, true, false]) {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let token = encode(&Header::default(), &claims(&world), &key).unwrap();
        assert_eq!(let_in(&authorizer, &token).await, good);
    }
    assert_eq!(manager.requests().len(), 2);

    manager.set("AWSCURRENT", value("short"), now());
    let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
    assert!(authorizer.invoke(&json!({})).await.is_err());
    let log = authorizer.log();
    assert_eq!(
        log[0]["message"],
        "JWT_SECRET_ARN: the secret must have 32 bytes or more for HS256"
    );
    assert_eq!(log.len(), 1, "{log:?}");
}
