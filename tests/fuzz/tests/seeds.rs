//! Runs the fuzzer's seeds, which include inputs that once revealed a bug.
#![allow(clippy::unwrap_used, reason = "test code: a panic fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use session_cleanup_fuzz::{BETWEEN, mappings, random_token, token};

/// Runs every seed of a target. Returns their number.
fn try_all(target: &str, mut run: impl FnMut(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let seeds = fs::read_dir(folder).unwrap();
    seeds
        .map(|seed| run(&fs::read(seed.unwrap().path()).unwrap()))
        .count()
}

#[test]
fn token_invariants_hold_for_each_seed() {
    assert!(
        try_all("token", |seed| {
            let _ = token(seed);
        }) >= 20
    );
}

#[test]
fn jwk_set_invariants_hold_for_each_seed() {
    assert!(try_all("key_set", session_cleanup_fuzz::key_set) >= 10);
}

/// Number of random tokens for each mapping.
const RANDOM_TOKENS: usize = 2_000;

#[test]
fn token_invariants_hold_for_random_tokens_of_each_mapping() {
    let mut random = StdRng::seed_from_u64(1);
    for (number, mapping) in mappings().iter().enumerate() {
        let tokens = (0..RANDOM_TOKENS).map(|_| random_token(number, &mut random));
        let accepted = tokens.filter(|input| token(input)).count();
        // Otherwise, the changes are too many or too few.
        let expected = RANDOM_TOKENS / 10..RANDOM_TOKENS * 9 / 10;
        assert!(expected.contains(&accepted), "{}: {accepted}", mapping.name);
    }
}

/// The fuzzer finds accepted tokens of a mapping only if it starts with one.
#[test]
fn each_mapping_has_accepted_seed() {
    let mut accepted = BTreeSet::new();
    try_all("token", |seed| {
        if let [.., BETWEEN, number] = seed
            && token(seed)
        {
            accepted.insert(usize::from(*number));
        }
    });
    assert!(accepted.into_iter().eq(1..mappings().len()));
}
