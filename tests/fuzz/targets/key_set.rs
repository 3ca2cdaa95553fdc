//! Fuzzes JWK Sets.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| session_cleanup_fuzz::key_set(input));
