//! The configuration: read from the environment once, in init, and all that is wrong named
//! together. The only place that reads the environment.

use std::collections::HashMap;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use crate::clean_up::CleanupSettings;
use crate::http::AllowedOrigin;
use crate::key_sources::{JwksUrl, KeySource, SecretReference};
use crate::metrics::Namespace;
use crate::schedule::Schedule;
use crate::telemetry;
use session_domain::{Days, Hours, Shards};
use session_token::TokenRules;
use session_token::keys::{UnsuitableKey, VerifyingKey};

/// The environment's variables, or a test's.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

/// Everything that is wrong with the configuration, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {}", problems.join("; "))]
pub struct InvalidConfiguration {
    problems: Vec<String>,
}

impl InvalidConfiguration {
    /// Each problem by itself.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }
}

/// The authorizer's configuration.
#[derive(Debug)]
pub struct AuthorizerConfig {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`.
    pub shards: Shards,
    /// `SESSION_RETENTION_DAYS`.
    pub retention: Days,
    /// `JWT_ALGORITHM`, `JWT_ISSUER`, `JWT_AUDIENCE`, `JWT_LEEWAY_SECONDS`.
    pub tokens: TokenRules,
    /// One of `JWT_SECRET`, `JWT_SECRET_ARN`, `JWT_PUBLIC_KEY`, `JWKS_URL`.
    pub keys: KeySource,
}

/// The configuration of the scheduled cleanup.
#[derive(Debug, Clone)]
pub struct CleanupConfig {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`, `SESSION_RETENTION_DAYS`, `REPORT_RETENTION_DAYS`, `MAX_WRITES_PER_SECOND`.
    pub settings: CleanupSettings,
    /// `SWEEP_GRACE_HOURS`.
    pub sweep_grace: Hours,
    /// `COUNT_SESSIONS`.
    pub count_sessions: bool,
}

/// The configuration of the cleanup over HTTP.
#[derive(Debug, Clone)]
pub struct ForceCleanupConfig {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`, `SESSION_RETENTION_DAYS`, `REPORT_RETENTION_DAYS`, `MAX_WRITES_PER_SECOND`.
    pub settings: CleanupSettings,
    /// `CORS_ORIGIN`.
    pub cors_origin: Option<AllowedOrigin>,
}

/// The configuration of the statistics.
#[derive(Debug, Clone)]
pub struct StatsConfig {
    /// `TABLE_NAME`.
    pub table_name: String,
    /// `METRICS_NAMESPACE`.
    pub metrics_namespace: Namespace,
    /// `DUE_SHARDS`.
    pub shards: Shards,
    /// `REPORT_RETENTION_DAYS`.
    pub report_retention: Days,
    /// `CLEANUP_SCHEDULE`.
    pub schedule: Schedule,
    /// `CORS_ORIGIN`.
    pub cors_origin: Option<AllowedOrigin>,
}

impl Environment {
    /// The process's environment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_process() -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    /// A variable's value; an empty one counts as missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl AuthorizerConfig {
    /// Reads the authorizer's variables.
    ///
    /// # Errors
    ///
    /// All variables that are missing or wrong.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = Reader::new(variables);
        let table_name = reader.table_name();
        let metrics_namespace = reader.metrics_namespace();
        let shards = reader.shards();
        let retention = reader.retention();
        let tokens = reader.tokens();
        reader.finish(|| {
            Some(Self {
                table_name: table_name?,
                metrics_namespace,
                shards,
                retention,
                keys: tokens.1?,
                tokens: tokens.0?,
            })
        })
    }
}

impl CleanupConfig {
    /// Reads the scheduled cleanup's variables.
    ///
    /// # Errors
    ///
    /// All variables that are missing or wrong.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = Reader::new(variables);
        let table_name = reader.table_name();
        let metrics_namespace = reader.metrics_namespace();
        let settings = reader.settings();
        let sweep_grace = Hours(reader.number("SWEEP_GRACE_HOURS", 48, 0..=720));
        let count_sessions = reader.flag("COUNT_SESSIONS", true);
        reader.finish(|| {
            Some(Self {
                table_name: table_name?,
                metrics_namespace,
                settings,
                sweep_grace,
                count_sessions,
            })
        })
    }
}

impl ForceCleanupConfig {
    /// Reads the variables of the cleanup over HTTP.
    ///
    /// # Errors
    ///
    /// All variables that are missing or wrong.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = Reader::new(variables);
        let table_name = reader.table_name();
        let metrics_namespace = reader.metrics_namespace();
        let settings = reader.settings();
        let cors_origin = reader.cors_origin();
        reader.finish(|| {
            Some(Self {
                table_name: table_name?,
                metrics_namespace,
                settings,
                cors_origin,
            })
        })
    }
}

impl StatsConfig {
    /// Reads the variables of the statistics.
    ///
    /// # Errors
    ///
    /// All variables that are missing or wrong.
    pub fn read(variables: &Environment) -> Result<Self, InvalidConfiguration> {
        let mut reader = Reader::new(variables);
        let table_name = reader.table_name();
        let metrics_namespace = reader.metrics_namespace();
        let shards = reader.shards();
        let report_retention = reader.report_retention();
        let schedule = reader.schedule();
        let cors_origin = reader.cors_origin();
        reader.finish(|| {
            Some(Self {
                table_name: table_name?,
                metrics_namespace,
                shards,
                report_retention,
                schedule,
                cors_origin,
            })
        })
    }
}

/// Reads variables and collects what is wrong with them.
struct Reader<'a> {
    variables: &'a Environment,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(variables: &'a Environment) -> Self {
        let mut reader = Self {
            variables,
            problems: Vec::new(),
        };
        reader.log_level();
        reader
    }

    /// The log itself begins before anything else is read, and takes a wrong level for INFO.
    fn log_level(&mut self) {
        const NAME: &str = "LOG_LEVEL";
        let level = self.variables.get(NAME);
        if level.is_some_and(|level| telemetry::level(level).is_none()) {
            self.invalid(NAME, "TRACE, DEBUG, INFO, WARN, ERROR or FATAL");
        }
    }

    /// The configuration, which `made` yields if there was no problem.
    fn finish<C>(self, made: impl FnOnce() -> Option<C>) -> Result<C, InvalidConfiguration> {
        let Self { problems, .. } = self;
        match made() {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(InvalidConfiguration { problems }),
        }
    }

    /// Notes that a variable is missing or wrong; `expected` says what it must be. A value is
    /// quoted only where it cannot be a secret.
    fn invalid(&mut self, name: &str, expected: impl Display) {
        self.problems.push(match self.variables.get(name) {
            Some(value) => format!("{name} is {value:?} ({expected})"),
            None => format!("{name} is missing ({expected})"),
        });
    }

    fn required(&mut self, name: &str, expected: &str) -> Option<String> {
        let value = self.variables.get(name);
        if value.is_none() {
            self.invalid(name, expected);
        }
        value.map(str::to_owned)
    }

    fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let Some(value) = self.variables.get(name) else {
            return default;
        };
        // `parse` takes a leading plus; a number here is digits.
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = value.parse().ok().filter(|it| digits && range.contains(it)) {
            return number;
        }
        let (least, most) = range.into_inner();
        self.invalid(name, format_args!("a whole number from {least} to {most}"));
        default
    }

    fn table_name(&mut self) -> Option<String> {
        const EXPECTED: &str = "a table's name: 3 to 255 letters, digits, '_', '-' or '.'";
        let name = self.required("TABLE_NAME", EXPECTED)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(3..=255).contains(&name.len()) || !name.bytes().all(allowed) {
            self.invalid("TABLE_NAME", EXPECTED);
            return None;
        }
        Some(name)
    }

    fn metrics_namespace(&mut self) -> Namespace {
        const NAME: &str = "METRICS_NAMESPACE";
        let name = self.variables.get(NAME);
        name.and_then(Namespace::parse).unwrap_or_else(|| {
            if name.is_some() {
                self.invalid(
                    NAME,
                    "1 to 255 letters, digits or .-_/#: and not AWS/ in front",
                );
            }
            Namespace::default()
        })
    }

    fn cors_origin(&mut self) -> Option<AllowedOrigin> {
        const NAME: &str = "CORS_ORIGIN";
        let value = self.variables.get(NAME)?;
        let origin = AllowedOrigin::parse(value);
        if origin.is_none() {
            self.invalid(NAME, "an origin such as https://admin.example.com, or *");
        }
        origin
    }

    fn schedule(&mut self) -> Schedule {
        const NAME: &str = "CLEANUP_SCHEDULE";
        let value = self.variables.get(NAME);
        value.map_or_else(Schedule::default, |value| {
            Schedule::parse(value).unwrap_or_else(|| {
                self.invalid(
                    NAME,
                    "EventBridge's rate(1 hour), cron(0 3 * * ? *) or the like",
                );
                Schedule::default()
            })
        })
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.variables.get(name) {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(_) => {
                self.invalid(name, "true or false");
                default
            }
        }
    }

    fn shards(&mut self) -> Shards {
        let count = self.number("DUE_SHARDS", 16, 1..=100);
        u8::try_from(count)
            .ok()
            .and_then(|count| Shards::new(count).ok())
            .unwrap_or_default()
    }

    fn retention(&mut self) -> Days {
        Days(self.number("SESSION_RETENTION_DAYS", 30, 1..=3_650))
    }

    fn report_retention(&mut self) -> Days {
        Days(self.number("REPORT_RETENTION_DAYS", 90, 1..=3_650))
    }

    fn settings(&mut self) -> CleanupSettings {
        CleanupSettings {
            shards: self.shards(),
            retention: self.retention(),
            report_retention: self.report_retention(),
            max_writes_per_second: NonZeroU32::new(self.number(
                "MAX_WRITES_PER_SECOND",
                1_000,
                0..=1_000_000,
            )),
        }
    }

    fn tokens(&mut self) -> (Option<TokenRules>, Option<KeySource>) {
        let algorithm = self.algorithm();
        let keys = self.keys(algorithm);
        let issuer = self.required("JWT_ISSUER", "the tokens' iss");
        let audience = self.required("JWT_AUDIENCE", "the name of this API in the tokens' aud");
        let leeway_seconds = self.number("JWT_LEEWAY_SECONDS", 0, 0..=120);
        let rules = || {
            Some(TokenRules {
                algorithm: algorithm?,
                issuer: issuer?,
                audience: audience?,
                leeway_seconds,
            })
        };
        (rules(), keys)
    }

    fn algorithm(&mut self) -> Option<Algorithm> {
        const NAME: &str = "JWT_ALGORITHM";
        const EXPECTED: &str = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                                ES256, ES384 or EdDSA";
        let algorithm = self
            .variables
            .get(NAME)
            .and_then(|name| Algorithm::from_str(name).ok());
        if algorithm.is_none() {
            self.invalid(NAME, EXPECTED);
        }
        algorithm
    }

    /// The source of the keys. The key itself is checked here, against the algorithm, if that is
    /// known; so all problems come together.
    fn keys(&mut self, algorithm: Option<Algorithm>) -> Option<KeySource> {
        const NAMES: [&str; 4] = ["JWT_SECRET", "JWT_SECRET_ARN", "JWT_PUBLIC_KEY", "JWKS_URL"];
        let variables = self.variables;
        let set: Vec<_> = NAMES
            .into_iter()
            .filter_map(|name| Some((name, variables.get(name)?)))
            .collect();
        let [(name, value)] = set[..] else {
            let these = |names: &[&str], last| match names {
                [names @ .., end] => format!("{} {last} {end}", names.join(", ")),
                [] => String::new(),
            };
            let names: Vec<_> = set.iter().map(|(name, _)| *name).collect();
            self.problems.push(if names.is_empty() {
                format!("{} is missing (one of them)", these(&NAMES, "or"))
            } else {
                format!("{} are set (one of them)", these(&names, "and"))
            });
            return None;
        };
        let algorithm = algorithm?;
        let symmetric = algorithm.family() == AlgorithmFamily::Hmac;
        if symmetric != name.starts_with("JWT_SECRET") {
            let needed = if symmetric { &NAMES[..2] } else { &NAMES[2..] };
            let needed = needed.join(" or ");
            self.problems.push(format!(
                "{name} is set, and {needed} is needed for {algorithm:?}"
            ));
            return None;
        }
        let mut configured = |key: Result<_, UnsuitableKey>| {
            key.map(KeySource::Configured)
                .map_err(|unsuitable| self.problems.push(format!("{name} {unsuitable}")))
                .ok()
        };
        match name {
            "JWT_SECRET" => configured(VerifyingKey::from_secret(algorithm, value)),
            // Where a variable holds one line only, line ends are often written as "\n".
            "JWT_PUBLIC_KEY" => configured(VerifyingKey::from_pem(
                algorithm,
                &value.replace("\\n", "\n"),
            )),
            "JWT_SECRET_ARN" => {
                let reference = SecretReference::parse(value);
                if reference.is_none() {
                    self.invalid(
                        name,
                        "the ARN of a secret of Secrets Manager; where that is JSON, with \
                         :json-key:: behind it",
                    );
                }
                reference.map(KeySource::StoredSecret)
            }
            _ => {
                let url = JwksUrl::parse(value);
                if url.is_none() {
                    // It may hold credentials.
                    self.problems.push(format!(
                        "{name} must be an https URL without credentials (http on loopback only)"
                    ));
                }
                url.map(KeySource::Jwks)
            }
        }
    }
}
