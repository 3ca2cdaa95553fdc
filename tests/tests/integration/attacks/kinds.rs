//! Tokens of the same issuer, audience and key that are not access tokens: ID, refresh and logout tokens.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_tests::authorizing::{authorize, denial, rest_request};
use session_cleanup_tests::token_factory::{Signer, Target, good_claims};
use session_cleanup_tests::{HOUR, NOW, World};
use session_token::InvalidToken;

async fn target() -> (Signer, Target) {
    let signer = Signer::of(Algorithm::HS256);
    let target = signer.target().await;
    (signer, target)
}

/// Valid claims with these members added or replaced.
fn claims(members: Value) -> String {
    let mut claims = good_claims();
    let Value::Object(members) = members else {
        panic!("an object");
    };
    claims.as_object_mut().unwrap().extend(members);
    claims.to_string()
}

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Claims by which issuers mark other tokens than access tokens.
pub(super) fn other_kinds() -> [Value; 9] {
    [
        // Keycloak.
        json!({ "typ": "ID", "azp": "web", "at_hash": "x", "acr": "1" }),
        json!({ "typ": "Refresh", "azp": "web" }),
        json!({ "typ": "Offline", "azp": "web" }),
        json!({ "typ": "Logout", "events": { LOGOUT_EVENT: {} } }),
        // Amazon Cognito.
        json!({ "token_use": "id", "cognito:username": "ann" }),
        // Django SimpleJWT.
        json!({ "token_type": "refresh" }),
        json!({ "token_type": "sliding" }),
        // Logout tokens and other security events (RFC 8417).
        json!({ "events": { LOGOUT_EVENT: {} } }),
        json!({ "events": {} }),
    ]
}

#[tokio::test]
async fn denies_tokens_whose_claims_name_other_kind() {
    let (signer, target) = target().await;
    for other in other_kinds() {
        let token = signer.sign(signer.header(), claims(other));
        target.rejects(&token, InvalidToken::OtherKind).await;
    }
    for access in [
        json!({ "typ": "Bearer" }),
        json!({ "typ": "DPoP" }),
        json!({ "typ": 7 }),
        json!({ "token_use": "access" }),
        json!({ "token_type": "access" }),
        json!({ "token_type": "Bearer" }),
    ] {
        let token = signer.sign(signer.header(), claims(access));
        target.allows(&token).await;
    }
}

pub(super) const OTHER_TYPES: [&str; 6] = [
    "logout+jwt",
    "Logout+JWT",
    "application/logout+jwt",
    " secevent+jwt ",
    "APPLICATION/SECEVENT+JWT",
    "dpop+jwt",
];

#[tokio::test]
async fn denies_header_types_of_other_kinds() {
    let (signer, target) = target().await;
    let sign = |typ: Value| {
        let header = json!({ "alg": "HS256", "typ": typ }).to_string();
        signer.sign(header, good_claims().to_string())
    };
    for other in OTHER_TYPES {
        target
            .rejects(&sign(json!(other)), InvalidToken::Type)
            .await;
    }
    for access in ["JWT", "jwt", "at+jwt", "application/at+jwt", "", "anything"] {
        target.allows(&sign(json!(access))).await;
    }
    for malformed in [json!(null), json!(1), json!(["JWT"])] {
        target.rejects(&sign(malformed), InvalidToken::Header).await;
    }
}

/// An authorizer with these rules, and ann's live session s.
async fn world_with(types: &str, required: &str) -> World {
    let signer = Signer::of(Algorithm::HS256);
    let variables = [
        ("JWT_SECRET", signer.public.as_str()),
        ("JWT_TYPE", types),
        ("JWT_REQUIRED_CLAIMS", required),
    ];
    let world = World::with(variables).await;
    world.open("ann", "s", NOW + HOUR).await;
    world
}

#[tokio::test]
async fn configured_types_and_claims_narrow_what_is_accepted() {
    let signer = Signer::of(Algorithm::HS256);
    for (types, required, typ, members, setting) in [
        ("at+jwt", "", json!("at+jwt"), json!({}), None),
        ("at+jwt", "", json!("application/AT+JWT"), json!({}), None),
        ("JWT, at+jwt", "", json!("jwt"), json!({}), None),
        ("at+jwt", "", json!("JWT"), json!({}), Some("JWT_TYPE")),
        (
            "",
            "token_use=access",
            json!("JWT"),
            json!({ "token_use": "access" }),
            None,
        ),
        (
            "",
            "token_use=access",
            json!("JWT"),
            json!({}),
            Some("JWT_REQUIRED_CLAIMS"),
        ),
        (
            "",
            "token_use=access",
            json!("JWT"),
            json!({ "token_use": ["access"] }),
            Some("JWT_REQUIRED_CLAIMS"),
        ),
        // A kind that is configured explicitly is accepted.
        (
            "",
            "token_use=id",
            json!("JWT"),
            json!({ "token_use": "id" }),
            None,
        ),
        (
            "",
            "token_use=id",
            json!("JWT"),
            json!({ "token_use": "id", "typ": "Refresh" }),
            Some("JWT_REQUIRED_CLAIMS"),
        ),
        (
            "",
            "typ=Bearer,azp=web",
            json!("JWT"),
            json!({ "typ": "Bearer", "azp": "web" }),
            None,
        ),
        (
            "",
            "typ=Bearer,azp=web",
            json!("JWT"),
            json!({ "typ": "Bearer", "azp": "other" }),
            Some("JWT_REQUIRED_CLAIMS"),
        ),
        // Types of other kinds are denied even if they are configured.
        (
            "logout+jwt",
            "",
            json!("logout+jwt"),
            json!({}),
            Some("JWT_TYPE"),
        ),
    ] {
        let world = world_with(types, required).await;
        let header = json!({ "alg": "HS256", "typ": typ }).to_string();
        let token = signer.sign(header, claims(members.clone()));
        let policy = authorize(&world, &rest_request(&token)).await;
        let expected = setting.map(|_| "Invalid token");
        assert_eq!(
            denial(&policy),
            expected,
            "{types} {required} {typ} {members}"
        );
        if let Some(setting) = setting {
            assert_eq!(world.log.about("denied")[0]["setting"], setting);
        }
    }
}
