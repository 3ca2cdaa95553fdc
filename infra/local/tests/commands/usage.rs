//! Help, version, wrong usage, and missing files, ports and programs.

use std::net::TcpListener;

use crate::running::command;
use crate::{assert_one_line, complaint, ended};

#[test]
fn demo_passes_all_its_checks() {
    let output = ended(command(&["demo"]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("figures checked, all right"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours without a terminal");
}

#[test]
fn explains_invalid_command_and_prints_usage() {
    for (arguments, expected) in [
        (
            &["local", "--evry", "10s"][..],
            &[
                "'--evry'",
                "similar argument exists: '--every'",
                "Usage: cargo local",
            ][..],
        ),
        (&["local", "--every", "10"], &["as in 10s"]),
        (&["local", "--every"], &["--every <DURATION>"]),
        (
            &["lokal"],
            &[
                "similar subcommand exists: 'local'",
                "Usage: cargo <COMMAND>",
            ],
        ),
        (
            &[],
            &["Usage: cargo <COMMAND>", "demo ", "local ", "sam-local "],
        ),
        (&["local", "--empty", "--import", "x"], &["--import"]),
        (
            &["local", "token", "--user", "ann"],
            &["--scope <SCOPE>", "Usage: cargo local token"],
        ),
        (
            &[
                "local", "token", "--user", "a", "--scope", "b", "--hours", "721",
            ],
            &["1..=720"],
        ),
    ] {
        let complaint = complaint(&ended(command(arguments)));
        for expected in expected {
            assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        }
    }
}

#[test]
fn prints_help_and_version() {
    for (arguments, expected) in [
        (&["--version"][..], env!("CARGO_PKG_VERSION")),
        (&["local", "--version"], env!("CARGO_PKG_VERSION")),
        (&["--help"], "Usage: cargo <COMMAND>"),
        (&["local", "--help"], "--jwt-secret <FILE>"),
    ] {
        let output = ended(command(arguments));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn names_port_and_option_when_a_port_is_in_use() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    for (api, dynamodb, option) in [(&*port, "0", " --port "), ("0", &port, " --dynamodb-port ")] {
        let arguments = ["local", "--port", api, "--dynamodb-port", dynamodb];
        let output = ended(command(&arguments));
        assert_one_line(&output, &port);
        assert_one_line(&output, option);
    }
}

#[test]
fn names_a_file_that_cannot_be_read() {
    for arguments in [
        ["local", "--import", "no/such/file"],
        ["local", "--jwt-secret", "no/such/file"],
        ["local", "--jwt-public-key", "no/such/file"],
    ] {
        assert_one_line(&ended(command(&arguments)), "no/such/file");
    }
}

#[cfg(unix)]
#[test]
fn sam_local_names_missing_program_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let on_the_path = |expected| {
        let output = command(&["sam-local", "--port", "0", "--dynamodb-port", "0"])
            .env("PATH", folder.path())
            .output()
            .unwrap();
        assert_one_line(&output, expected);
    };
    on_the_path("sam is needed");
    script(folder.path(), "sam", "");
    on_the_path("docker is needed");
}

#[cfg(unix)]
#[test]
fn sam_local_fails_when_docker_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "sam", "");
    let no_daemon = "case $1 in version) echo 'Cannot connect.' >&2; exit 1 ;; esac";
    script(folder.path(), "docker", no_daemon);
    let output = command(&["sam-local", "--port", "0", "--dynamodb-port", "0"])
        .env("PATH", folder.path())
        .output()
        .unwrap();
    let expected =
        "the Docker daemon does not answer; start Docker, then try again: Cannot connect.";
    assert_one_line(&output, expected);
}

/// Writes a shell script to a folder.
#[cfg(unix)]
fn script(folder: &std::path::Path, name: &str, commands: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{commands}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A proxy of the environment must not get requests to this machine.
#[test]
fn ignores_http_proxy_variable_for_loopback() {
    let output = command(&["demo"])
        .env("HTTP_PROXY", "http://127.0.0.1:9")
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
