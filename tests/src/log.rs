//! Checks the log of the process for leaks: no line may contain a token or a part of one, a secret,
//! or the value of a header.
//!
//! Each world starts the log, in the functions' own format and at the finest level, and has a
//! [`LogGuard`] that fails the test if such a line was written. The tests of one program run in
//! parallel and share one log, so a leak fails each test that has a world at that moment. A test
//! reads only the lines of its own thread.
//!
//! Anything that looks like a token is detected. Tests register other secrets with
//! [`forbid_in_log`] and [`forbid_header_value`].

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

use serde_json::Value;
use session_functions::environment::Environment;
use session_functions::telemetry;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Number of consecutive characters of a secret that count as a leak.
const PIECE: usize = 12;

/// Minimum length of a forbidden header value. Shorter values are common words.
const MIN_VALUE: usize = 8;

/// Minimum length of a key of 256 bits, or of a signature with one, in base64.
const MIN_KEY: usize = 40;

static LOG: Mutex<Log> = Mutex::new(Log {
    lines: Vec::new(),
    leaks: Vec::new(),
    hidden: Hidden {
        pieces: BTreeSet::new(),
        values: BTreeSet::new(),
    },
});

struct Log {
    lines: Vec<(ThreadId, String)>,
    leaks: Vec<String>,
    hidden: Hidden,
}

/// What no line may contain.
struct Hidden {
    pieces: BTreeSet<[u8; PIECE]>,
    values: BTreeSet<String>,
}

fn log() -> MutexGuard<'static, Log> {
    // A test that panics while it holds the lock leaves a consistent state.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks the log until it is dropped.
///
/// # Panics
///
/// On drop, if a line contains a secret.
pub struct LogGuard {
    lines: usize,
    leaks: usize,
    /// Thread of the test, or `None` if the test has several.
    thread: Option<ThreadId>,
}

impl LogGuard {
    /// Starts checking the log.
    #[must_use]
    pub fn start() -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            let variables: Environment = [("AWS_LAMBDA_LOG_LEVEL", "TRACE")].into_iter().collect();
            telemetry::start(&variables, || Lines);
        });
        let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
        let has_workers = flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread);
        let log = log();
        Self {
            lines: log.lines.len(),
            leaks: log.leaks.len(),
            thread: (!has_workers).then(|| thread::current().id()),
        }
    }

    /// The lines that the test's thread has written since. A test with several threads also gets
    /// the lines of parallel tests.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.about("")
    }

    /// The lines that contain this text.
    #[must_use]
    pub fn about(&self, text: &str) -> Vec<Value> {
        let is_own = |thread: &ThreadId| self.thread.is_none_or(|own| own == *thread);
        log().lines[self.lines..]
            .iter()
            .filter(|(thread, line)| is_own(thread) && line.contains(text))
            .map(|(_, line)| serde_json::from_str(line).expect("a line is JSON"))
            .collect()
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let leaks = log().leaks[self.leaks..].join("\n");
        assert!(
            leaks.is_empty() || thread::panicking(),
            "the log has secrets:\n{leaks}"
        );
    }
}

/// Forbids each part of a secret in the log, from now on.
pub fn forbid_in_log(secret: &str) {
    log()
        .hidden
        .pieces
        .extend(secret.as_bytes().array_windows());
}

/// Forbids the value of a header in the log, from now on.
pub fn forbid_header_value(value: &str) {
    if value.len() >= MIN_VALUE {
        log().hidden.values.insert(value.to_owned());
    }
}

/// Forbids the values of an event's headers in the log, from now on.
pub fn forbid_headers(event: &Value) {
    const OF_HEADERS: [&str; 4] = [
        "headers",
        "multiValueHeaders",
        "authorizationToken",
        "identitySource",
    ];
    for name in OF_HEADERS {
        forbid_header_values(&event[name]);
    }
}

fn forbid_header_values(values: &Value) {
    match values {
        Value::String(value) => forbid_header_value(value),
        Value::Array(values) => values.iter().for_each(forbid_header_values),
        Value::Object(values) => values.values().for_each(forbid_header_values),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The lines of `output` that contain a secret, each with that secret.
#[must_use]
pub fn leaks(output: &str) -> Vec<String> {
    let log = log();
    let leak = |line| Some(format!("{}: {line}", log.hidden.found_in(line)?));
    output.lines().filter_map(leak).collect()
}

/// Writer of the log. Each write is a whole line.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let found = leaks(&text);
        let mut log = log();
        log.leaks.extend(found);
        let thread = thread::current().id();
        log.lines
            .extend(text.lines().map(|line| (thread, line.to_owned())));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Hidden {
    fn found_in(&self, line: &str) -> Option<&'static str> {
        let bearer = |(place, _)| !line[place..].starts_with("Bearer <token>");
        if line.contains("eyJ") {
            Some("a part of a token")
        } else if line.match_indices("Bearer ").any(bearer) {
            Some("what follows Bearer")
        } else if words(line).any(is_like_a_key) {
            Some("what may be a signature or a key")
        } else if line
            .as_bytes()
            .array_windows()
            .any(|it| self.pieces.contains(it))
        {
            Some("a piece of a token or of a secret")
        } else if self.values.iter().any(|value| line.contains(value)) {
            Some("the value of a header")
        } else {
            None
        }
    }
}

/// The longest parts of a line that could be base64url (RFC 4648 §5).
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|it: char| !(it.is_ascii_alphanumeric() || it == '-' || it == '_'))
}

/// Whether a word looks like a random key. IDs are UUIDs or hexadecimal; names have no digits or no
/// upper case.
fn is_like_a_key(word: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| word.as_bytes().iter().any(kind);
    word.len() >= MIN_KEY
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_forbidden_content_and_nothing_else() {
        let mut hidden = Hidden {
            pieces: BTreeSet::new(),
            values: BTreeSet::from(["curl/8.5.0".to_owned()]),
        };
        hidden.pieces.insert(*b"correct hors");
        for (line, found) in [
            (r#"{"token":"eyJ0eXAiOiJKV1QifQ"}"#, true),
            ("Authorization: Bearer abc", true),
            ("no Authorization header with one bearer token", false),
            ("Bearer <token> and Bearer x", true),
            // A signature of HS256, then one in hexadecimal.
            ("x dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", true),
            (
                "REFRESH#2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                false,
            ),
            ("requestId 0c3f9a52-5e0b-4a51-9d5c-6b8f0a1f7f1e", false),
            (
                "ItemCollectionSizeLimitExceededExceptionUnmarshaller",
                false,
            ),
            // A request ID of DynamoDB.
            ("KQ3RBP4S1C2E6V8H0J5L7N9T3W1Y4A6D8F0G2M5Q7S9U1X3Z5V", false),
            ("it was correct horse battery", true),
            ("it was correct", false),
            ("sent by curl/8.5.0", true),
            ("deactivated an expired session USER#ann SESSION#s", false),
        ] {
            assert_eq!(hidden.found_in(line).is_some(), found, "{line}");
        }
    }
}
