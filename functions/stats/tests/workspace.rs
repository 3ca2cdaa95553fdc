//! Says that a bare `cargo test` is not the whole suite. Cargo has no other place for it: by default it selects what is
//! deployed, and an alias cannot take the name of a command.

#[test]
#[ignore = "a bare `cargo test` tests the functions alone: `cargo test --workspace` runs all tests"]
const fn cargo_test_without_workspace_tests_functions_only() {}
