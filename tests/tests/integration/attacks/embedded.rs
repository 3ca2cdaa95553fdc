//! Attacks with keys that a token contains or points to, and with key IDs that are paths, queries
//! or commands.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_tests::key_server::{Answer, KeyServer};
use session_cleanup_tests::token_factory::{Signer, claims_with, encoded, good_claims};
use session_token::InvalidToken;

use super::target_of_set;

fn header(algorithm: Algorithm, members: &Value) -> String {
    let mut header = members.clone();
    header["alg"] = json!(algorithm);
    header.to_string()
}

/// CVE-2018-0114 and similar.
#[tokio::test]
async fn ignores_keys_embedded_in_or_referenced_by_token() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let issuer = Signer::of(algorithm);
        let stranger = Signer::stranger(algorithm);
        let jwk = stranger.jwk();
        let server = KeyServer::start(Answer::keys(std::slice::from_ref(&jwk))).await;
        let url = server.url();
        let der = "MAA=";
        let set = {
            let mut jwk = issuer.jwk();
            jwk["kid"] = json!("k");
            json!({ "keys": [jwk] })
        };
        let (of_set, _server) = target_of_set(algorithm, &set).await;
        for target in [issuer.target().await, of_set] {
            for members in [
                json!({ "kid": "k", "jwk": jwk }),
                json!({ "kid": "k", "jwk": jwk, "jku": url }),
                json!({ "kid": "k", "jku": url }),
                json!({ "kid": "k", "x5u": url }),
                json!({ "kid": "k", "x5c": [der] }),
                json!({ "kid": "k", "x5c": der, "x5t": encoded([0; 20]), "x5t#S256": "" }),
                json!({ "kid": "k", "iss": url, "jwks_uri": url, "url": url }),
                json!({ "kid": "k", "epk": jwk, "cty": "JWT", "zip": "DEF" }),
            ] {
                let header = header(algorithm, &members);
                let forged = stranger.sign(&header, good_claims().to_string());
                target.rejects(&forged, InvalidToken::Signature).await;
                let token = issuer.sign(&header, good_claims().to_string());
                target.allows(&token).await;
            }
            let claims = claims_with("jwk", jwk.clone()).to_string();
            let forged = stranger.sign(header(algorithm, &json!({ "kid": "k" })), claims);
            target.rejects(&forged, InvalidToken::Signature).await;
        }
        assert_eq!(server.requests(), 0, "a token causes a fetch");
    }
}

/// Key IDs that some systems interpret: a file, a row, a command, an address.
pub(super) const KIDS: [&str; 21] = [
    "../../../../../../dev/null",
    "/dev/null",
    "/proc/sys/kernel/randomize_va_space",
    "..\\..\\windows\\win.ini",
    "file:///dev/null",
    "http://127.0.0.1:1/",
    "key' UNION SELECT 'AAAA';--",
    "' OR '1'='1",
    "\" OR 1=1 --",
    "key|whoami",
    "$(id)",
    "`id`",
    "k\0",
    "\0",
    "k\r\nX-Injected: 1",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "%2e%2e%2f",
    "K",
    "k ",
    "ｋ",
];

#[tokio::test]
async fn kid_selects_only_among_keys_of_jwks() {
    let algorithm = Algorithm::EdDSA;
    let issuer = Signer::of(algorithm);
    let mut jwk = issuer.jwk();
    jwk["kid"] = json!("k");
    let (of_set, _server) = target_of_set(algorithm, &json!({ "keys": [jwk] })).await;
    let of_pem = issuer.target().await;
    let claims = good_claims().to_string();
    let stranger = Signer::stranger(algorithm);
    let long = "k".repeat(4_000);
    for kid in KIDS.into_iter().chain([long.as_str()]) {
        let header = header(algorithm, &json!({ "kid": kid }));
        let token = issuer.sign(&header, &claims);
        of_pem.allows(&token).await;
        of_set.rejects(&token, InvalidToken::UnknownKey).await;
        let forged = stranger.sign(&header, &claims);
        of_pem.rejects(&forged, InvalidToken::Signature).await;
        of_set.rejects(&forged, InvalidToken::UnknownKey).await;
        // The secrets that an empty file, or a file with a known text, would yield.
        for secret in ["", "\0", "2", "2\n", "AAAA"] {
            let hmac = Signer::with_secret(Algorithm::HS256, secret);
            let forged = hmac.sign(&header, &claims);
            of_pem.rejects(&forged, InvalidToken::Signature).await;
        }
    }
    let header = header(algorithm, &json!({ "kid": "k" }));
    of_set.allows(&issuer.sign(header, &claims)).await;
}

/// Some issuers number their keys, and some write `null` or an empty text if they have only one.
#[tokio::test]
async fn token_without_kid_selects_among_all_keys() {
    let algorithm = Algorithm::EdDSA;
    let (issuer, stranger) = (Signer::of(algorithm), Signer::stranger(algorithm));
    for (of_key, of_token) in [
        ("\"k\"", ""),
        ("\"k\"", r#","kid":null"#),
        ("\"k\"", r#","kid":"""#),
        ("7", r#","kid":7"#),
        ("7", r#","kid":"7""#),
        ("\"7\"", r#","kid":7"#),
        ("null", r#","kid":"any""#),
        ("\"\"", r#","kid":"any""#),
    ] {
        let mut jwk = issuer.jwk();
        jwk["kid"] = serde_json::from_str(of_key).unwrap();
        let (target, _server) = target_of_set(algorithm, &json!({ "keys": [jwk] })).await;
        let header = format!(r#"{{"alg":"EdDSA"{of_token}}}"#);
        let claims = good_claims().to_string();
        target.allows(&issuer.sign(&header, &claims)).await;
        let forged = stranger.sign(&header, &claims);
        target.rejects(&forged, InvalidToken::Signature).await;
    }
}

#[tokio::test]
async fn rejects_kid_that_is_no_string_and_no_whole_number() {
    let algorithm = Algorithm::EdDSA;
    let issuer = Signer::of(algorithm);
    let mut jwk = issuer.jwk();
    jwk["kid"] = json!("1");
    let (of_set, _server) = target_of_set(algorithm, &json!({ "keys": [jwk] })).await;
    for target in [of_set, issuer.target().await] {
        for kid in ["1.5", "true", "[]", r#"["1"]"#, "{}", r#"{"1":1}"#] {
            let header = format!(r#"{{"alg":"EdDSA","kid":{kid}}}"#);
            let token = issuer.sign(header, good_claims().to_string());
            target.rejects(&token, InvalidToken::Header).await;
        }
        let header = r#"{"alg":"EdDSA","kid":"\u0031"}"#;
        target
            .allows(&issuer.sign(header, good_claims().to_string()))
            .await;
    }
}
