//! The attacks of the other modules on the tokens of each identity provider, with its settings. Attacks on signatures
//! and keys are not repeated if they are the same for all settings.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use session_cleanup_tests::NOW;
use session_cleanup_tests::identity_providers::{Provider, providers};
use session_cleanup_tests::key_server::Answer;
use session_cleanup_tests::token_factory::{Signer, Target, decoded, encoded, parts};
use session_token::{ClaimName, ClaimRole, InvalidToken};

use super::algorithm::NONE;
use super::claims::{NO_DATES, likes};
use super::embedded::KIDS;
use super::header::{CRITICAL, no_objects};
use super::kinds::{OTHER_TYPES, other_kinds};

/// A provider, and an authorizer with its settings and a live session.
struct Attacked {
    provider: Provider,
    target: Target,
    header: Value,
    claims: Value,
}

/// Runs an attack on each provider. Its own token is allowed before and afterwards.
async fn each_provider(attack: impl AsyncFn(&Attacked)) {
    for provider in providers() {
        let (target, _server) = provider.target().await;
        let attacked = Attacked {
            header: provider.header(),
            claims: provider.claims(),
            target,
            provider,
        };
        attacked.target.allows(&attacked.provider.token()).await;
        attack(&attacked).await;
        attacked.target.allows(&attacked.provider.token()).await;
    }
}

impl Attacked {
    fn signer(&self) -> Signer {
        self.provider.signer()
    }

    fn algorithm(&self) -> Algorithm {
        self.provider.algorithm()
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.provider.settings.get(name).map(String::as_str)
    }

    /// The claim that a setting names.
    fn claim(&self, setting: &str, standard: &str) -> ClaimName {
        ClaimName::parse(self.setting(setting).unwrap_or(standard)).unwrap()
    }

    /// A token with this member of the header, validly signed.
    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        let mut header = self.header.clone();
        header[name] = value.into();
        self.provider.sign(&header, &self.claims)
    }

    /// A token with this claim, validly signed.
    fn with_claim(&self, name: &ClaimName, value: impl Into<Value>) -> String {
        let mut claims = self.claims.clone();
        name.set(&mut claims, value.into());
        self.provider.sign(&self.header, &claims)
    }

    /// A token with this payload, validly signed.
    fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        self.signer().sign(self.header.to_string(), payload)
    }

    /// The members of the claims, without the braces.
    fn members(&self) -> String {
        let claims = self.claims.to_string();
        claims[1..claims.len() - 1].to_owned()
    }

    async fn denies(&self, token: &str) {
        self.target.answers(token, "Invalid token").await;
    }

    async fn rejects(&self, token: &str, why: InvalidToken) {
        self.target.rejects(token, why).await;
    }
}

fn named(name: &str) -> ClaimName {
    ClaimName::parse(name).unwrap()
}

#[tokio::test]
async fn rejects_unsigned_and_foreign_tokens_of_each_provider() {
    each_provider(async |it| {
        let signature_of = |token: &str| decoded(parts(token)[2]);
        for none in NONE {
            let token = it.with_header("alg", none);
            let (message, _) = token.rsplit_once('.').unwrap();
            it.rejects(&format!("{message}."), InvalidToken::Algorithm)
                .await;
            it.rejects(&token, InvalidToken::Algorithm).await;
        }
        let good = it.provider.token();
        let (message, signature) = good.rsplit_once('.').unwrap();
        let bytes = signature_of(&good);
        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        for forged in [
            vec![],
            vec![0; bytes.len()],
            flipped,
            bytes[..bytes.len() - 1].to_vec(),
            [&bytes[..], &[0]].concat(),
        ] {
            let token = format!("{message}.{}", encoded(forged));
            it.rejects(&token, InvalidToken::Signature).await;
        }
        let stranger = Signer::stranger(it.algorithm());
        let forged = stranger.sign(it.header.to_string(), it.claims.to_string());
        it.rejects(&forged, InvalidToken::Signature).await;
        // The public key as the secret of an HMAC, and other algorithms.
        let mut others = vec![Signer::with_secret(Algorithm::HS256, signature)];
        if !it.provider.has_secret() {
            let key = it.provider.published_keys()[0].to_string();
            others.push(Signer::with_secret(Algorithm::HS256, key));
            others.push(Signer::with_secret(Algorithm::HS256, it.signer().public));
        }
        others.extend([Algorithm::RS384, Algorithm::PS256, Algorithm::HS512].map(Signer::of));
        for other in others {
            let forged = other.sign(it.header.to_string(), it.claims.to_string());
            it.rejects(&forged, InvalidToken::Signature).await;
            let mut header = it.header.clone();
            header["alg"] = json!(other.algorithm);
            let forged = other.sign(header.to_string(), it.claims.to_string());
            it.denies(&forged).await;
        }
    })
    .await;
}

#[tokio::test]
async fn rejects_malformed_form_of_tokens_of_each_provider() {
    each_provider(async |it| {
        let token = it.provider.token();
        let original = parts(&token);
        let [header, payload, signature] = original;
        for bad in [
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{signature}"),
            format!("{token}x"),
            format!("{token};"),
            format!("{header}.{payload}"),
            format!("{header}..{signature}"),
            format!("{payload}.{header}.{signature}"),
            format!("{header}.{payload}.."),
            json!({ "protected": header, "payload": payload, "signature": signature }).to_string(),
        ] {
            it.denies(&bad).await;
        }
        for at in 0..3 {
            let part = original[at];
            for changed in [
                format!("{part}="),
                format!("{part}=="),
                format!("={part}"),
                format!("{part}%3D"),
                format!("{part}*"),
                format!("{part}\u{200b}"),
                part[1..].to_owned(),
            ] {
                let mut parts = original;
                parts[at] = &changed;
                it.denies(&parts.join(".")).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rejects_malformed_headers_of_each_provider() {
    each_provider(async |it| {
        let (algorithm, claims) = (format!("{:?}", it.algorithm()), it.claims.to_string());
        for header in no_objects() {
            let header = String::from_utf8(header)
                .map_or_else(std::string::FromUtf8Error::into_bytes, |text| {
                    text.replace("HS256", &algorithm).into_bytes()
                });
            let token = it.signer().sign(header, &claims);
            it.rejects(&token, InvalidToken::Header).await;
        }
        let header = it.header.to_string();
        let begin = header.trim_end_matches('}');
        for (name, value) in it.header.as_object().unwrap() {
            let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
            for name in [name, &escaped] {
                let token = it
                    .signer()
                    .sign(format!("{begin},\"{name}\":{value}}}"), &claims);
                it.rejects(&token, InvalidToken::Header).await;
            }
        }
        for crit in CRITICAL {
            let token = it
                .signer()
                .sign(format!("{begin},\"crit\":{crit}}}"), &claims);
            it.rejects(&token, InvalidToken::Critical).await;
        }
        it.rejects(&it.with_header("b64", false), InvalidToken::Critical)
            .await;
        it.rejects(&it.with_header("b64", 0), InvalidToken::Header)
            .await;
        for kid in [json!(1.5), json!(true), json!(["k"]), json!({ "k": 1 })] {
            it.rejects(&it.with_header("kid", kid), InvalidToken::Header)
                .await;
        }
        for kid in KIDS {
            let token = it.with_header("kid", kid);
            if it.provider.has_secret() {
                it.target.allows(&token).await;
            } else {
                it.rejects(&token, InvalidToken::UnknownKey).await;
            }
        }
        for typ in OTHER_TYPES {
            it.rejects(&it.with_header("typ", typ), InvalidToken::Type)
                .await;
        }
        for typ in [
            "JWT",
            "jwt",
            "",
            "anything",
            "at+jwt;x=1",
            "application/jwt",
        ] {
            let token = it.with_header("typ", typ);
            match it.setting("JWT_TYPE") {
                None => it.target.allows(&token).await,
                Some(_) => it.rejects(&token, InvalidToken::Type).await,
            }
        }
        let token = it.with_header("typ", "application/AT+JWT");
        it.target.allows(&token).await;
    })
    .await;
}

#[tokio::test]
async fn ignores_keys_that_tokens_of_each_provider_bring() {
    each_provider(async |it| {
        let algorithm = it.algorithm();
        let stranger = Signer::stranger(algorithm);
        let jwk = if it.provider.has_secret() {
            json!({ "kty": "oct", "k": encoded(&stranger.public) })
        } else {
            stranger.jwk()
        };
        for members in [
            json!({ "jwk": jwk }),
            json!({ "jwk": jwk, "jku": "http://127.0.0.1:1/keys" }),
            json!({ "x5u": "http://127.0.0.1:1/keys", "x5c": ["MAA="] }),
            json!({ "epk": jwk, "jwks_uri": "http://127.0.0.1:1/keys" }),
        ] {
            let mut header = it.header.clone();
            let Value::Object(members) = members else {
                unreachable!("an object");
            };
            header.as_object_mut().unwrap().extend(members);
            let forged = stranger.sign(header.to_string(), it.claims.to_string());
            it.rejects(&forged, InvalidToken::Signature).await;
            let token = it.provider.sign(&header, &it.claims);
            it.target.allows(&token).await;
        }
    })
    .await;
}

/// Keys for other purposes, and a private key, next to each provider's own.
#[tokio::test]
async fn rejects_keys_for_other_purposes_of_each_provider() {
    for provider in providers().into_iter().filter(|it| !it.has_secret()) {
        let (target, server) = provider.target().await;
        let server = server.unwrap();
        let kid = provider.header()["kid"].clone();
        let stranger = Signer::stranger(provider.algorithm());
        let with = |kid: &Value, name: &str, value: Value| {
            let mut jwk = stranger.jwk();
            jwk["kid"] = kid.clone();
            jwk[name] = value;
            jwk
        };
        let mut keys = provider.published_keys();
        keys.extend([
            with(&kid, "use", json!("enc")),
            with(&kid, "alg", json!("ES512")),
            with(&json!("encryption"), "use", json!("enc")),
            with(&json!("private"), "d", json!("AA")),
        ]);
        server.set(Answer::keys(&keys));
        for kid in [&kid, &json!("encryption"), &json!("private"), &Value::Null] {
            let mut header = provider.header();
            header["kid"] = kid.clone();
            let forged = stranger.sign(header.to_string(), provider.claims().to_string());
            target.answers(&forged, "Invalid token").await;
        }
        target.allows(&provider.token()).await;
    }
}

#[tokio::test]
async fn rejects_malformed_claims_of_each_provider() {
    each_provider(async |it| {
        let members = it.members();
        for payload in no_objects() {
            // With the needed claims next to what is invalid.
            let payload = String::from_utf8(payload).map_or_else(
                |not_text| {
                    let bytes = not_text.into_bytes();
                    [b"{", members.as_bytes(), b",", &bytes[1..]].concat()
                },
                |text| text.replacen(r#""alg":"HS256""#, &members, 1).into(),
            );
            it.rejects(&it.with_payload(payload), InvalidToken::Payload)
                .await;
        }
        for (name, value) in it.claims.as_object().unwrap() {
            let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
            for name in [name, &escaped] {
                for value in [value, &json!("root"), &Value::Null] {
                    let payload = format!("{{{members},\"{name}\":{value}}}");
                    it.rejects(&it.with_payload(payload), InvalidToken::Payload)
                        .await;
                }
            }
        }
        let payload = format!("{{{members},\"x\":1e308,\"Sub\":\"bob\",\"y\":[{{\"sub\":1}}]}}");
        it.target.allows(&it.with_payload(payload)).await;
    })
    .await;
}

#[tokio::test]
async fn rejects_invalid_dates_of_each_provider() {
    each_provider(async |it| {
        for (name, role) in [
            ("exp", ClaimRole::Expiry),
            ("nbf", ClaimRole::NotBefore),
            ("iat", ClaimRole::IssuedAt),
        ] {
            let mut claims = it.claims.clone();
            claims[name] = json!("?");
            for value in NO_DATES {
                let payload = claims
                    .to_string()
                    .replace(&format!("\"{name}\":\"?\""), &format!("\"{name}\":{value}"));
                let why = match serde_json::from_str::<Value>(value) {
                    Ok(_) => InvalidToken::MalformedClaim(role),
                    Err(_) => InvalidToken::Payload,
                };
                it.rejects(&it.with_payload(payload), why).await;
            }
            if name != "exp" {
                let token = it.with_claim(&named(name), NOW + 1);
                it.rejects(&token, InvalidToken::NotYetValid(role)).await;
            }
        }
        for past in [json!(0), json!(-1e308), json!(NOW), json!(NOW - 1)] {
            let token = it.with_claim(&named("exp"), past);
            it.target.answers(&token, "Token expired").await;
        }
    })
    .await;
}

#[tokio::test]
async fn rejects_other_ids_in_mapped_claims_of_each_provider() {
    each_provider(async |it| {
        let claim = |setting, standard| it.claim(setting, standard);
        let (user, session) = (&it.provider.user, &it.provider.session);
        let mut ids = vec![
            (claim("JWT_USER_CLAIM", "sub"), ClaimRole::User, Some(user)),
            (
                claim("JWT_SESSION_CLAIM", "sid"),
                ClaimRole::Session,
                Some(session),
            ),
        ];
        let token_id = claim("JWT_TOKEN_ID_CLAIM", "jti");
        if token_id.as_str() != "none" {
            ids.push((token_id, ClaimRole::TokenId, None));
        }
        for (name, role, id) in ids {
            for value in [
                json!(["ann"]),
                json!({ "ann": 1 }),
                json!(0.5),
                json!(1e300),
                json!(true),
                json!(null),
                json!(""),
                json!("x".repeat(257)),
                json!("a\u{0}"),
                json!("\u{1b}a"),
                json!("a\nb"),
                json!("a\u{85}"),
            ] {
                let token = it.with_claim(&name, value);
                it.rejects(&token, InvalidToken::MalformedClaim(role)).await;
            }
            let Some(id) = id else {
                continue;
            };
            for other in likes(id).into_iter().chain([
                format!("{id}#"),
                format!("#{id}"),
                format!("SESSION#{id}"),
            ]) {
                // Some changes leave some ids as they are.
                if !other.contains('\0') && !other.is_empty() && other != *id {
                    let token = it.with_claim(&name, other);
                    it.target.answers(&token, "Session not found").await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rejects_other_issuers_and_apis_of_each_provider() {
    each_provider(async |it| {
        let issuer = it.setting("JWT_ISSUER").unwrap();
        // The provider's own ids have characters that some of the changes do not find.
        for like in likes(issuer).into_iter().filter(|like| like != issuer) {
            let token = it.with_claim(&named("iss"), like);
            it.rejects(&token, InvalidToken::Issuer).await;
        }
        let malformed = InvalidToken::MalformedClaim(ClaimRole::Issuer);
        for value in [
            json!([issuer]),
            json!({ "iss": issuer }),
            json!(null),
            json!(7),
        ] {
            it.rejects(&it.with_claim(&named("iss"), value), malformed)
                .await;
        }
        let audience = it.claim("JWT_AUDIENCE_CLAIM", "aud");
        let required = it.setting("JWT_REQUIRED_CLAIMS").unwrap_or_default();
        for pair in required.split(',').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            let values = [
                json!([value]),
                json!({ value: value }),
                json!(null),
                json!(1),
            ];
            let likes = likes(value).map(Value::from).into_iter();
            for other in likes.chain(values).filter(|other| *other != value) {
                it.denies(&it.with_claim(&named(name), other)).await;
            }
        }
        let Some(ours) = it.setting("JWT_AUDIENCE") else {
            return;
        };
        for like in likes(ours).into_iter().filter(|like| like != ours) {
            for value in [json!(like), json!([like]), json!(["other", like])] {
                let token = it.with_claim(&audience, value);
                it.rejects(&token, InvalidToken::Audience).await;
            }
        }
        let malformed = InvalidToken::MalformedClaim(ClaimRole::Audience);
        for (value, why) in [
            (json!([]), InvalidToken::Audience),
            (json!([null]), malformed),
            (json!([ours, null]), malformed),
            (json!([ours, 1]), malformed),
            (json!([[ours]]), malformed),
            (json!({ "aud": ours }), malformed),
            (json!(true), malformed),
        ] {
            it.rejects(&it.with_claim(&audience, value), why).await;
        }
        let token = it.with_claim(&audience, json!(["other", ours]));
        it.target.allows(&token).await;
    })
    .await;
}

#[tokio::test]
async fn denies_other_kinds_of_tokens_of_each_provider() {
    each_provider(async |it| {
        let required = it.setting("JWT_REQUIRED_CLAIMS").unwrap_or_default();
        for members in other_kinds() {
            let mut claims = it.claims.clone();
            let Value::Object(members) = members else {
                unreachable!("an object");
            };
            let is_configured = |(name, value): (&String, &Value)| {
                required == format!("{name}={}", value.as_str().unwrap_or_default())
            };
            let is_accepted = members.iter().any(is_configured);
            claims.as_object_mut().unwrap().extend(members);
            let token = it.provider.sign(&it.header, &claims);
            // Cognito's ID token with the settings for it.
            if is_accepted {
                it.target.allows(&token).await;
            } else {
                it.denies(&token).await;
            }
        }
    })
    .await;
}
