//! The most important attacks, against the release binary, with the events of each gateway.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event_with_token;
use session_cleanup_tests::token_factory::{Signer, claims_with, decoded, encoded, parts};
use session_cleanup_tests::{HOUR, World};

use crate::{AUTHORIZER_EVENTS, now};

fn claims() -> Value {
    claims_with("exp", now() + HOUR)
}

/// A validly signed token.
fn token(signer: &Signer) -> String {
    signer.sign(signer.header(), claims().to_string())
}

/// Forged tokens that are invalid for every algorithm.
fn forgeries(signer: &Signer) -> Vec<(&'static str, String)> {
    let good = token(signer);
    let [header, payload, signature] = parts(&good);
    let claims = claims();
    let with_header = |header: &str| signer.sign(header, claims.to_string());
    let alg = signer.algorithm;
    let none = encoded(r#"{"alg":"none"}"#);
    let other = claims_with("sub", "root").to_string();
    let stranger = Signer::stranger(alg);
    let last = signature.len() - 1;
    let bits = decoded(signature);
    let flipped = [&[bits[0] ^ 1], &bits[1..]].concat();
    let twice = format!("{},\"sub\":\"ann\"}}", other.trim_end_matches('}'));
    let hmac = Signer::with_secret(Algorithm::HS256, &signer.public);
    vec![
        ("none", format!("{none}.{payload}.")),
        (
            "none, and a signature",
            format!("{none}.{payload}.{signature}"),
        ),
        ("no signature", format!("{header}.{payload}.")),
        (
            "a bit of the signature",
            format!("{header}.{payload}.{}", encoded(flipped)),
        ),
        (
            "the end of the signature",
            format!("{header}.{payload}.{}", &signature[..last]),
        ),
        (
            "zeros",
            format!("{header}.{payload}.{}", encoded(vec![0; bits.len()])),
        ),
        (
            "other claims",
            format!("{header}.{}.{signature}", encoded(&other)),
        ),
        ("padding", format!("{good}=")),
        ("a fourth part", format!("{good}.{signature}")),
        ("a stranger", token(&stranger)),
        (
            "a stranger's key with the issuer's header",
            if alg == Algorithm::HS256 {
                token(&stranger)
            } else {
                let header = json!({ "alg": alg, "jwk": stranger.jwk() });
                stranger.sign(header.to_string(), claims.to_string())
            },
        ),
        (
            "an HMAC",
            hmac.sign(json!({ "alg": "HS512" }).to_string(), claims.to_string()),
        ),
        (
            "crit",
            with_header(&json!({ "alg": alg, "crit": ["exp"] }).to_string()),
        ),
        (
            "b64",
            with_header(&json!({ "alg": alg, "b64": false }).to_string()),
        ),
        (
            "alg twice",
            with_header(&format!(r#"{{"alg":"{alg:?}","\u0061lg":"none"}}"#)),
        ),
        (
            "kid",
            with_header(&json!({ "alg": alg, "kid": ["k"] }).to_string()),
        ),
        (
            "a logout token",
            with_header(&json!({ "alg": alg, "typ": "logout+jwt" }).to_string()),
        ),
        (
            "an ID token",
            signer.sign(signer.header(), {
                let mut claims = claims.clone();
                claims["typ"] = json!("ID");
                claims.to_string()
            }),
        ),
        ("sub twice", signer.sign(signer.header(), twice)),
        (
            "another audience",
            signer.sign(signer.header(), {
                let mut claims = claims.clone();
                claims["aud"] = json!(["other"]);
                claims.to_string()
            }),
        ),
        (
            "a number beyond all numbers",
            signer.sign(
                signer.header(),
                claims
                    .to_string()
                    .replace(&claims["exp"].to_string(), "1e400"),
            ),
        ),
    ]
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn denies_forged_tokens_for_each_gateway_type() {
    for algorithm in [
        Algorithm::HS256,
        Algorithm::RS256,
        Algorithm::ES256,
        Algorithm::EdDSA,
    ] {
        let signer = Signer::of(algorithm);
        let world = World::new().await;
        world.open("ann", "s", now() + HOUR).await;
        let name = format!("{algorithm:?}");
        let variables = [
            ("JWT_ALGORITHM", name.as_str()),
            ("JWT_SECRET", ""),
            (signer.variable, signer.public.as_str()),
        ];
        let authorizer = Emulator::start(&world, FunctionName::Authorizer, variables).await;
        for (kind, stage) in AUTHORIZER_EVENTS {
            let ask = async |token: &str| {
                let event = event_with_token(FunctionName::Authorizer, kind, token);
                let answer = authorizer.invoke(&event).await.unwrap();
                let effect = &answer["policyDocument"]["Statement"][0]["Effect"];
                let let_in = match stage {
                    Some(_) => effect == "Allow",
                    None => answer["isAuthorized"] == true,
                };
                (let_in, answer["context"].clone())
            };
            for (what, forged) in forgeries(&signer) {
                let refused = (false, json!({ "error": "Invalid token" }));
                assert_eq!(ask(&forged).await, refused, "{algorithm:?} {kind}: {what}");
            }
            let context = json!({ "user_id": "ann", "session_id": "s", "scope": "x" });
            assert_eq!(ask(&token(&signer)).await, (true, context), "{kind}");
        }
        let output = authorizer.output();
        assert!(!output.contains("panic"), "{output}");
        assert!(!output.contains("eyJ"), "a token is logged: {output}");
    }
}
