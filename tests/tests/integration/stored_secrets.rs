//! A shared secret from AWS Secrets Manager: reading, reading again, rotation and failures.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::config::{
    BehaviorVersion, Config, Credentials, Region, StalledStreamProtectionConfig,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_tests::key_server::{SecretVersion, SecretsManager};
use session_cleanup_tests::log::LogGuard;
use session_cleanup_tests::{DAY, HOUR, NOW};
use session_domain::{Timestamp, error_chain};
use session_functions::key_sources::{SecretReference, StoredSecret};
use session_token::keys::{CachedKeys, FetchError, Keys};
use session_token::{InvalidToken, NotVerified, TokenRules, TokenVerifier};

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:jwt-AbCdEf";

/// Three secrets of 32 bytes, the minimum for HS256.
const SECRETS: [&str; 3] = [
    "0123456789abcdef0123456789abcdef",
    "fedcba9876543210fedcba9876543210",
    "an other secret, as long as those",
];

fn text(secret: &str) -> Value {
    json!({ "SecretString": secret })
}

/// A verifier with the secret `arn` of this Secrets Manager, started at [`NOW`].
async fn verifier(manager: &SecretsManager, arn: &str) -> Result<TokenVerifier, FetchError> {
    started(manager, arn, NOW, Duration::from_hours(1)).await
}

/// A verifier that was started at `now`, with this timeout.
async fn started(
    manager: &SecretsManager,
    arn: &str,
    now: i64,
    timeout: Duration,
) -> Result<TokenVerifier, FetchError> {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(manager.endpoint())
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "local"))
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .build();
    let reference = SecretReference::parse(arn).unwrap();
    let algorithm = Algorithm::HS256;
    let secret = StoredSecret::new(Client::from_conf(config), reference, algorithm);
    let keys = CachedKeys::load(Box::new(secret), Timestamp::from_seconds(now), timeout).await?;
    let rules = TokenRules::new(algorithm, "issuer", "api");
    Ok(TokenVerifier::new(rules, Keys::Cached(keys)))
}

/// A token signed with this secret.
fn token(secret: impl AsRef<[u8]>) -> String {
    let claims = json!({
        "iss": "issuer", "aud": "api", "sub": "ann", "sid": "s", "jti": "j", "exp": NOW,
    });
    let key = EncodingKey::from_secret(secret.as_ref());
    encode(&Header::default(), &claims, &key).unwrap()
}

/// Whether a token signed with this secret is valid at `now`.
async fn verifies(verifier: &TokenVerifier, secret: &str, now: i64) -> bool {
    let token = token(secret);
    match verifier.verify(&token, Timestamp::from_seconds(now)).await {
        Ok(_) => true,
        Err(NotVerified::Invalid(InvalidToken::Signature)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn reads_secret_in_init_and_again_after_five_minutes() {
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(SECRETS[0]), NOW - DAY);
    let verifier = verifier(&manager, ARN).await.unwrap();
    let asked = |stage: &str| json!({ "SecretId": ARN, "VersionStage": stage });
    // In this order, because of rotations between the two requests.
    assert_eq!(
        manager.requests(),
        [asked("AWSCURRENT"), asked("AWSPREVIOUS")]
    );
    for (now, requests) in [(0, 0), (299, 0), (300, 2), (599, 0), (600, 2)] {
        assert!(verifies(&verifier, SECRETS[0], NOW + now).await);
        // A wrong signature does not cause another request.
        assert!(!verifies(&verifier, SECRETS[1], NOW + now).await);
        assert_eq!(manager.requests().len(), requests, "after {now}");
    }
}

#[tokio::test]
async fn current_and_previous_secret_verify_during_rotation() {
    let manager = SecretsManager::start().await;
    let [first, second, third] = SECRETS;
    manager.set("AWSCURRENT", text(first), NOW - 9 * DAY);
    let verifier = verifier(&manager, ARN).await.unwrap();
    let good = async |now| good(&verifier, now).await;
    assert_eq!(good(NOW).await, [true, false, false]);

    manager.set("AWSPENDING", text(second), NOW + 100);
    assert_eq!(good(NOW + 300).await, [true, false, false]);
    manager.set("AWSPREVIOUS", text(first), NOW - 9 * DAY);
    manager.set("AWSCURRENT", text(second), NOW + 100);
    assert_eq!(good(NOW + 600).await, [true, true, false]);
    // The label AWSPREVIOUS stays forever; a day after the change was seen it is too old.
    assert_eq!(good(NOW + 599 + DAY).await, [true, true, false]);
    assert_eq!(good(NOW + 600 + DAY).await, [false, true, false]);

    manager.set("AWSPREVIOUS", text(second), NOW + 100);
    manager.set("AWSCURRENT", text(third), NOW + 9 * DAY);
    assert_eq!(good(NOW + 9 * DAY).await, [false, true, true]);
    // An unsuitable previous version is ignored.
    manager.set("AWSPREVIOUS", text("short"), NOW + 100);
    assert_eq!(good(NOW + 9 * DAY + 300).await, [false, false, true]);
}

fn version(secret: &str, created_at: i64) -> SecretVersion {
    SecretVersion {
        value: text(secret),
        created_at: Some(created_at),
    }
}

/// Which of [`SECRETS`] verify at `now`.
async fn good(verifier: &TokenVerifier, now: i64) -> Vec<bool> {
    let mut good = Vec::new();
    for secret in SECRETS {
        good.push(verifies(verifier, secret, now).await);
    }
    good
}

/// The new version was created three days before it became the current one.
#[tokio::test]
async fn staged_rotation_keeps_previous_secret_valid_for_a_day() {
    let manager = SecretsManager::start().await;
    let [first, second, _] = SECRETS;
    manager.set("AWSCURRENT", text(first), NOW - 90 * DAY);
    let running = verifier(&manager, ARN).await.unwrap();
    manager.set("AWSCURRENT", text(second), NOW - 3 * DAY);
    manager.set("AWSPREVIOUS", text(first), NOW - 90 * DAY);
    let fresh = verifier(&manager, ARN).await.unwrap();
    assert_eq!(good(&fresh, NOW).await, [true, true, false]);
    let seen_at = NOW + 300;
    for now in [seen_at, seen_at + DAY - 1] {
        assert_eq!(good(&running, now).await, [true, true, false], "{now}");
    }
    assert_eq!(good(&running, seen_at + DAY).await, [false, true, false]);
}

#[tokio::test]
async fn rollback_keeps_both_secrets_valid() {
    let manager = SecretsManager::start().await;
    let [first, second, _] = SECRETS;
    manager.set("AWSCURRENT", text(second), NOW - 2 * DAY);
    manager.set("AWSPREVIOUS", text(first), NOW - 40 * DAY);
    let running = verifier(&manager, ARN).await.unwrap();
    manager.set("AWSCURRENT", text(first), NOW - 40 * DAY);
    manager.set("AWSPREVIOUS", text(second), NOW - 2 * DAY);
    let fresh = verifier(&manager, ARN).await.unwrap();
    assert_eq!(good(&fresh, NOW).await, [true, true, false]);
    assert_eq!(good(&running, NOW + 300).await, [true, true, false]);
    assert_eq!(good(&running, NOW + 300 + DAY).await, [true, false, false]);
}

/// An instance that starts later cannot know the time of the change.
#[tokio::test]
async fn unseen_rotation_ends_grace_a_week_after_newer_version() {
    const WEEK: i64 = 7 * DAY;
    let [first, second, _] = SECRETS;
    for (current, previous, is_good) in [
        (Some(NOW - WEEK + 1), Some(NOW - 90 * DAY), true),
        (Some(NOW - WEEK), Some(NOW - 90 * DAY), false),
        (Some(NOW - 90 * DAY), Some(NOW - WEEK + 1), true),
        (Some(NOW - 90 * DAY), Some(NOW - WEEK), false),
        (None, Some(NOW - 90 * DAY), false),
        (Some(NOW - 90 * DAY), None, false),
        (None, None, false),
    ] {
        let manager = SecretsManager::start().await;
        for (stage, secret, created_at) in [
            ("AWSCURRENT", second, current),
            ("AWSPREVIOUS", first, previous),
        ] {
            let value = text(secret);
            manager.label(stage, SecretVersion { value, created_at });
        }
        let fresh = verifier(&manager, ARN).await.unwrap();
        let verify = good(&fresh, NOW).await;
        assert_eq!(verify, [is_good, true, false], "{current:?} {previous:?}");
    }
}

#[tokio::test]
async fn two_rotations_or_removed_label_end_grace() {
    let manager = SecretsManager::start().await;
    let [first, second, third] = SECRETS;
    manager.set("AWSCURRENT", text(first), NOW - DAY);
    let verifier = verifier(&manager, ARN).await.unwrap();
    manager.set("AWSCURRENT", text(second), NOW);
    manager.set("AWSPREVIOUS", text(first), NOW - DAY);
    assert_eq!(good(&verifier, NOW + 300).await, [true, true, false]);
    manager.set("AWSCURRENT", text(third), NOW + 301);
    manager.set("AWSPREVIOUS", text(second), NOW);
    assert_eq!(good(&verifier, NOW + 600).await, [false, true, true]);
    manager.take_away("AWSPREVIOUS");
    assert_eq!(good(&verifier, NOW + 900).await, [false, false, true]);
}

/// Between reading the two labels, the second one has moved.
#[tokio::test]
async fn rotation_between_reads_rejects_no_current_secret() {
    let manager = SecretsManager::start().await;
    let [retired, old, new] = SECRETS;
    manager.set("AWSCURRENT", text(old), NOW - 9 * DAY);
    manager.set("AWSPREVIOUS", text(retired), NOW - 90 * DAY);
    let rotated = [
        ("AWSCURRENT", version(new, NOW)),
        ("AWSPREVIOUS", version(old, NOW - 9 * DAY)),
    ];
    manager.rotate_after_next_request(rotated);
    let verifier = verifier(&manager, ARN).await.unwrap();
    assert_eq!(good(&verifier, NOW).await, [false, true, false]);
    assert_eq!(good(&verifier, NOW + 300).await, [false, true, true]);
}

/// Errors of reading a label; `None` means no response.
const TROUBLES: [Option<&str>; 4] = [
    Some("ThrottlingException"),
    Some("InternalServiceError"),
    Some("AccessDeniedException"),
    Some("DecryptionFailure"),
];

#[tokio::test]
async fn unreadable_previous_secret_does_not_affect_known_ones() {
    let [first, second, _] = SECRETS;
    for trouble in TROUBLES {
        let manager = SecretsManager::start().await;
        manager.set("AWSCURRENT", text(first), NOW - 9 * DAY);
        let verifier = verifier(&manager, ARN).await.unwrap();
        let log = LogGuard::start();
        manager.set("AWSCURRENT", text(second), NOW);
        manager.fail_about("AWSPREVIOUS", trouble);
        // The version that was current before is cached.
        for now in [NOW + 300, NOW + 299 + DAY] {
            let verify = good(&verifier, now).await;
            assert_eq!(verify, [true, true, false], "{trouble:?} {now}");
        }
        let verify = good(&verifier, NOW + 300 + DAY).await;
        assert_eq!(verify, [false, true, false], "{trouble:?}");
        assert!(
            !log.about("the previous secret could not be read")
                .is_empty()
        );
    }
}

/// The unreadable version may have signed the token, so the token must not be denied.
#[tokio::test]
async fn returns_error_for_token_of_unread_previous_secret() {
    let [first, second, _] = SECRETS;
    for trouble in ["ThrottlingException", "InternalServiceError"] {
        let manager = SecretsManager::start().await;
        manager.set("AWSCURRENT", text(second), NOW);
        manager.set("AWSPREVIOUS", text(first), NOW - 9 * DAY);
        manager.fail_about("AWSPREVIOUS", Some(trouble));
        let fresh = verifier(&manager, ARN).await.unwrap();
        assert!(verifies(&fresh, second, NOW).await);
        let token = token(first);
        let answer = fresh.verify(&token, Timestamp::from_seconds(NOW)).await;
        assert!(matches!(answer, Err(NotVerified::Keys(_))), "{answer:?}");
        // It is soon read again.
        manager.fail(None);
        assert_eq!(good(&fresh, NOW + 30).await, [true, true, false]);
    }
}

#[tokio::test]
async fn denied_previous_secret_does_not_prevent_start() {
    let [first, second, _] = SECRETS;
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(second), NOW);
    manager.set("AWSPREVIOUS", text(first), NOW - 9 * DAY);
    manager.fail_about("AWSPREVIOUS", Some("AccessDeniedException"));
    let fresh = verifier(&manager, ARN).await.unwrap();
    assert_eq!(good(&fresh, NOW).await, [false, true, false]);
}

/// A busy machine may exceed the timeout; then the test starts again.
#[tokio::test]
async fn hanging_read_of_previous_secret_ends_with_fetch_timeout() {
    let [first, second, _] = SECRETS;
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(second), NOW);
    manager.set("AWSPREVIOUS", text(first), NOW - 9 * DAY);
    manager.fail_about("AWSPREVIOUS", None);
    let token = token(second);
    let now = Timestamp::from_seconds(NOW);
    loop {
        let timeout = Duration::from_secs(1);
        let fresh = started(&manager, ARN, NOW, timeout).await.unwrap();
        if fresh.verify(&token, now).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn binary_secret_verifies_with_its_bytes() {
    let manager = SecretsManager::start().await;
    let bytes: Vec<u8> = (0..32).map(|byte| byte * 8).collect();
    let value = json!({ "SecretBinary": STANDARD.encode(&bytes) });
    manager.set("AWSCURRENT", value, NOW);
    let verifier = verifier(&manager, ARN).await.unwrap();
    let now = Timestamp::from_seconds(NOW);
    let signed = verifier.verify(&token(&bytes), now).await;
    assert!(signed.is_ok(), "{signed:?}");
    let other = verifier.verify(&token(SECRETS[0]), now).await;
    assert!(other.is_err(), "{other:?}");
}

#[tokio::test]
async fn reads_secret_from_field_of_json_object() {
    let manager = SecretsManager::start().await;
    let object = json!({ "user": "x", "signing_key": SECRETS[0] }).to_string();
    manager.set("AWSCURRENT", text(&object), NOW);
    let field = verifier(&manager, &format!("{ARN}:signing_key::")).await;
    assert!(verifies(&field.unwrap(), SECRETS[0], NOW).await);
    // Without a field name, the whole text is the secret.
    let whole = verifier(&manager, ARN).await.unwrap();
    assert!(verifies(&whole, &object, NOW).await);
    assert!(!verifies(&whole, SECRETS[0], NOW).await);
}

#[tokio::test]
async fn unsuitable_secret_fails_init_with_reason() {
    let manager = SecretsManager::start().await;
    let of_field = format!("{ARN}:key::");
    for (arn, value, problem) in [
        (ARN, text("short"), "must have 32 bytes or more for HS256"),
        (
            ARN,
            json!({ "SecretBinary": "AAAA" }),
            "must have 32 bytes or more for HS256",
        ),
        (ARN, json!({}), "has no value"),
        (
            &*of_field,
            json!({ "SecretBinary": "AAAA" }),
            "is not a JSON object",
        ),
        (&*of_field, text("not JSON"), "is not a JSON object"),
        (&*of_field, text(r#"["key"]"#), "is not a JSON object"),
        (
            &*of_field,
            text(r#"{"key":"a","key":"b"}"#),
            "is not a JSON object with unique names",
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
        assert!(matches!(error, FetchError::Permanent(_)), "{error}");
        let error = error_chain(&error);
        assert!(error.starts_with("JWT_SECRET_ARN: the secret "), "{error}");
        assert!(error.contains(problem), "{error}");
    }
    for code in ["ResourceNotFoundException", "AccessDeniedException"] {
        manager.fail(Some(code));
        let error = verifier(&manager, ARN).await.unwrap_err();
        assert!(matches!(error, FetchError::Permanent(_)), "{error}");
        let error = error_chain(&error);
        assert!(
            error.starts_with("JWT_SECRET_ARN: the secret cannot be read: "),
            "{error}"
        );
        assert!(error.contains(code), "{error}");
    }
}

#[tokio::test]
async fn keeps_cached_secret_for_a_day_without_secrets_manager() {
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
        "a malformed token causes a request: {late:?}"
    );
    let key = EncodingKey::from_secret(SECRETS[0].as_bytes());
    let token = encode(&Header::default(), &json!({}), &key).unwrap();
    let late = verifier
        .verify(&token, Timestamp::from_seconds(NOW + DAY))
        .await;
    assert!(matches!(late, Err(NotVerified::Keys(_))), "{late:?}");
}

#[tokio::test]
async fn first_request_fetches_secret_that_init_could_not_read() {
    let manager = SecretsManager::start().await;
    manager.set("AWSCURRENT", text(SECRETS[0]), NOW);
    manager.fail(Some("InternalServiceError"));
    let verifier = verifier(&manager, ARN).await.unwrap();
    manager.fail(None);
    assert!(verifies(&verifier, SECRETS[0], NOW + HOUR).await);
}
