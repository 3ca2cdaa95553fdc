//! Attacks with validly signed claims, which must not reach records of other users.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_tests::log::LogGuard;
use session_cleanup_tests::token_factory::{Signer, Target, claims_with, good_claims, role, usual};
use session_cleanup_tests::{HOUR, NOW, authorizing};
use session_token::InvalidToken;

use super::header::no_objects;

async fn target() -> (Signer, Target) {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    (signer, target)
}

/// Valid claims as JSON, with the raw JSON of one claim.
fn written(name: &str, value: &str) -> String {
    let claims = claims_with(name, "?").to_string();
    claims.replace(&format!("\"{name}\":\"?\""), &format!("\"{name}\":{value}"))
}

/// Valid claims as JSON, followed by these members.
fn followed_by(members: &str) -> String {
    let claims = good_claims().to_string();
    format!("{},{members}}}", claims.trim_end_matches('}'))
}

#[tokio::test]
async fn rejects_claims_that_are_not_a_plain_json_object() {
    let (signer, target) = target().await;
    let members = good_claims().to_string();
    let members = members.trim_matches(['{', '}']);
    for payload in no_objects() {
        // With the required claims next to the single invalid one.
        let payload = String::from_utf8(payload).map_or_else(
            |not_text| {
                let bytes = not_text.into_bytes();
                [b"{", members.as_bytes(), b",", &bytes[1..]].concat()
            },
            |text| text.replacen(r#""alg":"HS256""#, members, 1).into(),
        );
        let token = signer.sign(signer.header(), payload);
        target.rejects(&token, InvalidToken::Payload).await;
    }
    let token = signer.sign(signer.header(), followed_by(r#""x":1e308,"y":[{"sub":1}]"#));
    target.allows(&token).await;
}

#[tokio::test]
async fn rejects_duplicate_names_in_claims() {
    let (signer, target) = target().await;
    for members in [
        r#""sub":"ann""#,
        r#""sub":"bob""#,
        r#""\u0073ub":"bob""#,
        r#""sid":"s""#,
        r#""jti":"k""#,
        r#""iss":"https://other.example""#,
        r#""aud":"other""#,
        r#""exp":9999999999"#,
        r#""scope":"sessions:admin""#,
        r#""s\u0063ope":"sessions:admin""#,
        r#""nbf":1,"nbf":1"#,
        r#""iat":1,"i\u0061t":1"#,
        r#""unknown":1,"unknown":1"#,
        r#""x":{"y":1,"y":1}"#,
        r#""x":[1,{"sub":1,"\u0073ub":1}]"#,
    ] {
        let token = signer.sign(signer.header(), followed_by(members));
        target.rejects(&token, InvalidToken::Payload).await;
    }
    let token = signer.sign(
        signer.header(),
        followed_by(r#""Sub":"bob","x":{"sub":"bob"}"#),
    );
    target.allows(&token).await;
}

/// JSON, or almost JSON, that is no date.
pub(super) const NO_DATES: [&str; 31] = [
    // Beyond binary64, i64, u64, and the year 9999.
    "1e400",
    "-1e400",
    "1e308",
    "1000000000000000000000000000000",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "253402300800",
    // Milliseconds.
    "1800000060000",
    "true",
    "false",
    "null",
    "[1800000060]",
    "[]",
    "{}",
    r#"{"$numberLong":"1800000060"}"#,
    r#""""#,
    r#""1800000060""#,
    r#""0x6b49d23c""#,
    r#""2027-01-15T08:01:00Z""#,
    r#""Infinity""#,
    "NaN",
    "Infinity",
    "-Infinity",
    "0x6b49d23c",
    "01800000060",
    "+1800000060",
    "1800000060.",
    "1_800_000_060",
    "1,800,000,060",
    "1e",
];

#[tokio::test]
async fn rejects_dates_that_are_not_valid_times() {
    let (signer, target) = target().await;
    for name in ["exp", "nbf", "iat"] {
        for value in NO_DATES {
            let token = signer.sign(signer.header(), written(name, value));
            let why = match serde_json::from_str::<Value>(value) {
                Ok(_) => InvalidToken::MalformedClaim(role(name)),
                Err(_) => InvalidToken::Payload,
            };
            target.rejects(&token, why).await;
        }
    }
    let token = signer.sign(signer.header(), written("exp", "253402300799.5"));
    let why = InvalidToken::MalformedClaim(role("exp"));
    target.rejects(&token, why).await;
}

#[tokio::test]
async fn compares_dates_by_value_in_any_notation() {
    let (signer, target) = target().await;
    for (name, value, refused) in [
        ("exp", "1.80000006e9", None),
        ("exp", "1800000060.0", None),
        ("exp", "1800000000.000001", None),
        ("exp", "18000000600000000000e-10", None),
        ("exp", "253402300799", None),
        ("exp", "1800000000.0", Some("Token expired")),
        ("exp", "1799999999.999999", Some("Token expired")),
        ("exp", "0", Some("Token expired")),
        ("exp", "-0", Some("Token expired")),
        ("exp", "-0.5", Some("Token expired")),
        ("exp", "1e-400", Some("Token expired")),
        ("exp", "-1e308", Some("Token expired")),
        ("exp", "-9223372036854775809", Some("Token expired")),
        ("nbf", "1.8e9", None),
        ("nbf", "1799999999.5", None),
        ("nbf", "-1e308", None),
        // Valid from within this second; the clock has whole seconds.
        ("nbf", "1800000000.000001", None),
        ("nbf", "1800000000.999999", None),
        ("nbf", "1800000001", Some("Invalid token")),
        ("nbf", "253402300799.5", Some("Invalid token")),
        ("iat", "-9223372036854775809", None),
        ("iat", "1e-400", None),
        ("iat", "1800000000.5", None),
        ("iat", "1800000001.0", Some("Invalid token")),
    ] {
        let token = signer.sign(signer.header(), written(name, value));
        match refused {
            None => target.allows(&token).await,
            Some("Invalid token") => {
                let why = InvalidToken::NotYetValid(role(name));
                target.rejects(&token, why).await;
            }
            Some(error) => target.answers(&token, error).await,
        }
    }
}

/// Texts that look like "ann" or equal it by some rule: case, full width, another alphabet,
/// invisible characters, another order.
const LIKE_ANN: [&str; 19] = [
    "Ann",
    "ANN",
    "ａｎｎ",
    "аnn",
    "anո",
    "𝐚nn",
    "ªnn",
    "a\u{200b}nn",
    "ann\u{200d}",
    "\u{feff}ann",
    "ann\u{ad}",
    "ann\u{fe0f}",
    "\u{202e}nna",
    "ann\u{2028}",
    " ann",
    "ann ",
    "ann\u{a0}",
    "ann\u{3000}",
    "an%6E",
];

#[tokio::test]
async fn lookalike_user_or_session_id_finds_no_session() {
    let (signer, target) = target().await;
    for like in LIKE_ANN {
        let token = signer.sign(signer.header(), claims_with("sub", like).to_string());
        target.answers(&token, "Session not found").await;
    }
    for like in [
        "S",
        "ｓ",
        "ѕ",
        "ſ",
        "s\u{200b}",
        "s ",
        " s",
        "s#",
        "#s",
        "s/",
        "s*",
        "%",
        "s%",
        "_",
        "SESSION#s",
        "s\u{301}",
    ] {
        let token = signer.sign(signer.header(), claims_with("sid", like).to_string());
        target.answers(&token, "Session not found").await;
    }
    target.allows(&signer.good_token()).await;
}

/// User IDs are compared byte by byte: different normal forms are different users.
#[tokio::test]
async fn keeps_users_of_different_unicode_forms_apart() {
    let (signer, target) = target().await;
    let forms = [
        "é", "e\u{301}", "Å", "\u{212b}", "A\u{30a}", "ﬁ", "fi", "ｱ", "ア",
    ];
    for user in forms {
        for other in forms {
            let name = format!("of {}", other.escape_unicode());
            if user == other {
                target.world.open(user, &name, NOW + HOUR).await;
            }
        }
    }
    for user in forms {
        for other in forms {
            let mut claims = claims_with("sub", user);
            claims["sid"] = format!("of {}", other.escape_unicode()).into();
            let token = signer.sign(signer.header(), claims.to_string());
            if user != other {
                target.answers(&token, "Session not found").await;
                continue;
            }
            let event = authorizing::rest_request(&token);
            let answer = authorizing::authorize(&target.world, &event).await;
            assert_eq!(authorizing::denial(&answer), None, "{user}");
            assert_eq!(answer["context"]["user_id"], user, "unchanged");
        }
    }
}

/// `#` separates the kind and the ID in a key, and an ID may contain it.
#[tokio::test]
async fn identifiers_reach_no_record_of_other_kind_or_user() {
    let (signer, target) = target().await;
    target.world.blacklist("ann", "b", NOW + HOUR).await;
    target.world.refresh_token("ann", "r", NOW + HOUR).await;
    for (user, session) in [
        ("ann#SESSION#s", "s"),
        ("ann#", "s"),
        ("#ann", "s"),
        ("USER#ann", "s"),
        ("ann#SESSION", "#s"),
        ("ann", "s#SESSION#s"),
        ("ann", "SESSION#s"),
        ("ann", "#BLACKLIST#b"),
        ("ann", "BLACKLIST#b"),
        ("ann", "../BLACKLIST#b"),
        ("CLEANUP", "s"),
    ] {
        let mut claims = claims_with("sub", user);
        claims["sid"] = session.into();
        let token = signer.sign(signer.header(), claims.to_string());
        target.answers(&token, "Session not found").await;
    }
    // The blacklist entry must be found, too.
    for (token_id, revoked) in [
        ("b", true),
        ("b#", false),
        ("#b", false),
        ("BLACKLIST#b", false),
    ] {
        let token = signer.sign(signer.header(), claims_with("jti", token_id).to_string());
        if revoked {
            target.answers(&token, "Token revoked").await;
        } else {
            target.allows(&token).await;
        }
    }
    // A user with such an ID is exactly that user.
    target.world.open("ann#SESSION#s", "#", NOW + HOUR).await;
    let mut claims = claims_with("sub", "ann#SESSION#s");
    claims["sid"] = "#".into();
    let token = signer.sign(signer.header(), claims.to_string());
    let answer = authorizing::authorize(&target.world, &authorizing::rest_request(&token)).await;
    assert_eq!(answer["context"]["user_id"], "ann#SESSION#s");
}

#[tokio::test]
async fn rejects_identifiers_with_control_characters() {
    let (signer, target) = target().await;
    for name in ["sub", "sid", "jti"] {
        for character in [
            '\0', '\u{1}', '\u{8}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}',
        ] {
            for value in [
                format!("ann{character}"),
                format!("{character}ann"),
                format!("a{character}nn"),
                character.to_string(),
            ] {
                let token = signer.sign(signer.header(), claims_with(name, value).to_string());
                let why = InvalidToken::MalformedClaim(role(name));
                target.rejects(&token, why).await;
            }
        }
        for value in [
            json!(["ann"]),
            json!({ "ann": 1 }),
            json!(0.5),
            json!(1e300),
            json!(true),
            json!(null),
        ] {
            let token = signer.sign(signer.header(), claims_with(name, value).to_string());
            let why = InvalidToken::MalformedClaim(role(name));
            target.rejects(&token, why).await;
        }
    }
}

/// Texts that look like this one, or contain it.
pub(super) fn likes(right: &str) -> [String; 17] {
    [
        right.to_uppercase(),
        format!("{right}/"),
        format!("{right} "),
        format!(" {right}"),
        format!("{right}\0"),
        format!("{right}\u{200b}"),
        format!("{right}.evil.example"),
        format!("{right}@evil.example"),
        format!("{right},other"),
        format!("[\"{right}\"]"),
        right.replace('e', "е"),
        right.replace('s', "ｓ"),
        right.replace('a', "a\u{301}"),
        right[..right.len() - 1].to_owned(),
        right[1..].to_owned(),
        "*".to_owned(),
        String::new(),
    ]
}

#[tokio::test]
async fn rejects_lookalike_issuer_or_audience() {
    let (signer, target) = target().await;
    let (issuer, audience) = (usual("JWT_ISSUER"), usual("JWT_AUDIENCE"));
    for like in likes(&issuer) {
        let token = signer.sign(signer.header(), claims_with("iss", like).to_string());
        target.rejects(&token, InvalidToken::Issuer).await;
    }
    for like in likes(&audience) {
        for value in [json!(like), json!([like]), json!(["other", like])] {
            let token = signer.sign(signer.header(), claims_with("aud", value).to_string());
            target.rejects(&token, InvalidToken::Audience).await;
        }
    }
    let malformed = InvalidToken::MalformedClaim;
    for (name, value, why) in [
        ("aud", json!([]), InvalidToken::Audience),
        ("aud", json!([null]), malformed(role("aud"))),
        ("aud", json!([audience, null]), malformed(role("aud"))),
        ("aud", json!([audience, 1]), malformed(role("aud"))),
        ("aud", json!([[audience]]), malformed(role("aud"))),
        ("aud", json!({ "aud": audience }), malformed(role("aud"))),
        ("aud", json!(true), malformed(role("aud"))),
        ("iss", json!([issuer]), malformed(role("iss"))),
        ("iss", json!({ "iss": issuer }), malformed(role("iss"))),
        ("iss", json!(null), malformed(role("iss"))),
    ] {
        let token = signer.sign(signer.header(), claims_with(name, value).to_string());
        target.rejects(&token, why).await;
    }
    for name in ["iss", "aud", "sub", "sid", "jti", "exp"] {
        let mut claims = good_claims();
        let removed = claims.as_object_mut().and_then(|it| it.remove(name));
        assert!(removed.is_some());
        let token = signer.sign(signer.header(), claims.to_string());
        let why = InvalidToken::MissingClaim(role(name));
        target.rejects(&token, why).await;
    }
}

#[tokio::test]
async fn logs_name_of_malformed_claim_but_never_its_value() {
    const VALUE: &str = "a value that occurs nowhere else";
    let (signer, target) = target().await;
    for (name, value) in [
        ("sub", json!([42])),
        ("sub", json!("x".repeat(300))),
        ("sid", json!([VALUE])),
        ("jti", json!({ VALUE: VALUE })),
        ("exp", json!(VALUE)),
        ("exp", json!(1_800_000_000_000_i64)),
        ("nbf", json!(VALUE)),
        ("iat", json!(null)),
        ("aud", json!([VALUE, 1])),
    ] {
        let lines = LogGuard::start();
        let token = signer.sign(signer.header(), claims_with(name, value).to_string());
        target.answers(&token, "Invalid token").await;
        let line = &lines.about("a claim is malformed")[0];
        assert_eq!(line["claim"], name, "{line}");
        assert!(lines.about(VALUE).is_empty(), "{name}");
    }
}
