//! The sample events of each function (`functions/*/events`), in the form that the AWS services
//! send.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_cleanup_local::template::FunctionName;

/// An event of a function, by its file name.
#[must_use]
pub fn event(function: FunctionName, name: &str) -> Value {
    event_with_token(function, name, "<token>")
}

/// An event with a token in place of `<token>`.
#[must_use]
pub fn event_with_token(function: FunctionName, name: &str, token: &str) -> Value {
    let file = folder(function).join(format!("{name}.json"));
    let text = fs::read_to_string(&file).unwrap_or_else(|it| panic!("{}: {it}", file.display()));
    serde_json::from_str(&text.replace("<token>", token)).expect("an event is JSON")
}

/// The names of all events of a function.
#[must_use]
pub fn names(function: FunctionName) -> Vec<String> {
    let files = fs::read_dir(folder(function)).expect("each function has events");
    let name = |file: PathBuf| file.file_stem()?.to_str().map(str::to_owned);
    files
        .map(|file| name(file.expect("a file").path()).expect("a name"))
        .collect()
}

fn folder(function: FunctionName) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../functions")
        .join(function.as_str())
        .join("events")
}
