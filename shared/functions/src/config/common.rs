//! Variables that several functions share.

use session_domain::{Days, Shards};

use crate::environment::{Environment, Reader};
use crate::http::{AllowedOrigin, ScopeNames};
use crate::metrics::Namespace;
use crate::telemetry;

/// Starts to read a configuration with `LOG_LEVEL`, which all functions have.
///
/// Only its problem is recorded: logging starts before the configuration is read, and uses INFO
/// if the level is invalid.
pub(super) fn reader(variables: &Environment) -> Reader<'_> {
    let mut reader = Reader::new(variables);
    let expected = "TRACE, DEBUG, INFO, WARN, ERROR or FATAL";
    reader.optional("LOG_LEVEL", expected, telemetry::level);
    reader
}

/// The table of a function.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// `TABLE_NAME`.
    pub name: String,
    /// `STRICT_TABLE_CHECK`: whether every defect of the table stops the function, also one that the function
    /// can work with.
    pub is_strict: bool,
}

pub(super) fn table(reader: &mut Reader<'_>) -> Option<TableConfig> {
    const EXPECTED: &str = "a table's name: 3 to 255 letters, digits, '_', '-' or '.'";
    let name = reader.required("TABLE_NAME", EXPECTED, |name| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_valid = (3..=255).contains(&name.len()) && name.bytes().all(is_allowed);
        is_valid.then(|| name.to_owned())
    });
    let is_strict = reader.flag("STRICT_TABLE_CHECK", false);
    Some(TableConfig {
        name: name?,
        is_strict,
    })
}

pub(super) fn metrics_namespace(reader: &mut Reader<'_>) -> Namespace {
    let expected = "1 to 255 letters, digits or .-_/#: and not AWS/ in front";
    reader
        .optional("METRICS_NAMESPACE", expected, Namespace::parse)
        .unwrap_or_default()
}

pub(super) fn shards(reader: &mut Reader<'_>) -> Shards {
    let count = reader.number("DUE_SHARDS", 16, 1..=100);
    u8::try_from(count)
        .ok()
        .and_then(|count| Shards::new(count).ok())
        .unwrap_or_default()
}

pub(super) fn retention(reader: &mut Reader<'_>) -> Days {
    Days(reader.number("SESSION_RETENTION_DAYS", 30, 1..=3_650))
}

pub(super) fn report_retention(reader: &mut Reader<'_>) -> Days {
    Days(reader.number("REPORT_RETENTION_DAYS", 90, 1..=3_650))
}

pub(super) fn scope_names(reader: &mut Reader<'_>) -> ScopeNames {
    // RFC 6749 §3.3.
    let is_allowed = |byte: u8| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    let mut name = |variable, default: &str| {
        let parse = |name: &str| name.bytes().all(is_allowed).then(|| name.to_owned());
        let name = reader.optional(variable, "the name of one scope", parse);
        name.unwrap_or_else(|| default.to_owned())
    };
    ScopeNames {
        read: name("MONITORING_READ_SCOPE", "sessions:read"),
        admin: name("MONITORING_ADMIN_SCOPE", "sessions:admin"),
    }
}

pub(super) fn cors_origin(reader: &mut Reader<'_>) -> Option<AllowedOrigin> {
    let expected = "an origin such as https://admin.example.com, or *";
    reader.optional("CORS_ORIGIN", expected, AllowedOrigin::parse)
}
