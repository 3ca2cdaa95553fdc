//! Attacks on the algorithm: the configured one counts, never the token's header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::json;
use session_cleanup_tests::token_factory::{
    ALGORITHMS, Signer, decoded, encoded, good_claims, parts, verify,
};
use session_token::InvalidToken;

use super::target_of_set;

const ONE_OF_EACH_FAMILY: [Algorithm; 5] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// Names of the algorithm without a signature, as a lenient parser may read them.
pub(super) const NONE: [&str; 17] = [
    "none",
    "None",
    "NONE",
    "nOnE",
    " none",
    "none ",
    "none\0",
    "none\n",
    "ｎｏｎｅ",
    "nоne",
    "no\u{200b}ne",
    "null",
    "NULL",
    "false",
    "0",
    "",
    "unsecured",
];

#[tokio::test]
async fn rejects_none_algorithm_in_any_spelling() {
    for algorithm in ONE_OF_EACH_FAMILY {
        let signer = Signer::of(algorithm);
        let target = signer.target().await;
        for none in NONE {
            let header = json!({ "alg": none }).to_string();
            let token = signer.sign(&header, good_claims().to_string());
            let (message, _) = token.rsplit_once('.').unwrap();
            for signature in [String::new(), "AA".to_owned(), encoded([0; 64])] {
                let unsigned = format!("{message}.{signature}");
                target.rejects(&unsigned, InvalidToken::Algorithm).await;
            }
            target.rejects(&token, InvalidToken::Algorithm).await;
        }
        for none in [
            r#"{"alg":null}"#,
            r#"{"alg":false}"#,
            r#"{"alg":0}"#,
            r#"{"alg":[]}"#,
            r#"{"alg":{}}"#,
            r#"{"alg":["none"]}"#,
            r"{}",
            r#"{"typ":"JWT"}"#,
            r#"{"ALG":"none"}"#,
        ] {
            let token = signer.sign(none, good_claims().to_string());
            let (message, _) = token.rsplit_once('.').unwrap();
            target
                .rejects(&format!("{message}."), InvalidToken::Header)
                .await;
            target.rejects(&token, InvalidToken::Header).await;
        }
        target.allows(&signer.good_token()).await;
    }
}

#[tokio::test]
async fn rejects_token_without_signature() {
    for algorithm in ONE_OF_EACH_FAMILY {
        let signer = Signer::of(algorithm);
        let target = signer.target().await;
        let token = signer.good_token();
        let [header, payload, signature] = parts(&token);
        let zeros = encoded(vec![0; decoded(signature).len()]);
        for (token, why) in [
            (format!("{header}.{payload}."), InvalidToken::Signature),
            (format!("{header}.{payload}.AA"), InvalidToken::Signature),
            (
                format!("{header}.{payload}.{zeros}"),
                InvalidToken::Signature,
            ),
            (
                format!("{header}.{payload}.{payload}"),
                InvalidToken::Signature,
            ),
            // The claims are in the place of the signature.
            (format!("{header}.{payload}"), InvalidToken::Encoding),
        ] {
            target.rejects(&token, why).await;
        }
        target.allows(&token).await;
    }
}

/// CVE-2015-9235 and similar: the public key as the secret of an HMAC.
#[tokio::test]
async fn rejects_public_key_used_as_hmac_secret() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::EdDSA,
    ] {
        let signer = Signer::of(algorithm);
        let pem = &signer.public;
        let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let base64 = lines.concat();
        let mut jwk = signer.jwk();
        let bare = jwk.to_string();
        jwk["kid"] = json!("k");
        let set = json!({ "keys": [jwk] });
        let member = |name: &str| jwk[name].as_str().map_or_else(Vec::new, decoded);
        let secrets: [Vec<u8>; 10] = [
            pem.clone().into(),
            pem.trim_end().into(),
            pem.replace('\n', "\r\n").into(),
            pem.replace('\n', "\\n").into(),
            pem.replace('\n', "").into(),
            STANDARD.decode(&base64).unwrap(),
            base64.into(),
            bare.into(),
            set.to_string().into(),
            [member("n"), member("x"), member("y")].concat(),
        ];
        let (of_set, _server) = target_of_set(algorithm, &set).await;
        for target in [signer.target().await, of_set] {
            for secret in &secrets {
                for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    let forger = Signer::with_secret(hmac, secret);
                    for (alg, why) in [
                        (hmac, InvalidToken::Algorithm),
                        (algorithm, InvalidToken::Signature),
                    ] {
                        let header = json!({ "alg": alg, "kid": "k" }).to_string();
                        let token = forger.sign(header, good_claims().to_string());
                        target.rejects(&token, why).await;
                    }
                }
            }
            let header = json!({ "alg": algorithm, "kid": "k" }).to_string();
            let token = signer.sign(header, good_claims().to_string());
            target.allows(&token).await;
        }
    }
}

/// Also if both algorithms use the same key, as RS256, RS512 and PS256 do here.
#[tokio::test]
async fn rejects_signature_of_other_algorithm() {
    for configured in ALGORITHMS {
        let signer = Signer::of(configured);
        let verifier = signer.verifier();
        for algorithm in ALGORITHMS {
            let other = Signer::of(algorithm);
            let token = other.sign(signer.header(), good_claims().to_string());
            let claims = verify(&verifier, &token).await;
            let expected = (algorithm != configured).then_some(InvalidToken::Signature);
            assert_eq!(claims.err(), expected, "{algorithm:?} for {configured:?}");

            let claims = verify(&verifier, &other.good_token()).await;
            let expected = (algorithm != configured).then_some(InvalidToken::Algorithm);
            assert_eq!(claims.err(), expected, "{algorithm:?}, not {configured:?}");
        }
    }
}

#[tokio::test]
async fn compares_algorithm_name_exactly() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    for name in [
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\0",
        "HS-256",
        "HS25６",
        "ＨＳ256",
        "НS256",
        "HЅ256",
        "HS256\u{200b}",
        "HS256,RS256",
        "HMAC",
        "HS384",
        "A256KW",
        "dir",
    ] {
        let header = json!({ "alg": name }).to_string();
        let token = signer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::Algorithm).await;
    }
    for header in [
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"HS256":true}}"#,
        r#"{"Alg":"HS256"}"#,
        r#"{"header":{"alg":"HS256"}}"#,
    ] {
        let token = signer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::Header).await;
    }
    // The same name with escapes.
    for header in [r#"{"alg":"\u0048S256"}"#, r#"{"\u0061lg":"HS256"}"#] {
        let token = signer.sign(header, good_claims().to_string());
        target.allows(&token).await;
    }
}
