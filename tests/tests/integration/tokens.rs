//! Tokens: the type of each claim, and the key of each algorithm.

use serde_json::{Value, json};
use session_cleanup_tests::authorizing::{authorize, denial, rest_request, sign};
use session_cleanup_tests::token_factory::{ALGORITHMS, Signer};
use session_cleanup_tests::{HOUR, NOW, World};

#[tokio::test]
async fn requires_claims_with_valid_types_and_times() {
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
        (with("sub", json!(7)), Some("Session not found")),
        (with("sub", json!(7.5)), Some("Invalid token")),
        (with("sub", json!("ann\n")), Some("Invalid token")),
        (with("sid", json!(too_long)), Some("Invalid token")),
        (with("sid", json!("😀".repeat(256))), Some("Invalid token")),
        (with("jti", json!({})), Some("Invalid token")),
        (with("scope", json!(["x"])), None),
        (with("scope", json!({ "x": 1 })), None),
    ];
    for (claims, expected) in table {
        let policy = authorize(&world, &rest_request(&sign(&world, claims.clone()))).await;
        assert_eq!(denial(&policy), expected, "{claims}");
    }
    for missing in ["sub", "sid", "jti", "exp"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing);
        let policy = authorize(&world, &rest_request(&sign(&world, claims))).await;
        assert_eq!(denial(&policy), Some("Invalid token"), "without {missing}");
    }
}

#[tokio::test]
async fn leeway_applies_to_nbf_and_iat_but_never_to_exp() {
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
        assert_eq!(denial(&policy), expected, "{name} {time}");
    }
}

#[tokio::test]
async fn each_algorithm_allows_only_its_own_tokens() {
    for configured in ALGORITHMS {
        let mut signer = Signer::of(configured);
        // A line end may be written as
        //  for variables with a single line.
        signer.public = signer.public.replace('\n', "\\n");
        let name = format!("{configured:?}");
        let world = World::with([
            ("JWT_ALGORITHM", name.as_str()),
            ("JWT_SECRET", ""),
            (signer.variable, &signer.public),
        ])
        .await;
        world.open("ann", "s", NOW + HOUR).await;
        for algorithm in ALGORITHMS {
            let token = Signer::of(algorithm).good_token();
            let policy = authorize(&world, &rest_request(&token)).await;
            let expected = (algorithm != configured).then_some("Invalid token");
            assert_eq!(
                denial(&policy),
                expected,
                "{algorithm:?} instead of {configured:?}"
            );
        }
    }
}
