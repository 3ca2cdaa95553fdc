//! Mutated tokens of every algorithm and of every identity provider: none is allowed.
//!
//! `cargo test --workspace` tries 100,000. tests/README.md says how to try more, and how to repeat
//! a run.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use session_cleanup_tests::NOW;
use session_cleanup_tests::identity_providers::{Provider, providers};
use session_cleanup_tests::token_factory::{
    ALGORITHMS, Signer, encoded, good_claims, verifier, verify,
};
use session_functions::environment::Environment;
use session_token::keys::KeySet;
use session_token::{InvalidToken, TokenVerifier};

/// Default number of mutations, without the variable `MUTATIONS`.
const USUAL: u64 = 100_000;

/// Default seed, without the variable `MUTATION_SEED`.
const SEED: u64 = 1;

/// An authorizer's keys, and valid tokens for them.
struct Issuer {
    tokens: Vec<String>,
    verifiers: Vec<TokenVerifier>,
}

impl Issuer {
    fn of(algorithm: Algorithm) -> Self {
        let signers = [Signer::of(algorithm), Signer::stranger(algorithm)];
        let names = ["k", "other"];
        let mut tokens = Vec::new();
        for (signer, kid) in signers.iter().zip(names) {
            for (user, session) in [("ann", "s"), ("bob", "t")] {
                let mut claims = good_claims();
                claims["sub"] = user.into();
                claims["sid"] = session.into();
                claims["jti"] = format!("{user} {session} {kid}").into();
                let header = json!({ "alg": algorithm, "kid": kid, "typ": "JWT" });
                tokens.push(signer.sign(header.to_string(), claims.to_string()));
            }
        }
        let keys = || signers.iter().map(Signer::verifying_key);
        let kids = names.map(|name| Some(name.to_owned())).into_iter();
        Self {
            tokens,
            // One with key IDs and one without.
            verifiers: vec![
                verifier(algorithm, KeySet::Named(kids.zip(keys()).collect())),
                verifier(algorithm, KeySet::Any(keys().collect())),
            ],
        }
    }

    /// A provider's tokens, and an authorizer with its settings.
    fn with_mapping(provider: &Provider) -> Self {
        Self {
            tokens: vec![provider.token()],
            verifiers: vec![provider.verifier()],
        }
    }
}

/// Mutates a token in one way. `others` are valid tokens of any issuer.
fn changed(token: &str, others: &[&str], random: &mut StdRng) -> String {
    match random.random_range(0..12) {
        0 => one_bit_off(token, random),
        1 => in_a_part(token, random, |bytes, random| {
            if !bytes.is_empty() {
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }),
        2 => in_a_part(token, random, |bytes, random| {
            let at = random.random_range(0..=bytes.len());
            bytes.insert(at, random.random());
        }),
        3 => in_a_part(token, random, |bytes, random| {
            let kept = random.random_range(0..=bytes.len());
            bytes.truncate(kept);
        }),
        4 => in_a_part(token, random, |bytes, random| {
            let at = random.random_range(0..=bytes.len());
            let end = random.random_range(at..=bytes.len());
            random.fill_bytes(&mut bytes[at..end]);
        }),
        5 => edited(token, random),
        6 => with_another_header(token, random),
        7 => with_other_claims(token, random),
        8 => with_a_part_of_another(token, others.choose(random).unwrap(), random),
        9 => with_another_signature(token, random),
        10 => written_otherwise(token, random),
        _ => {
            // The start of this token and the end of another.
            let other = others.choose(random).unwrap();
            let (at, end) = (place(token, random), place(other, random));
            format!("{}{}", &token[..at], &other[end..])
        }
    }
}

/// A position between two characters.
fn place(text: &str, random: &mut StdRng) -> usize {
    let at = random.random_range(0..=text.len());
    text.floor_char_boundary(at)
}

fn one_bit_off(token: &str, random: &mut StdRng) -> String {
    let mut bytes = token.as_bytes().to_vec();
    if !bytes.is_empty() {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Applies `change` to one of the parts.
fn replace_a_part(
    token: &str,
    random: &mut StdRng,
    change: impl FnOnce(&str, &mut StdRng) -> Option<String>,
) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let at = random.random_range(0..parts.len());
    if let Some(part) = change(&parts[at], random) {
        parts[at] = part;
    }
    parts.join(".")
}

/// Changes the decoded content of one of the parts, and encodes it again.
fn in_a_part(
    token: &str,
    random: &mut StdRng,
    change: impl FnOnce(&mut Vec<u8>, &mut StdRng),
) -> String {
    replace_a_part(token, random, |part, random| {
        let mut bytes = read(part)?;
        change(&mut bytes, random);
        Some(encoded(bytes))
    })
}

/// Decodes a part, if it is still valid.
fn read(part: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.decode(part).ok()
}

/// Inserts, removes or replaces characters.
fn edited(token: &str, random: &mut StdRng) -> String {
    const CHARACTERS: [&str; 16] = [
        "A", "b", "9", "-", "_", ".", "..", "=", "+", "/", " ", "\n", "\0", "%2E", "é", "\u{200b}",
    ];
    let at = place(token, random);
    let end = match random.random_range(0..3) {
        0 => at,
        1 => token.ceil_char_boundary((at + 1).min(token.len())),
        _ => place(token, random).max(at),
    };
    let (begin, rest) = (&token[..at], &token[end..]);
    match random.random_range(0..3) {
        0 => format!("{begin}{rest}"),
        1 => format!("{begin}{}{rest}", CHARACTERS.choose(random).unwrap()),
        // Repeats a part.
        _ => format!("{begin}{0}{0}{rest}", &token[at..end]),
    }
}

/// Changes the JSON of a part without signing it again.
fn with_json(token: &str, at: usize, change: impl FnOnce(&mut Value) -> Option<String>) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let json = parts.get(at).and_then(|part| read(part));
    if let Some(mut json) = json.and_then(|it| serde_json::from_slice::<Value>(&it).ok())
        && json.is_object()
    {
        let text = change(&mut json);
        parts[at] = encoded(text.unwrap_or_else(|| json.to_string()));
    }
    parts.join(".")
}

fn with_another_header(token: &str, random: &mut StdRng) -> String {
    with_json(token, 0, |header| {
        let algorithm = ALGORITHMS.choose(random).unwrap();
        match random.random_range(0..8) {
            0 => header["alg"] = json!(algorithm),
            1 => header["alg"] = json!(["none", "None", "", "ES512", "HS257"].choose(random)),
            2 => header["kid"] = json!(["k", "other", "", "../k"].choose(random)),
            3 => header["crit"] = json!(["exp"]),
            4 => header["b64"] = json!(false),
            5 => header["jwk"] = Signer::stranger(Algorithm::EdDSA).jwk(),
            6 => {
                let text = header.to_string();
                let begin = text.trim_end_matches('}');
                return Some(format!("{begin},\"alg\":\"{algorithm:?}\"}}"));
            }
            // The same JSON in another notation.
            _ => return Some(format!(" {header}")),
        }
        None
    })
}

fn with_other_claims(token: &str, random: &mut StdRng) -> String {
    with_json(token, 1, |claims| {
        match random.random_range(0..10) {
            0 => claims["sub"] = json!(["ann", "bob", "root", "ann#"].choose(random)),
            1 => claims["sid"] = json!(["s", "t", "login"].choose(random)),
            2 => claims["jti"] = json!("another"),
            3 => claims["exp"] = json!(NOW + random.random_range(0..1_000_000)),
            4 => claims["scope"] = json!("sessions:admin"),
            5 => claims["aud"] = json!([claims["aud"].clone()]),
            6 => claims["iss"] = json!("https://other.example"),
            7 => claims["nbf"] = json!(0),
            8 => {
                let text = claims.to_string();
                let begin = text.trim_end_matches('}');
                return Some(format!("{begin},\"sub\":\"root\"}}"));
            }
            _ => return Some(format!("{claims} ")),
        }
        None
    })
}

fn with_a_part_of_another(token: &str, other: &str, random: &mut StdRng) -> String {
    let others: Vec<_> = other.split('.').collect();
    let mut parts: Vec<_> = token.split('.').collect();
    let count = parts.len().min(others.len());
    let at = random.random_range(0..count);
    match random.random_range(0..4) {
        0 => parts.swap(at, random.random_range(0..count)),
        1 => parts.push(others[at]),
        _ => parts[at] = others[at],
    }
    parts.join(".")
}

fn with_another_signature(token: &str, random: &mut StdRng) -> String {
    let Some((message, signature)) = token.rsplit_once('.') else {
        return format!("{token}.");
    };
    let Some(mut bytes) = read(signature) else {
        return format!("{message}.");
    };
    match random.random_range(0..8) {
        0 => bytes.clear(),
        1 => bytes.fill(0),
        2 => bytes.push(0),
        3 => bytes.insert(0, 0),
        4 => bytes.reverse(),
        5 => random.fill_bytes(&mut bytes),
        6 => bytes.truncate(bytes.len() / 2),
        _ => {
            let middle = bytes.len() / 2;
            bytes.rotate_left(middle);
        }
    }
    format!("{message}.{}", encoded(bytes))
}

/// Base64 that lenient decoders accept as the same content.
fn written_otherwise(token: &str, random: &mut StdRng) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    replace_a_part(token, random, |part, random| {
        Some(match random.random_range(0..6) {
            0 => format!("{part}="),
            1 => format!("{part}=="),
            2 => part.replace('-', "+").replace('_', "/"),
            3 => format!("{part}\n"),
            4 => part.to_ascii_lowercase(),
            _ => {
                let last = part.chars().last()?;
                let value = ALPHABET.iter().position(|it| char::from(*it) == last)?;
                let other = ALPHABET[value ^ random.random_range(1..4)];
                format!("{}{}", &part[..part.len() - 1], char::from(other))
            }
        })
    })
}

fn variable(name: &str, usual: u64) -> u64 {
    let variables = Environment::from_process();
    let value = variables.get(name);
    value.map_or(usual, |it| it.parse().unwrap())
}

#[tokio::test]
async fn rejects_every_mutated_token() {
    let count = variable("MUTATIONS", USUAL);
    let seed = variable("MUTATION_SEED", SEED);
    let mut random = StdRng::seed_from_u64(seed);
    let issuers = ALGORITHMS.into_iter().map(Issuer::of);
    let mapped = providers();
    let mapped = mapped.iter().map(Issuer::with_mapping);
    let issuers: Vec<_> = issuers.chain(mapped).collect();
    let all = issuers.iter().flat_map(|issuer| &issuer.tokens);
    let all: Vec<_> = all.map(String::as_str).collect();
    for issuer in &issuers {
        for (token, verifier) in issuer.tokens.iter().zip(issuer.verifiers.iter().cycle()) {
            assert!(verify(verifier, token).await.is_ok(), "{token}");
        }
    }
    let mut refused = BTreeMap::<String, u64>::new();
    let mut unchanged = 0;
    while refused.values().sum::<u64>() < count {
        let issuer = issuers.choose(&mut random).unwrap();
        let verifier = issuer.verifiers.choose(&mut random).unwrap();
        let mut token = issuer.tokens.choose(&mut random).unwrap().clone();
        for _ in 0..random.random_range(1..=3) {
            token = changed(&token, &all, &mut random);
        }
        match verify(verifier, &token).await {
            // Another provider's token is unchanged, too. Whether it may be allowed is tested in `identity_providers`.
            Ok(_) if all.contains(&token.as_str()) => unchanged += 1,
            Ok(claims) => panic!("seed {seed}: {token:?} is allowed as {claims:?}"),
            Err(why) => *refused.entry(why.to_string()).or_default() += 1,
        }
    }
    #[expect(clippy::print_stdout, reason = "the summary of a long run")]
    {
        println!("seed {seed}: {refused:#?}; {unchanged} tokens were unchanged");
    }
    // Each check rejected some mutations, and no check hid the others.
    for why in [
        InvalidToken::Encoding,
        InvalidToken::Header,
        InvalidToken::Algorithm,
        InvalidToken::Critical,
        InvalidToken::UnknownKey,
        InvalidToken::Signature,
    ] {
        let times = refused.get(&why.to_string()).copied().unwrap_or_default();
        assert!(times > count / 1_000, "{why}: {times} times");
    }
}

/// Every byte of every provider's token.
#[tokio::test]
async fn rejects_token_with_any_byte_changed() {
    const CHARACTERS: &[u8] = b"AZaz09-_.=+/ \0\x7f";
    let mut random = StdRng::seed_from_u64(variable("MUTATION_SEED", SEED));
    let mut rejected = 0;
    for provider in providers() {
        let (token, verifier) = (provider.token(), provider.verifier());
        assert!(verify(&verifier, &token).await.is_ok(), "{}", provider.name);
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = *CHARACTERS.choose(&mut random).unwrap();
            let changed = String::from_utf8(bytes).unwrap();
            for changed in [changed, removed(&token, at)] {
                if changed != token {
                    let claims = verify(&verifier, &changed).await;
                    assert!(claims.is_err(), "{} at {at}: {changed}", provider.name);
                    rejected += 1;
                }
            }
        }
    }
    assert!(rejected > 20_000, "{rejected}");
}

fn removed(token: &str, at: usize) -> String {
    format!("{}{}", &token[..at], &token[at + 1..])
}
