//! Random tokens: the valid token of a mapping with some members changed.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

use crate::mapping::{Mapping, find, mappings};
use crate::token::BETWEEN;

/// Claims that mean something with every mapping, or with many.
const CLAIMS: [&str; 16] = [
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sub",
    "sid",
    "jti",
    "scope",
    "typ",
    "token_use",
    "token_type",
    "events",
    "azp",
    "client_id",
    "x",
];

/// An input for [`token`](crate::token): a signed token for this mapping, mostly with a few changes.
pub fn random_token(mapping: usize, random: &mut StdRng) -> Vec<u8> {
    let of = &mappings()[mapping];
    let (mut header, mut claims) = (of.header.clone(), of.claims.clone());
    for _ in 0..random.random_range(0..4) {
        match random.random_range(0..8) {
            0 => change_header(&mut header, random),
            1 => claims = mappings().choose(random).expect("a mapping").claims.clone(),
            _ => change_claim(&mut claims, of, random),
        }
    }
    let mut input = with_duplicate(&header, random);
    input.push(BETWEEN);
    input.extend(with_duplicate(&claims, random));
    input.push(BETWEEN);
    input.push(u8::try_from(mapping).expect("less than 256 mappings"));
    input
}

fn change_header(header: &mut Value, random: &mut StdRng) {
    const TYPES: [&str; 9] = [
        "JWT",
        "jwt",
        "at+jwt",
        "application/AT+jwt",
        " at+jwt",
        "logout+jwt",
        "application/secevent+jwt",
        "dpop+jwt",
        "",
    ];
    match random.random_range(0..6) {
        0 => header["alg"] = json!(["none", "HS384", "hs256", "RS256"].choose(random)),
        1 => header["kid"] = value(random),
        2 => header["crit"] = value(random),
        3 => header["b64"] = json!(random.random::<bool>()),
        4 => header["typ"] = value(random),
        _ => header["typ"] = json!(TYPES.choose(random)),
    }
}

fn change_claim(claims: &mut Value, mapping: &Mapping, random: &mut StdRng) {
    let names = mapping.settings.names();
    let name = if random.random() {
        names.choose(random)
    } else {
        CLAIMS.choose(random)
    };
    let name = name.expect("a name");
    // The member of the claims, of which a JSON Pointer names a part.
    let top = name.strip_prefix('/').map_or(*name, |path| {
        path.split_once('/').map_or(path, |(first, _)| first)
    });
    match random.random_range(0..8) {
        0 => drop(claims.as_object_mut().and_then(|it| it.remove(top))),
        1 => claims[top] = value(random),
        // A value that another claim has, or that another mapping expects.
        2 => {
            let other = mappings().choose(random).expect("a mapping");
            let names = other.settings.names();
            let other = other
                .claims
                .as_object()
                .and_then(|it| find(it, names.choose(random)?));
            set(claims, name, other.cloned().unwrap_or_default());
        }
        3 => {
            let values = mapping.settings.required.iter().map(|it| it.1.as_str());
            let audiences = mapping.settings.audiences.iter().flatten();
            let mut texts: Vec<_> = values.chain(audiences.map(String::as_str)).collect();
            texts.push(&mapping.settings.issuer);
            let text = *texts.choose(random).expect("a text");
            let value = [
                json!(text),
                json!([text]),
                json!([text, "x"]),
                json!([[text]]),
                json!({ text: text }),
            ];
            set(
                claims,
                name,
                value.choose(random).cloned().unwrap_or_default(),
            );
        }
        _ => set(claims, name, value(random)),
    }
}

/// Sets a claim, or what a JSON Pointer points to if its parent exists.
fn set(claims: &mut Value, name: &str, value: Value) {
    if !name.starts_with('/') {
        claims[name] = value;
    } else if let Some(place) = claims.pointer_mut(name) {
        *place = value;
    }
}

fn value(random: &mut StdRng) -> Value {
    const KINDS: [&str; 10] = [
        "id",
        "ID",
        "Refresh",
        "refresh_token",
        "offline",
        "Logout",
        "sliding",
        "access",
        "Bearer",
        "InitialAccessToken",
    ];
    const TEXTS: [&str; 12] = [
        "",
        " ",
        "ann",
        "s",
        "api",
        "a b",
        "a\u{0}b",
        "a\nb",
        "\u{85}",
        "é",
        "#",
        "1800000060",
    ];
    let about_now = 1_800_000_000 + random.random_range(-8..=8);
    match random.random_range(0..14) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(about_now),
        3 => json!(f64::from(about_now) + [0.0, 0.25, 0.5, 0.999].choose(random).expect("a part")),
        4 => json!([7, -7, 0, 1].choose(random)),
        5 => json!([7.0, -0.0, 0.5, 1e20, 1e300, -1e300].choose(random)),
        6 => json!([i64::MAX, i64::MIN, 253_402_300_799, 253_402_300_800].choose(random)),
        7 => json!(u64::MAX),
        8 => json!(KINDS.choose(random)),
        9 => json!(TEXTS.choose(random)),
        10 => json!(
            "x".repeat(
                [255, 256, 257, 1_000, 1_001]
                    .choose(random)
                    .copied()
                    .unwrap_or(1)
            )
        ),
        11 => json!("é".repeat([255, 256, 257].choose(random).copied().unwrap_or(1))),
        12 => {
            let count = random.random_range(0..4);
            (0..count).map(|_| json!(TEXTS.choose(random))).collect()
        }
        _ => {
            let values = json!([{ "ann": 1 }, [["api"]], ["api", 1], ["api", null], {}, []]);
            values[random.random_range(0..6)].clone()
        }
    }
}

/// JSON, rarely with a name that occurs twice.
fn with_duplicate(value: &Value, random: &mut StdRng) -> Vec<u8> {
    let mut text = value.to_string();
    if random.random_ratio(1, 30)
        && let Some(name) = value
            .as_object()
            .and_then(|it| it.keys().nth(random.random_range(0..4)))
    {
        let begin = &text[..text.len() - 1];
        text = format!("{begin},{}:{}}}", json!(name), value[name]);
    }
    let mut bytes = text.into_bytes();
    if random.random_ratio(1, 60) {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..7);
        // Such a byte would be read as the end of this part.
        bytes.retain(|byte| *byte != BETWEEN);
    }
    bytes
}
