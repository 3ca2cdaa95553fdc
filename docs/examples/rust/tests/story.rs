//! The example runs and prints what it did. A test in this folder also makes `cargo test` build the program.

use std::process::Command;

#[test]
fn example_prints_each_step() {
    let output = Command::new(env!("CARGO_BIN_EXE_login_and_logout"))
        .output()
        .expect("the example starts");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let names: Vec<_> = printed
        .lines()
        .map(|it| it.split([':', ' ']).next())
        .collect();
    let expected = ["logged", "refreshed", "repeated", "blacklisted", "logged"].map(Some);
    assert_eq!(names, expected, "{printed}");
}
