//! Attacks with malformed tokens that some parsers accept, or mistake for another token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::json;
use session_cleanup_tests::token_factory::{Signer, claims_with, encoded, good_claims, parts};
use session_token::InvalidToken;

/// A token whose parts contain each character that base64url has and base64 does not.
fn colourful(signer: &Signer) -> String {
    for n in 0.. {
        // Shifted by one byte each time, because the position of a byte determines its encoding.
        let text = format!("{}ÿ?>~ÿ?>~ÿ?>~", "x".repeat(n));
        let header = json!({ "alg": signer.algorithm, "x": text }).to_string();
        let claims = claims_with("scope", text).to_string();
        let token = signer.sign(header, claims);
        let has_both = |part: &&str| part.contains('-') && part.contains('_');
        if parts(&token).iter().all(has_both) {
            return token;
        }
    }
    unreachable!("a token has all the characters")
}

#[tokio::test]
async fn rejects_anything_but_unpadded_base64url() {
    let signer = Signer::of(Algorithm::ES256);
    let target = signer.target().await;
    let token = colourful(&signer);
    target.allows(&token).await;
    let original = parts(&token);
    for at in 0..3 {
        let part = original[at];
        let changed = [
            format!("{part}="),
            format!("{part}=="),
            format!("={part}"),
            part.replace('-', "+").replace('_', "/"),
            part.replace('-', "+"),
            part.replace('_', "/"),
            part.replace('-', "%2D"),
            format!("{part}%3D"),
            format!("{part}%00"),
            format!("{part}\0"),
            format!("{part}*"),
            format!("{part}é"),
            format!("{part}\u{200b}"),
            format!("\u{feff}{part}"),
            format!("{}\u{2014}", &part[..part.len() - 1]),
        ];
        for changed in changed {
            let mut parts = original;
            parts[at] = &changed;
            let token = parts.join(".");
            let why = match at {
                // The signature covers the text, so a changed text is rejected before it is parsed.
                1 => InvalidToken::Signature,
                _ => InvalidToken::Encoding,
            };
            target.rejects(&token, why).await;
        }
        // A token with spaces is not even a single word.
        for space in [" ", "\n", "\r\n", "\t", "\u{b}", "\u{a0}", "\u{2003}"] {
            let changed = format!("{}{space}{}", &part[..5], &part[5..]);
            let mut parts = original;
            parts[at] = &changed;
            target
                .answers(&parts.join("."), "Missing bearer token")
                .await;
        }
    }
}

/// In base64 without padding, the last character has two or four unused bits.
#[tokio::test]
async fn rejects_base64_with_nonzero_unused_bits() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut seen = 0;
    for algorithm in [Algorithm::HS256, Algorithm::ES256, Algorithm::RS256] {
        let signer = Signer::of(algorithm);
        let target = signer.target().await;
        for name in ["x", "xx", "xxx"] {
            let header = json!({ "alg": algorithm, "x": name }).to_string();
            let token = signer.sign(header, claims_with("scope", name).to_string());
            target.allows(&token).await;
            let original = parts(&token);
            for at in 0..3 {
                let (unused, last) = match original[at].len() % 4 {
                    2 => (4, original[at].len() - 1),
                    3 => (2, original[at].len() - 1),
                    _ => continue,
                };
                let value = ALPHABET
                    .iter()
                    .position(|it| *it == original[at].as_bytes()[last]);
                for bits in 1..1 << unused {
                    let character = char::from(ALPHABET[value.unwrap() | bits]);
                    let changed = format!("{}{character}", &original[at][..last]);
                    let mut parts = original;
                    parts[at] = &changed;
                    let why = match at {
                        1 => InvalidToken::Signature,
                        _ => InvalidToken::Encoding,
                    };
                    target.rejects(&parts.join("."), why).await;
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

/// If the issuer signs a payload that is not base64url, parsing the claims fails.
#[tokio::test]
async fn rejects_signed_payload_that_is_not_base64url() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    let header = encoded(signer.header());
    let claims = good_claims().to_string();
    let payload = encoded(&claims);
    for payload in [
        STANDARD.encode(claims.clone() + "  "),
        format!("{payload}="),
        format!("{payload}."),
        format!(".{payload}"),
        format!("{payload}.{payload}"),
        claims,
        String::new(),
    ] {
        let message = format!("{header}.{payload}");
        let token = format!("{message}.{}", encoded(signer.signature(&message)));
        let why = match payload.as_str() {
            "" => InvalidToken::Payload,
            _ => InvalidToken::Encoding,
        };
        target.rejects(&token, why).await;
    }
}

#[tokio::test]
async fn rejects_token_without_exactly_three_parts() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    let token = signer.good_token();
    let [header, payload, signature] = parts(&token);
    let key = encoded([7; 32]);
    let encrypted = encoded(json!({ "alg": "dir", "enc": "A256GCM" }).to_string());
    let disguised = encoded(json!({ "alg": "HS256", "enc": "A256GCM" }).to_string());
    for (bad, why) in [
        ("x".to_owned(), InvalidToken::Encoding),
        (".".to_owned(), InvalidToken::Encoding),
        ("..".to_owned(), InvalidToken::Header),
        ("...".to_owned(), InvalidToken::Header),
        ("a.b.c".to_owned(), InvalidToken::Encoding),
        (header.to_owned(), InvalidToken::Encoding),
        (format!("{header}..{signature}"), InvalidToken::Signature),
        (format!(".{payload}.{signature}"), InvalidToken::Header),
        (format!(".{token}"), InvalidToken::Header),
        (format!("{token}."), InvalidToken::Signature),
        (format!("{token}.."), InvalidToken::Signature),
        (format!("{token}.{signature}"), InvalidToken::Signature),
        (format!("{token}.{token}"), InvalidToken::Signature),
        (format!("{header}.{token}"), InvalidToken::Signature),
        (
            format!("{header}.{payload}..{signature}"),
            InvalidToken::Signature,
        ),
        (
            format!("{header}..{payload}.{signature}"),
            InvalidToken::Signature,
        ),
        (
            format!("{payload}.{header}.{signature}"),
            InvalidToken::Header,
        ),
        (
            format!("{signature}.{payload}.{header}"),
            InvalidToken::Header,
        ),
        (format!("{token}x"), InvalidToken::Signature),
        (format!("{token}AAAA"), InvalidToken::Signature),
        (format!("{token};"), InvalidToken::Encoding),
        (format!("\"{token}\""), InvalidToken::Encoding),
        // A JWE (RFC 7516 §7.1), and one with the expected header.
        (
            format!("{encrypted}..{key}.{payload}.{signature}"),
            InvalidToken::Algorithm,
        ),
        (
            format!("{encrypted}.{key}.{key}.{payload}.{signature}"),
            InvalidToken::Algorithm,
        ),
        (
            format!("{disguised}.{key}.{key}.{payload}.{signature}"),
            InvalidToken::Signature,
        ),
    ] {
        target.rejects(&bad, why).await;
    }
    // The JSON serializations of RFC 7515 §7.2, flattened and general.
    for json in [
        json!({ "protected": header, "payload": payload, "signature": signature }),
        json!({
            "payload": payload,
            "signatures": [{ "protected": header, "signature": signature }],
        }),
    ] {
        target
            .rejects(&json.to_string(), InvalidToken::Encoding)
            .await;
        target
            .rejects(&encoded(json.to_string()), InvalidToken::Encoding)
            .await;
    }
    target.allows(&token).await;
}
