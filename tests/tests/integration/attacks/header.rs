//! Attacks with validly signed headers that must be rejected or ignored.

use jsonwebtoken::Algorithm;
use serde_json::json;
use session_cleanup_tests::token_factory::{Signer, good_claims};
use session_token::InvalidToken;

/// Texts that are not JSON objects, or that parsers interpret differently.
pub(crate) fn no_objects() -> Vec<Vec<u8>> {
    let texts = [
        "",
        " ",
        "null",
        "true",
        "7",
        r#""HS256""#,
        "[]",
        r#"["HS256"]"#,
        r#"[{"alg":"HS256"}]"#,
        "{",
        "{}}",
        r#"{"alg":"HS256""#,
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256"}{"alg":"HS256"}"#,
        r#"{"alg":"HS256"},"#,
        r#"{"alg":"HS256",}"#,
        r#"{alg:"HS256"}"#,
        "{'alg':'HS256'}",
        r#"{"alg":"HS256"/**/}"#,
        r#"{"alg":"HS256"} // x"#,
        r#"{"alg":"HS256","x":NaN}"#,
        r#"{"alg":"HS256","x":Infinity}"#,
        r#"{"alg":"HS256","x":1e400}"#,
        r#"{"alg":"HS256","x":01}"#,
        r#"{"alg":"HS256","x":+1}"#,
        r#"{"alg":"HS256","x":0x1}"#,
        r#"{"alg":"HS256","x":.5}"#,
        r#"{"alg":"HS256","x":"\ud800"}"#,
        r#"{"alg":"HS256","\ud800":1}"#,
        r#"{"alg":"HS256","x":"\x41"}"#,
        "{\"alg\":\"HS256\",\"x\":\"\n\"}",
        "{\"alg\":\"HS256\",\"x\":\"\0\"}",
        "{\"alg\":\"HS256\"}\0",
        "\u{feff}{\"alg\":\"HS256\"}",
        "\u{a0}{\"alg\":\"HS256\"}",
        r#"{"alg":"HS256","x":{"$serde_json::private::RawValue":"1"}}"#,
    ];
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(400), close.repeat(400));
        format!(r#"{{"alg":"HS256","x":{open}1{close}}}"#)
    };
    let mut all: Vec<Vec<u8>> = texts.map(Into::into).into();
    all.push(deep("[", "]").into());
    all.push(deep(r#"{"x":"#, "}").into());
    // Invalid UTF-8: an impossible byte, an overlong character, half a character, a surrogate, and
    // UTF-16.
    for bad in [
        &[0xff][..],
        &[0xc0, 0xa2],
        &[0xe2, 0x82],
        &[0xed, 0xa0, 0x80],
    ] {
        all.push([br#"{"alg":"HS256","x":""#, bad, br#""}"#].concat());
        all.push([br#"{"alg":"HS256",""#, bad, br#"":1}"#].concat());
    }
    let wide = r#"{"alg":"HS256"}"#.encode_utf16();
    all.push(wide.flat_map(u16::to_le_bytes).collect());
    all
}

#[tokio::test]
async fn rejects_header_that_is_not_a_plain_json_object() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    for header in no_objects() {
        let token = signer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::Header).await;
    }
    for header in [
        "{\"alg\":\"HS256\"}\r\n",
        " \t{ \"alg\" : \"HS256\" } ",
        r#"{"alg":"HS256","x":1e308,"y":-0,"z":[{"x":1},{"x":1}],"💥":"\ud83d\ude00"}"#,
    ] {
        let token = signer.sign(header, good_claims().to_string());
        target.allows(&token).await;
    }
}

#[tokio::test]
async fn rejects_duplicate_names_in_header() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"\u0061lg":"HS256","a\u006cg":"none"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"a"}"#,
        r#"{"alg":"HS256","kid":"a","kid":null}"#,
        r#"{"alg":"HS256","crit":[],"crit":[]}"#,
        r#"{"alg":"HS256","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"HS256","unknown":1,"unknown":1}"#,
        r#"{"alg":"HS256","":1,"":2}"#,
        r#"{"alg":"HS256","é":1,"\u00e9":2}"#,
        r#"{"alg":"HS256","😀":1,"\ud83d\ude00":2}"#,
        r#"{"alg":"HS256","jwk":{"kty":"OKP","kty":"RSA"}}"#,
        r#"{"alg":"HS256","x":[[{"y":{"z":1,"z":1}}]]}"#,
    ] {
        let token = signer.sign(header, good_claims().to_string());
        target.rejects(&token, InvalidToken::Header).await;
    }
    let header = r#"{"alg":"HS256","Alg":1,"alg ":1,"é":1,"e\u0301":2,"x":{"alg":1}}"#;
    let token = signer.sign(header, good_claims().to_string());
    target.allows(&token).await;
}

/// Values of `crit`.
pub(super) const CRITICAL: [&str; 15] = [
    r#"["exp"]"#,
    r#"["b64"]"#,
    r#"["alg"]"#,
    r#"["crit"]"#,
    r#"["x"]"#,
    r#"[""]"#,
    r#"["exp","exp"]"#,
    "[]",
    "[null]",
    "{}",
    r#""exp""#,
    r#""""#,
    "null",
    "false",
    "0",
];

/// RFC 7515 §4.1.11: no critical extension is supported. An empty list, or a value that is not a
/// list, is invalid.
#[tokio::test]
async fn rejects_critical_extensions_in_any_form() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    for crit in CRITICAL {
        for header in [
            format!(r#"{{"alg":"HS256","crit":{crit}}}"#),
            format!(r#"{{"alg":"HS256","crit":{crit},"exp":1,"x":1,"b64":true}}"#),
            format!(r#"{{"\u0063rit":{crit},"alg":"HS256"}}"#),
        ] {
            let token = signer.sign(header, good_claims().to_string());
            target.rejects(&token, InvalidToken::Critical).await;
        }
    }
    let header = r#"{"alg":"HS256","Crit":["exp"],"x":{"crit":["exp"]}}"#;
    let token = signer.sign(header, good_claims().to_string());
    target.allows(&token).await;
}

/// RFC 7797 §7: the payload of a JWT is always encoded. A parser that obeys this header reads
/// another payload than one that ignores it.
#[tokio::test]
async fn rejects_header_that_declares_unencoded_payload() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    let claims = good_claims().to_string();
    for (header, why) in [
        (r#"{"alg":"HS256","b64":false}"#, InvalidToken::Critical),
        (
            r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
            InvalidToken::Critical,
        ),
        (r#"{"alg":"HS256","b64":null}"#, InvalidToken::Header),
        (r#"{"alg":"HS256","b64":0}"#, InvalidToken::Header),
        (r#"{"alg":"HS256","b64":"false"}"#, InvalidToken::Header),
    ] {
        target.rejects(&signer.sign(header, &claims), why).await;
    }
    // The real form of such a token: an unencoded payload, here without spaces or dots.
    let header = session_cleanup_tests::token_factory::encoded(r#"{"alg":"HS256","b64":false}"#);
    let payload = claims.replace('.', r"\u002e");
    let message = format!("{header}.{payload}");
    let signature = session_cleanup_tests::token_factory::encoded(signer.signature(&message));
    target
        .rejects(&format!("{message}.{signature}"), InvalidToken::Critical)
        .await;
    let token = signer.sign(r#"{"alg":"HS256","b64":true}"#, &claims);
    target.allows(&token).await;
}

#[tokio::test]
async fn rejects_oversized_token() {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    let padded = |bytes: usize| {
        let header = json!({ "alg": "HS256", "x": "x".repeat(bytes) }).to_string();
        signer.sign(header, good_claims().to_string())
    };
    target.rejects(&padded(7_700), InvalidToken::TooLong).await;
    target
        .rejects(&padded(1_000_000), InvalidToken::TooLong)
        .await;
    target.allows(&padded(7_000)).await;
}
