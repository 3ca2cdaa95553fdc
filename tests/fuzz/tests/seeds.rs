//! Runs the fuzzer's seeds, which include inputs that once revealed a bug.
#![allow(clippy::unwrap_used, reason = "test code: a panic fails the test")]

use std::fs;
use std::path::Path;

/// Runs every seed of a target. Returns their number.
fn try_all(target: &str, run: fn(&[u8])) -> usize {
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
    assert!(try_all("token", session_cleanup_fuzz::token) >= 20);
}

#[test]
fn jwk_set_invariants_hold_for_each_seed() {
    assert!(try_all("key_set", session_cleanup_fuzz::key_set) >= 10);
}
