//! Fuzzes tokens and their parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = session_cleanup_fuzz::token(input);
});
