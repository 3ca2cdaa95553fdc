//! The authorizer through its events: who is let in, and what the others are told.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_local::tokens::Bearer;
use session_cleanup_tests::{DAY, HOUR, NOW, STATS, World, at, number, text};

const METHOD: &str = "arn:aws:execute-api:eu-west-1:111122223333:abc123/prod/GET/orders/7";
const STAGE: &str = "arn:aws:execute-api:eu-west-1:111122223333:abc123/prod/*";

async fn authorize(world: &World, event: &Value) -> Value {
    world
        .functions
        .invoke(FunctionName::Authorizer, event, at(NOW))
        .await
        .unwrap()
}

fn rest_request(token: &str) -> Value {
    json!({
        "type": "REQUEST",
        "methodArn": METHOD,
        "headers": { "Host": "api.example", "authorization": format!("Bearer {token}") },
        "multiValueHeaders": {
            "Host": ["api.example"],
            "authorization": [format!("Bearer {token}")],
        },
    })
}

/// The refusal that a policy carries; nothing where it allows.
fn refusal(policy: &Value) -> Option<&str> {
    let statement = &policy["policyDocument"]["Statement"][0];
    match statement["Effect"].as_str().unwrap() {
        "Allow" => None,
        _ => Some(policy["context"]["error"].as_str().unwrap()),
    }
}

#[tokio::test]
async fn a_live_session_is_let_in_with_its_context() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:read orders:write").await;
    let policy = authorize(&world, &rest_request(&token)).await;
    assert_eq!(
        policy,
        json!({
            "principalId": "ann",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["execute-api:Invoke"],
                    "Resource": [STAGE],
                }],
            },
            "context": {
                "user_id": "ann",
                "session_id": "login",
                "scope": "sessions:read orders:write",
            },
            "usageIdentifierKey": null,
        })
    );
}

#[tokio::test]
async fn each_kind_of_event_gets_its_kind_of_answer() {
    let world = World::new().await;
    let good = format!("Bearer {}", world.login("ann", "").await);
    for (header, let_in) in [(good.as_str(), true), ("Bearer nonsense", false)] {
        let token_event = json!({
            "type": "TOKEN", "methodArn": METHOD, "authorizationToken": header,
        });
        let http_1 = json!({
            "version": "1.0", "type": "REQUEST", "methodArn": METHOD,
            "identitySource": header, "authorizationToken": header,
            "headers": { "authorization": header },
        });
        for event in [token_event, http_1] {
            let policy = authorize(&world, &event).await;
            assert_eq!(refusal(&policy).is_none(), let_in, "{event}");
            assert_eq!(
                policy["policyDocument"]["Statement"][0]["Resource"],
                json!([STAGE])
            );
        }
        let http_2 = json!({
            "version": "2.0", "type": "REQUEST",
            "routeArn": METHOD, "identitySource": [header],
            "headers": { "authorization": header },
        });
        let context = if let_in {
            json!({ "user_id": "ann", "session_id": "login", "scope": "" })
        } else {
            json!({ "error": "Invalid token" })
        };
        let answer = authorize(&world, &http_2).await;
        assert_eq!(
            answer,
            json!({ "isAuthorized": let_in, "context": context })
        );
    }
}

#[tokio::test]
async fn an_event_of_no_gateway_is_an_error() {
    let world = World::new().await;
    for event in [
        json!({}),
        json!({ "type": "TOKEN", "methodArn": "orders" }),
        json!("x"),
    ] {
        let answer = world
            .functions
            .invoke(FunctionName::Authorizer, &event, at(NOW))
            .await;
        assert!(answer.is_err(), "{event}: {answer:?}");
    }
}

#[tokio::test]
async fn no_header_or_a_malformed_one_or_two_are_a_missing_bearer_token() {
    let world = World::new().await;
    let good = format!("Bearer {}", world.login("ann", "").await);
    for headers in [
        json!(null),
        json!({}),
        json!({ "Authorization": "" }),
        json!({ "Authorization": "Bearer" }),
        json!({ "Authorization": "Basic YW5uOmFubg==" }),
        json!({ "Authorization": format!("{good} more") }),
        json!({ "Authorization": good, "authorization": good }),
        json!({ "Authorization": [good, good] }),
    ] {
        let event = json!({ "type": "REQUEST", "methodArn": METHOD, "headers": headers });
        let policy = authorize(&world, &event).await;
        assert_eq!(refusal(&policy), Some("Missing bearer token"), "{headers}");
    }
    let event = json!({
        "type": "REQUEST", "methodArn": METHOD,
        "headers": { "Authorization": good },
        "multiValueHeaders": { "Authorization": [good, "Bearer other"] },
    });
    assert_eq!(
        refusal(&authorize(&world, &event).await),
        Some("Missing bearer token")
    );
}

/// The state of a session, of the blacklist and of the token, and the refusal that it leads to.
#[tokio::test]
async fn of_several_refusals_the_first_in_order_is_given() {
    let world = World::new().await;
    world.open("ann", "live", NOW + 1).await;
    world.open("ann", "expired", NOW).await;
    world
        .put(session_cleanup_tests::inactive_session(
            "ann",
            "inactive",
            NOW - 5,
        ))
        .await;
    for (session, expected) in [
        ("live", None),
        ("none", Some("Session not found")),
        ("inactive", Some("Session inactive")),
        ("expired", Some("Session expired")),
    ] {
        for token_expired in [true, false] {
            let expires_at = at(if token_expired { NOW } else { NOW + 1 });
            let bearer = Bearer {
                user: "ann",
                session,
                scope: "",
                expires_at,
            };
            let token = world.tokens.sign(bearer);
            if session == "expired" {
                // The authorizer deactivates it each time; here it is to be met active.
                world
                    .put(session_cleanup_tests::active_session("ann", "expired", NOW))
                    .await;
            }
            let policy = authorize(&world, &rest_request(&token)).await;
            let expected = expected.or(token_expired.then_some("Token expired"));
            assert_eq!(
                refusal(&policy),
                expected,
                "{session}, token expired: {token_expired}"
            );

            let revoked = json!({
                "sub": "ann", "sid": session, "jti": "revoked", "scope": "",
                "exp": expires_at.timestamp(),
            });
            world.blacklist("ann", "revoked", NOW + HOUR).await;
            let policy = authorize(&world, &rest_request(&sign(&world, revoked))).await;
            assert_eq!(refusal(&policy), Some("Token revoked"), "{session}");
        }
    }
}

#[tokio::test]
async fn a_blacklist_entry_counts_for_its_own_user_alone() {
    let world = World::new().await;
    world.open("ann", "s", NOW + HOUR).await;
    world.blacklist("bob", "j", NOW + HOUR).await;
    let token = sign(
        &world,
        json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 1 }),
    );
    assert_eq!(
        refusal(&authorize(&world, &rest_request(&token)).await),
        None
    );
}

#[tokio::test]
async fn a_session_lets_in_nobody_but_its_own_user() {
    let world = World::new().await;
    world.open("ann", "s", NOW + HOUR).await;
    for (user, session) in [
        ("bob", "s"),
        ("ann#SESSION", "s"),
        ("a", "s"),
        ("ann", "s#"),
    ] {
        let policy = authorize(&world, &rest_request(&world.token(user, session, ""))).await;
        assert_eq!(
            refusal(&policy),
            Some("Session not found"),
            "{user} {session}"
        );
    }
}

#[tokio::test]
async fn an_expired_session_is_deactivated_on_the_spot_also_when_the_token_has_expired_too() {
    let world = World::new().await;
    for (session, token_end) in [("one", NOW + HOUR), ("two", NOW - HOUR)] {
        let mut item = session_cleanup_tests::active_session("ann", session, NOW - 5);
        item["favourite_colour"] = json!({ "S": "green" });
        world.put(item).await;
        let bearer = Bearer {
            user: "ann",
            session,
            scope: "",
            expires_at: at(token_end),
        };
        let policy = authorize(&world, &rest_request(&world.tokens.sign(bearer))).await;
        assert_eq!(refusal(&policy), Some("Session expired"));

        let row = world.session("ann", session).await.unwrap();
        assert_eq!(row["is_active"].as_bool(), Ok(&false));
        assert_eq!(number(&row, "deactivated_at"), NOW);
        assert_eq!(text(&row, "deactivation_reason"), "expired_on_validation");
        assert_eq!(
            text(&row, "due_key"),
            "delete#07",
            "a record keeps its shard for life"
        );
        assert_eq!(number(&row, "due_at"), NOW + 30 * DAY);
        assert_eq!(number(&row, "ttl"), NOW + 30 * DAY);
        assert_eq!(number(&row, "expires_at"), NOW - 5);
        assert_eq!(
            text(&row, "favourite_colour"),
            "green",
            "it belongs to the user"
        );
    }
}

#[tokio::test]
async fn validations_of_one_expired_session_at_once_deactivate_it_once_and_refuse_all() {
    let world = World::new().await;
    world.open("ann", "s", NOW - 1).await;
    let event = rest_request(&world.token("ann", "s", ""));
    let calls = (0..32).map(|_| authorize(&world, &event));
    let answers = futures_util::future::join_all(calls).await;
    for answer in &answers {
        assert!(
            matches!(
                refusal(answer),
                Some("Session expired" | "Session inactive")
            ),
            "{answer}"
        );
    }
    assert!(
        answers
            .iter()
            .any(|it| refusal(it) == Some("Session expired"))
    );
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(number(&row, "deactivated_at"), NOW);
}

#[tokio::test]
async fn a_malformed_session_is_an_error_and_never_a_refusal_or_an_allow() {
    let world = World::new().await;
    for (session, name, value) in [
        ("a", "is_active", json!({ "S": "true" })),
        ("b", "expires_at", json!({ "S": "tomorrow" })),
        (
            "c",
            "expires_at",
            json!({ "N": ((NOW + HOUR) * 1000).to_string() }),
        ),
    ] {
        let mut item = session_cleanup_tests::active_session("ann", session, NOW + HOUR);
        item[name] = value;
        world.put(item).await;
        let event = rest_request(&world.token("ann", session, ""));
        let answer = world
            .functions
            .invoke(FunctionName::Authorizer, &event, at(NOW))
            .await;
        assert!(answer.is_err(), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn an_inactive_session_is_refused_also_where_its_record_lacks_the_rest() {
    let world = World::new().await;
    world
        .put(json!({
            "pk": { "S": "USER#ann" }, "sk": { "S": "SESSION#s" }, "is_active": { "BOOL": false },
        }))
        .await;
    let policy = authorize(&world, &rest_request(&world.token("ann", "s", ""))).await;
    assert_eq!(refusal(&policy), Some("Session inactive"));
}

#[tokio::test]
async fn a_store_out_of_reach_is_a_500_and_never_a_refusal() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:read").await;
    let World {
        dynamodb, gateway, ..
    } = world;
    dynamodb.stop().await;
    let mut headers = HeaderMap::new();
    headers.insert(
        "authorization",
        format!("Bearer {token}").try_into().unwrap(),
    );
    let request = session_cleanup_local::gateway::ApiRequest {
        method: Method::GET,
        uri: STATS.parse().unwrap(),
        headers,
        body: None,
    };
    let response = gateway.serve_at(&request, at(NOW)).await;
    assert_eq!(response.status, 500);
    assert_eq!(response.body, r#"{"error":"Internal server error"}"#);
}

/// Claims of a token with the usual issuer and audience, signed with the world's secret.
fn sign(world: &World, mut claims: Value) -> String {
    let variables: BTreeMap<_, _> = world.tokens.variables().into_iter().collect();
    for (claim, variable) in [("iss", "JWT_ISSUER"), ("aud", "JWT_AUDIENCE")] {
        if claims.get(claim).is_none() {
            claims[claim] = variables[variable].clone().into();
        }
    }
    let key = EncodingKey::from_secret(variables["JWT_SECRET"].as_bytes());
    encode(&Header::default(), &claims, &key).unwrap()
}

#[tokio::test]
async fn claims_are_required_of_their_type_and_time() {
    let world = World::new().await;
    world.open("ann", "s", NOW + HOUR).await;
    let good = json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 60, "scope": "x" });
    let issuer = world.tokens.variables()[2].1.clone();
    let audience = world.tokens.variables()[3].1.clone();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let too_long = "x".repeat(257);
    let table = [
        (good.clone(), None),
        (with("nbf", json!(NOW)), None),
        (with("nbf", json!(NOW + 1)), Some("Invalid token")),
        (with("nbf", json!("now")), Some("Invalid token")),
        (with("nbf", json!(null)), Some("Invalid token")),
        (with("iat", json!(NOW)), None),
        (with("iat", json!(NOW + 1)), Some("Invalid token")),
        (with("aud", json!([audience, "other"])), None),
        (with("aud", json!(["other"])), Some("Invalid token")),
        (with("aud", json!("other")), Some("Invalid token")),
        (with("aud", json!(null)), Some("Invalid token")),
        (with("iss", json!("other")), Some("Invalid token")),
        (with("iss", json!([issuer])), Some("Invalid token")),
        (with("exp", json!(NOW)), Some("Token expired")),
        (with("exp", json!(NOW - 1)), Some("Token expired")),
        (with("exp", json!(-1)), Some("Token expired")),
        (with("exp", json!(1_800_000_000.5)), None),
        (
            with("exp", json!((NOW + 60).to_string())),
            Some("Invalid token"),
        ),
        (with("exp", json!(null)), Some("Invalid token")),
        (with("exp", json!((NOW + 60) * 1000)), Some("Invalid token")),
        (with("sub", json!("")), Some("Invalid token")),
        (with("sub", json!(7)), Some("Invalid token")),
        (with("sub", json!("ann\n")), Some("Invalid token")),
        (with("sid", json!(too_long)), Some("Invalid token")),
        (with("jti", json!({})), Some("Invalid token")),
        (with("scope", json!(["x"])), Some("Invalid token")),
    ];
    for (claims, expected) in table {
        let policy = authorize(&world, &rest_request(&sign(&world, claims.clone()))).await;
        assert_eq!(refusal(&policy), expected, "{claims}");
    }
    for missing in ["sub", "sid", "jti", "exp"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        let policy = authorize(&world, &rest_request(&sign(&world, claims))).await;
        assert_eq!(refusal(&policy), Some("Invalid token"), "without {missing}");
    }
}

#[tokio::test]
async fn the_leeway_is_for_nbf_and_iat_and_never_for_exp() {
    let world = World::with([("JWT_LEEWAY_SECONDS", "60")]).await;
    world.open("ann", "s", NOW + HOUR).await;
    for (name, time, expected) in [
        ("nbf", NOW + 60, None),
        ("nbf", NOW + 61, Some("Invalid token")),
        ("iat", NOW + 60, None),
        ("iat", NOW + 61, Some("Invalid token")),
        ("exp", NOW, Some("Token expired")),
    ] {
        let mut claims = json!({ "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 60 });
        claims[name] = time.into();
        let policy = authorize(&world, &rest_request(&sign(&world, claims))).await;
        assert_eq!(refusal(&policy), expected, "{name} {time}");
    }
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_invalid() {
    let world = World::new().await;
    let token = world.login("ann", "").await;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("three parts")
    };
    let none = "eyJhbGciOiJub25lIn0"; // {"alg":"none"}
    let other = World::new().await.token("ann", "login", "");
    let crit = {
        let header = Header {
            crit: Some(vec!["exp".to_owned()]),
            ..Header::default()
        };
        let claims = json!({
            "iss": world.tokens.variables()[2].1, "aud": world.tokens.variables()[3].1,
            "sub": "ann", "sid": "login", "jti": "j", "exp": NOW + 60,
        });
        let secret = &world.tokens.variables()[1].1;
        encode(
            &header,
            &claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .unwrap()
    };
    for bad in [
        "x",
        "a.b.c",
        "..",
        &format!("{header}.{payload}"),
        &format!("{header}.{payload}."),
        &format!("{header}.{payload}.{signature}."),
        &format!("{header}.{payload}.{signature}="),
        &format!("{header}.{payload}A.{signature}"),
        &format!("{none}.{payload}."),
        &format!("{none}.{payload}.{signature}"),
        &other,
        &crit,
        &"x".repeat(9_000),
    ] {
        let policy = authorize(&world, &rest_request(bad)).await;
        assert_eq!(refusal(&policy), Some("Invalid token"), "{bad}");
    }
    assert_eq!(
        refusal(&authorize(&world, &rest_request(&token)).await),
        None
    );
}

/// The right signature does not make up for a header that names another algorithm, or none, nor
/// for a token of a size that nobody needs.
#[tokio::test]
async fn a_well_signed_token_with_another_header_or_too_long_is_invalid() {
    let world = World::new().await;
    world.login("ann", "").await;
    let secret = world.tokens.variables()[1].1.clone();
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = |header: &str, scope: &str| {
        let claims = json!({
            "iss": world.tokens.variables()[2].1, "aud": world.tokens.variables()[3].1,
            "sub": "ann", "sid": "login", "jti": "j", "exp": NOW + 60, "scope": scope,
        });
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", part(header), part(&claims.to_string()));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let long = "x".repeat(8_192);
    for (header, scope, expected) in [
        (r#"{"alg":"HS256"}"#, "", None),
        (
            r#"{"alg":"HS256","typ":"at+jwt","kid":"../../x","jku":"https://x"}"#,
            "",
            None,
        ),
        (r#"{"alg":"none"}"#, "", Some("Invalid token")),
        (r#"{"alg":"HS384"}"#, "", Some("Invalid token")),
        (r#"{"alg":"hs256"}"#, "", Some("Invalid token")),
        (r#"{"alg":["HS256"]}"#, "", Some("Invalid token")),
        (
            r#"{"alg":"HS256","alg":"HS256"}"#,
            "",
            Some("Invalid token"),
        ),
        (r#"{"alg":"HS256","crit":null}"#, "", Some("Invalid token")),
        (r#"{"typ":"JWT"}"#, "", Some("Invalid token")),
        (r#"["HS256"]"#, "", Some("Invalid token")),
        (r#"{"alg":"HS256"} x"#, "", Some("Invalid token")),
        (r#"{"alg":"HS256"}"#, &long, Some("Invalid token")),
    ] {
        let policy = authorize(&world, &rest_request(&token(header, scope))).await;
        assert_eq!(
            refusal(&policy),
            expected,
            "{header}, a scope of {}",
            scope.len()
        );
    }
}

/// A pair of keys for each algorithm, made for these tests alone.
fn keys() -> Vec<(Algorithm, &'static str, String, EncodingKey)> {
    use Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    let secret = "s".repeat(64);
    let hmac = [HS256, HS384, HS512].map(|algorithm| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        (algorithm, "JWT_SECRET", secret.clone(), key)
    });
    let rsa = [RS256, RS384, RS512, PS256, PS384, PS512].map(|algorithm| {
        let private = include_bytes!("../keys/rsa.pem");
        let public = include_str!("../keys/rsa.pub.pem").to_owned();
        (
            algorithm,
            "JWT_PUBLIC_KEY",
            public,
            EncodingKey::from_rsa_pem(private).unwrap(),
        )
    });
    let p256 = EncodingKey::from_ec_pem(include_bytes!("../keys/p256.pem")).unwrap();
    let p384 = EncodingKey::from_ec_pem(include_bytes!("../keys/p384.pem")).unwrap();
    let ed25519 = EncodingKey::from_ed_pem(include_bytes!("../keys/ed25519.pem")).unwrap();
    let public = |key: &str| key.to_owned();
    hmac.into_iter()
        .chain(rsa)
        .chain([
            (
                ES256,
                "JWT_PUBLIC_KEY",
                public(include_str!("../keys/p256.pub.pem")),
                p256,
            ),
            (
                ES384,
                "JWT_PUBLIC_KEY",
                public(include_str!("../keys/p384.pub.pem")),
                p384,
            ),
            (
                EdDSA,
                "JWT_PUBLIC_KEY",
                public(include_str!("../keys/ed25519.pub.pem")),
                ed25519,
            ),
        ])
        .collect()
}

#[tokio::test]
async fn every_algorithm_lets_in_its_own_tokens_and_no_others() {
    for (configured, variable, key, _) in keys() {
        let name = format!("{configured:?}");
        // A line end may be written as \n, where a variable holds one line only.
        let key = key.replace('\n', "\\n");
        let world = World::with([
            ("JWT_ALGORITHM", &name),
            ("JWT_SECRET", ""),
            (variable, &key),
        ])
        .await;
        world.open("ann", "s", NOW + HOUR).await;
        let claims = json!({
            "iss": world.tokens.variables()[2].1, "aud": world.tokens.variables()[3].1,
            "sub": "ann", "sid": "s", "jti": "j", "exp": NOW + 60,
        });
        for (algorithm, _, _, key) in keys() {
            let token = encode(&Header::new(algorithm), &claims, &key).unwrap();
            let policy = authorize(&world, &rest_request(&token)).await;
            let expected = (algorithm != configured).then_some("Invalid token");
            assert_eq!(
                refusal(&policy),
                expected,
                "{algorithm:?} where {configured:?}"
            );
        }
    }
}
