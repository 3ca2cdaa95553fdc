//! Reminder in the output of `cargo test` that it does not run all tests: without `--workspace`,
//! Cargo selects only the deployed functions, and an alias cannot replace a built-in command.

#[test]
#[ignore = "`cargo test` tests only the functions; `cargo test --workspace` runs all tests"]
const fn cargo_test_without_workspace_tests_functions_only() {}
