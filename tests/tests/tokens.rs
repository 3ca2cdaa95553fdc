//! Tokens: every claim of its type, every algorithm its own key, and nothing that was tampered with.
#![allow(
    clippy::unwrap_used,
    reason = "this is test code: what fails here fails the test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use session_cleanup_tests::authorizing::{authorize, refusal, rest_request, sign};
use session_cleanup_tests::{HOUR, NOW, World};

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
        (with("sid", json!("😀".repeat(256))), Some("Invalid token")),
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
