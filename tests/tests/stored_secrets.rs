//! A shared secret from AWS Secrets Manager: read, read again, rotated, out of reach.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Config, Credentials, Region};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_tests::key_server::SecretsManager;
use session_cleanup_tests::{DAY, NOW};
use session_lifecycle::domain::Timestamp;
use session_lifecycle::keys::{CachedKeys, FetchError, Keys, SecretReference, StoredSecret};
use session_lifecycle::token::{InvalidToken, NotVerified, TokenRules, TokenVerifier};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:jwt-AbCdEf";

/// Three secrets of 32 bytes, the least for HS256.
const SECRETS: [&str; 3] = [
    "0123456789abcdef0123456789abcdef",
    "fedcba9876543210fedcba9876543210",
    "an other secret, as long as those",
];

fn text(secret: &str) -> Value {
    json!({ "SecretString": secret })
}

/// A verifier whose secret is `arn` in that Secrets Manager, started at [`NOW`].
async fn verifier(manager: &SecretsManager, arn: &str) -> Result<TokenVerifier, FetchError> {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(manager.endpoint())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .build();
    let reference = SecretReference::parse(arn).unwrap();
    let algorithm = Algorithm::HS256;
    let secret = StoredSecret::new(Client::from_conf(config), reference, algorithm);
    let keys = CachedKeys::load(Box::new(secret), Timestamp::from_seconds(NOW)).await?;
    let rules = TokenRules {
        algorithm,
        issuer: "issuer".to_owned(),
        audience: "api".to_owned(),
        leeway_seconds: 0,
    };
    Ok(TokenVerifier::new(rules, Keys::Cached(keys)))
}

/// Whether a token that this secret has signed is good at `now`.
async fn verifies(verifier: &TokenVerifier, secret: &str, now: i64) -> bool {
    let claims = json!({
        "iss": "issuer", "aud": "api", "sub": "ann", "sid": "s", "jti": "j", "exp": NOW,
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = encode(&Header::default(), &claims, &key).unwrap();
    match verifier.verify(&token, Timestamp::from_seconds(now)).await {
        Ok(_) => true,
        Err(NotVerified::Invalid(InvalidToken::Signature)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_secret_is_read_in_init_and_again_after_five_minutes() {
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(SECRETS[0]), NOW - DAY);
    let verifier = verifier(&manager, ARN).await.unwrap();
    let asked = |stage: &str| json!({ "SecretId": ARN, "VersionStage": stage });
    let mut requests = manager.requests();
    requests.sort_by_key(|it| it["VersionStage"].to_string());
    assert_eq!(requests, [asked("AWSCURRENT"), asked("AWSPREVIOUS")]);
    for (now, requests) in [(0, 0), (299, 0), (300, 2), (599, 0), (600, 2)] {
        assert!(verifies(&verifier, SECRETS[0], NOW + now).await);
        // A signature that does not fit is no reason to ask again.
        assert!(!verifies(&verifier, SECRETS[1], NOW + now).await);
        assert_eq!(manager.requests().len(), requests, "after {now}");
    }
}

#[tokio::test]
async fn while_a_rotation_runs_the_current_and_the_previous_version_verify() {
    let manager = SecretsManager::start().await;
    let [first, second, third] = SECRETS;
    manager.set("AWSCURRENT", text(first), NOW - 9 * DAY);
    let verifier = verifier(&manager, ARN).await.unwrap();
    let good = async |now| {
        let mut good = Vec::new();
        for secret in SECRETS {
            good.push(verifies(&verifier, secret, now).await);
        }
        good
    };
    assert_eq!(good(NOW).await, [true, false, false]);

    manager.set("AWSPENDING", text(second), NOW + 100);
    assert_eq!(good(NOW + 300).await, [true, false, false]);
    manager.set("AWSPREVIOUS", text(first), NOW - 9 * DAY);
    manager.set("AWSCURRENT", text(second), NOW + 100);
    assert_eq!(good(NOW + 600).await, [true, true, false]);
    // The label AWSPREVIOUS stays for ever; a day after the new version was made it is too old.
    assert_eq!(good(NOW + 99 + DAY).await, [true, true, false]);
    assert_eq!(good(NOW + 600 + DAY).await, [false, true, false]);

    manager.set("AWSPREVIOUS", text(second), NOW + 100);
    manager.set("AWSCURRENT", text(third), NOW + 9 * DAY);
    assert_eq!(good(NOW + 9 * DAY).await, [false, true, true]);
    // A previous version that fits no more is no harm.
    manager.set("AWSPREVIOUS", text("short"), NOW + 100);
    assert_eq!(good(NOW + 9 * DAY + 300).await, [false, false, true]);
}

#[tokio::test]
async fn a_secret_may_be_a_field_of_a_json_object() {
    let manager = SecretsManager::start().await;
    let object = json!({ "user": "x", "signing_key": SECRETS[0] }).to_string();
    manager.set("AWSCURRENT", text(&object), NOW);
    let field = verifier(&manager, &format!("{ARN}:signing_key::")).await;
    assert!(verifies(&field.unwrap(), SECRETS[0], NOW).await);
    // Without the field's name, the whole text is the secret.
    let whole = verifier(&manager, ARN).await.unwrap();
    assert!(verifies(&whole, &object, NOW).await);
    assert!(!verifies(&whole, SECRETS[0], NOW).await);
}

#[tokio::test]
async fn a_secret_that_cannot_serve_stops_the_init_with_a_sentence() {
    let manager = SecretsManager::start().await;
    let of_field = format!("{ARN}:key::");
    for (arn, value, problem) in [
        (ARN, text("short"), "must have 32 bytes or more for HS256"),
        (
            ARN,
            json!({ "SecretBinary": "AAAA" }),
            "is binary, and a text is needed",
        ),
        (&*of_field, text("not JSON"), "is no JSON object"),
        (&*of_field, text(r#"["key"]"#), "is no JSON object"),
        (
            &*of_field,
            text(r#"{"key":"a","key":"b"}"#),
            "is no JSON object in which each name stands once",
        ),
        (
            &*of_field,
            text(r#"{"other":"a"}"#),
            "has no text in its field \"key\"",
        ),
        (
            &*of_field,
            text(r#"{"key":["a"]}"#),
            "has no text in its field \"key\"",
        ),
        (
            &*of_field,
            text(r#"{"key":"short"}"#),
            "must have 32 bytes or more for HS256",
        ),
    ] {
        manager.set("AWSCURRENT", value, NOW);
        let error = verifier(&manager, arn).await.unwrap_err();
        assert!(matches!(error, FetchError::Unfit(_)), "{error}");
        let error = error.to_string();
        assert!(error.starts_with("JWT_SECRET_ARN: the secret "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    for code in ["ResourceNotFoundException", "AccessDeniedException"] {
        manager.fail(Some(code));
        let error = verifier(&manager, ARN).await.unwrap_err();
        assert!(matches!(error, FetchError::Unfit(_)), "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
}

#[tokio::test]
async fn a_secrets_manager_out_of_reach_leaves_the_secret_at_hand_for_a_day() {
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(SECRETS[0]), NOW);
    let verifier = verifier(&manager, ARN).await.unwrap();
    manager.fail(Some("ThrottlingException"));
    for now in [300, 330, DAY - 1] {
        assert!(verifies(&verifier, SECRETS[0], NOW + now).await);
    }
    let late = verifier
        .verify("e30.e30.", Timestamp::from_seconds(NOW + DAY))
        .await;
    assert!(
        matches!(late, Err(NotVerified::Invalid(InvalidToken::Header))),
        "nothing is fetched for what is no token: {late:?}"
    );
    let key = EncodingKey::from_secret(SECRETS[0].as_bytes());
    let token = encode(&Header::default(), &json!({}), &key).unwrap();
    let late = verifier
        .verify(&token, Timestamp::from_seconds(NOW + DAY))
        .await;
    assert!(matches!(late, Err(NotVerified::Keys(_))), "{late:?}");
}

#[tokio::test]
async fn an_init_without_secrets_manager_is_made_up_for_by_the_first_request() {
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(SECRETS[0]), NOW);
    manager.fail(Some("InternalServiceError"));
    let verifier = verifier(&manager, ARN).await.unwrap();
    manager.fail(None);
    assert!(verifies(&verifier, SECRETS[0], NOW).await);
}
