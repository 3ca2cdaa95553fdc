//! Keys from a JWK Set over HTTP: caching, fetching again, rotation and failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::authorizing::{denial, rest_request};
use session_cleanup_tests::database::DynamoDb;
use session_cleanup_tests::key_server::{Answer, KeyServer, NamedKey};
use session_cleanup_tests::{DAY, HOUR, Limits, NOW, World, at, serve_table};
use session_functions::authorize::TimeLimits;

/// A world with a long session, whose authorizer fetches its keys from this server.
async fn world_with_keys_of(server: &KeyServer) -> World {
    world_within(Limits::patient(), server).await
}

/// The same with these timeouts.
async fn world_within(limits: Limits, server: &KeyServer) -> World {
    let url = server.url();
    let variables = [
        ("JWT_ALGORITHM", "ES256"),
        ("JWT_SECRET", ""),
        ("JWKS_URL", &*url),
    ];
    let dynamodb = serve_table().await;
    let world = World::within(limits, dynamodb, variables, DynamoDb::client).await;
    world.open("ann", "s", NOW + 9 * DAY).await;
    world
}

fn token(world: &World, key: &NamedKey) -> String {
    key.sign(&json!({
        "iss": world.tokens.variables()[2].1, "aud": world.tokens.variables()[3].1,
        "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 9 * DAY,
    }))
}

/// Asks the authorizer with a token of this key. Returns the error of a denied request, `None` if
/// it is allowed, or the failure.
async fn ask(world: &World, key: &NamedKey, now: i64) -> Answered {
    let event = rest_request(&token(world, key));
    let answer = world
        .functions
        .invoke(FunctionName::Authorizer, &event, at(now))
        .await;
    let policy: Value = answer.map_err(|error| error.to_string())?;
    Ok(denial(&policy).map(|denial| {
        assert_eq!(denial, "Invalid token");
        "Invalid token"
    }))
}

type Answered = Result<Option<&'static str>, String>;

const LET_IN: Answered = Ok(None);
const INVALID: Answered = Ok(Some("Invalid token"));

#[tokio::test]
async fn caches_jwks_for_ttl_of_server_within_limits() {
    let key = NamedKey::new("a");
    let answer = || Answer::keys(&[key.jwk()]);
    let said = |value: &str| answer().header("cache-control", value);
    for (answer, life) in [
        (answer(), 300),
        (said("public"), 300),
        (said("max-age=nonsense"), 300),
        (said("public, max-age=600, must-revalidate"), 600),
        (said("Max-Age=\"600\""), 600),
        (said("max-age=1"), 1),
        (said("max-age=86400"), 3_600),
        (said("max-age=600").header("age", "200"), 400),
        (said("max-age=600").header("age", "601"), 30),
        (said("max-age=0"), 30),
        (said("no-cache"), 30),
        (said("max-age=600, no-store"), 30),
        (said("public").header("cache-control", "max-age=60"), 60),
    ] {
        let text = format!("{:?}", answer.headers);
        let server = KeyServer::start(answer).await;
        let world = world_with_keys_of(&server).await;
        assert_eq!(server.requests(), 1, "in init: {text}");
        for (now, fetches) in [
            (NOW, 0),
            (NOW + life - 1, 0),
            (NOW + life, 1),
            (NOW + 2 * life - 1, 0),
            // A request that lags behind a concurrent one, and a clock that has been set back.
            (NOW + 2 * life - 31, 0),
            (NOW + life - 31, 1),
            (NOW + life - 31, 0),
        ] {
            assert_eq!(ask(&world, &key, now).await, LET_IN, "{text}");
            assert_eq!(server.requests(), fetches, "{text} after {}", now - NOW);
        }
    }
}

/// Valid tokens are always allowed while keys rotate as the standards require (publish the new key,
/// sign with it, remove the old key), with concurrent requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotates_keys_without_denying_valid_tokens() {
    let keys: Vec<_> = (0..5).map(|n| NamedKey::new(&format!("key-{n}"))).collect();
    let server = KeyServer::start(Answer::keys(&[keys[0].jwk()])).await;
    let world = Arc::new(world_with_keys_of(&server).await);
    for (step, pair) in (0_i64..).zip(keys.windows(2)) {
        let [old, new] = pair else { unreachable!() };
        let now = NOW + step * HOUR;
        assert_eq!(ask(&world, old, now).await, LET_IN);
        assert_eq!(ask(&world, new, now).await, INVALID, "not published yet");

        server.set(Answer::keys(&[old.jwk(), new.jwk()]));
        let done = Arc::new(AtomicBool::new(false));
        let holders = (0..4).map(|_| {
            let (world, done) = (Arc::clone(&world), Arc::clone(&done));
            let event = rest_request(&token(&world, old));
            tokio::spawn(async move {
                let mut asked = 0;
                while asked < 3 || !done.load(Ordering::SeqCst) {
                    let invoked =
                        world
                            .functions
                            .invoke(FunctionName::Authorizer, &event, at(now + 31));
                    assert_eq!(denial(&invoked.await.unwrap()), None);
                    asked += 1;
                }
            })
        });
        let holders: Vec<_> = holders.collect();
        for _ in 0..20 {
            assert_eq!(ask(&world, new, now + 31).await, LET_IN, "at once");
        }
        done.store(true, Ordering::SeqCst);
        for holder in join_all(holders).await {
            holder.unwrap();
        }
        server.set(Answer::keys(&[new.jwk()]));
        assert_eq!(ask(&world, old, now + 330).await, LET_IN, "still cached");
        assert_eq!(ask(&world, old, now + 331).await, INVALID, "removed");
        assert_eq!(ask(&world, new, now + 331).await, LET_IN);
        let _ = server.requests();
    }
}

#[tokio::test]
async fn searches_for_unknown_key_at_most_every_30_seconds() {
    let (known, unknown) = (NamedKey::new("known"), NamedKey::new("unknown"));
    let server = KeyServer::start(Answer::keys(&[known.jwk()])).await;
    let world = world_with_keys_of(&server).await;
    let _ = server.requests();
    for (now, fetches) in [
        (NOW, 1),
        (NOW, 0),
        (NOW + 29, 0),
        (NOW + 30, 1),
        (NOW + 59, 0),
        (NOW + 60, 1),
    ] {
        assert_eq!(ask(&world, &unknown, now).await, INVALID);
        assert_eq!(ask(&world, &known, now).await, LET_IN);
        assert_eq!(server.requests(), fetches, "after {}", now - NOW);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_share_one_fetch() {
    let (old, new) = (NamedKey::new("old"), NamedKey::new("new"));
    let server = KeyServer::start(Answer::keys(&[old.jwk()])).await;
    let world = Arc::new(world_with_keys_of(&server).await);
    let _ = server.requests();
    let published = Answer::keys(&[old.jwk(), new.jwk()]);
    server.set(published.after(Duration::from_millis(300)));
    let ask_all = async |key: &NamedKey, now| {
        let event = rest_request(&token(&world, key));
        let calls = (0..64).map(|_| {
            let (world, event) = (Arc::clone(&world), event.clone());
            tokio::spawn(async move {
                let invoked = world
                    .functions
                    .invoke(FunctionName::Authorizer, &event, at(now));
                invoked.await.map_err(|error| error.to_string())
            })
        });
        join_all(calls.collect::<Vec<_>>()).await
    };
    for (key, now) in [(&new, NOW), (&old, NOW + 300)] {
        for answer in ask_all(key, now).await {
            assert_eq!(denial(&answer.unwrap().unwrap()), None);
        }
        assert_eq!(server.requests(), 1);
    }
    // A failed fetch serves all waiting callers, too, and those that come shortly after.
    let failure = Answer::body("").status(503);
    server.set(failure.after(Duration::from_millis(300)));
    for answer in ask_all(&old, NOW + 2 * DAY).await {
        assert!(answer.unwrap().is_err());
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn keeps_cached_keys_for_a_day_after_failed_fetch() {
    let (known, unknown) = (NamedKey::new("known"), NamedKey::new("unknown"));
    let good = Answer::keys(&[known.jwk()]);
    let doubled = good.body.replacen("\"keys\"", "\"keys\":[],\"keys\"", 1);
    let elsewhere = KeyServer::start(Answer::keys(&[unknown.jwk()])).await;
    let mut foreign = unknown.jwk();
    foreign["use"] = "enc".into();
    for (bad, why) in [
        (good.clone().status(500), "the status is 500"),
        (good.clone().status(404), "the status is 404"),
        (good.clone().status(204), "the status is 204"),
        (
            good.clone().status(302).header("location", elsewhere.url()),
            "the status is 302",
        ),
        (Answer::body("<html>"), "not a JWK Set"),
        (Answer::body("{}"), "not a JWK Set"),
        (Answer::body("[]"), "not a JWK Set"),
        (Answer::body(r#"{"keys":{}}"#), "not a JWK Set"),
        (Answer::body(doubled), "not a JWK Set"),
        (
            Answer::body(format!("{}{}", good.body, " ".repeat(256 * 1024))),
            "the document is larger than 256 KiB",
        ),
        (
            good.clone().header("content-encoding", "gzip"),
            "the document is compressed (content-encoding: gzip), although that was not asked for",
        ),
        (
            Answer::keys(&vec![json!({}); 501]),
            "the JWK Set has 501 keys, and no more than 500 are read",
        ),
        // Without a usable key, as shortly while a provider starts or rotates keys.
        (Answer::keys(&[]), "the JWK Set has no usable key for ES256"),
        (
            Answer::keys(&[foreign]),
            "the JWK Set has no usable key for ES256",
        ),
    ] {
        let server = KeyServer::start(good.clone()).await;
        let world = world_with_keys_of(&server).await;
        let _ = server.requests();
        server.set(bad.clone());
        // The clock is set back once, which must not prolong a cool-down.
        let asked = [
            (299, 0),
            (300, 1),
            (329, 0),
            (330, 1),
            (99, 1),
            (DAY - 1, 1),
        ];
        for (now, fetches) in asked {
            assert_eq!(ask(&world, &known, NOW + now).await, LET_IN, "{bad:?}");
            assert_eq!(server.requests(), fetches, "{bad:?} after {now}");
        }
        // The key may exist by now, so the token must not be denied.
        let error = ask(&world, &unknown, NOW + DAY - 1).await.unwrap_err();
        assert!(error.contains("the keys cannot be fetched"), "{error}");
        assert!(error.contains(why), "{error}");
        let error = ask(&world, &known, NOW + DAY).await.unwrap_err();
        assert!(error.contains("the keys cannot be fetched"), "{error}");
        server.set(good.clone());
        let later = NOW + DAY + HOUR;
        assert_eq!(ask(&world, &known, later).await, LET_IN, "{bad:?}");
        assert_eq!(ask(&world, &unknown, later).await, INVALID, "{bad:?}");
    }
    assert_eq!(elsewhere.requests(), 0, "a redirect is not followed");
}

#[tokio::test]
async fn reads_jwks_of_256_kib() {
    let key = NamedKey::new("a");
    let mut answer = Answer::keys(&[key.jwk()]);
    let padding = 256 * 1024 - answer.body.len();
    answer.body.push_str(&" ".repeat(padding));
    let server = KeyServer::start(answer).await;
    let world = world_with_keys_of(&server).await;
    assert_eq!(ask(&world, &key, NOW).await, LET_IN);
}

/// The unit tests of the cache test the length of the cool-downs.
#[tokio::test]
async fn start_without_keys_fetches_again_only_after_cooldown() {
    let key = NamedKey::new("a");
    for bad in [Answer::body("").status(503), Answer::keys(&[])] {
        let server = KeyServer::start(bad).await;
        let world = world_with_keys_of(&server).await;
        for _ in 0..3 {
            let error = ask(&world, &key, NOW).await.unwrap_err();
            assert!(error.contains("the keys cannot be fetched"), "{error}");
        }
        assert_eq!(server.requests(), 1, "the request of the init");
        server.set(Answer::keys(&[key.jwk()]));
        assert_eq!(ask(&world, &key, NOW + HOUR).await, LET_IN);
        assert_eq!(server.requests(), 1);
    }
}

/// A busy machine may exceed the timeout; then the test starts again.
#[tokio::test]
async fn abandons_fetch_if_server_does_not_respond() {
    let key = NamedKey::new("a");
    let server = KeyServer::start(Answer::keys(&[key.jwk()])).await;
    let world = loop {
        let mut limits = Limits::patient();
        limits.authorizer.keys = TimeLimits::INTERACTIVE.keys;
        let world = world_within(limits, &server).await;
        if ask(&world, &key, NOW).await == LET_IN {
            break world;
        }
    };
    server.set(Answer::keys(&[]).after(Duration::from_hours(1)));
    assert_eq!(ask(&world, &key, NOW + 300).await, LET_IN);
    let error = ask(&world, &key, NOW + DAY).await.unwrap_err();
    assert!(error.contains("no answer in time"), "{error}");
}

#[tokio::test]
async fn removed_key_verifies_nothing() {
    let (key, other) = (NamedKey::new("a"), NamedKey::new("b"));
    let server = KeyServer::start(Answer::keys(&[key.jwk()])).await;
    let world = world_with_keys_of(&server).await;
    server.set(Answer::keys(&[other.jwk()]));
    assert_eq!(ask(&world, &key, NOW + 300).await, INVALID);
}

#[tokio::test]
async fn verifies_token_only_with_key_of_its_kid() {
    let (a, b) = (NamedKey::new("a"), NamedKey::new("b"));
    let imposter = NamedKey::new("a");
    let unnamed = |key: &NamedKey| {
        let mut jwk = key.jwk();
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let server = KeyServer::start(Answer::keys(&[a.jwk(), b.jwk(), unnamed(&imposter)])).await;
    let world = world_with_keys_of(&server).await;
    assert_eq!(ask(&world, &a, NOW).await, LET_IN);
    assert_eq!(ask(&world, &b, NOW).await, LET_IN);
    // A key without ID may have signed any token.
    assert_eq!(ask(&world, &imposter, NOW).await, LET_IN);
    // Two keys with the same ID: neither is used.
    server.set(Answer::keys(&[a.jwk(), b.jwk(), imposter.jwk()]));
    assert_eq!(ask(&world, &a, NOW + 300).await, INVALID);
    assert_eq!(ask(&world, &imposter, NOW + 300).await, INVALID);
    assert_eq!(ask(&world, &b, NOW + 300).await, LET_IN);
}
