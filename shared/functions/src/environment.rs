//! Environment variables. Functions read them once, during init.
//!
//! All invalid variables are reported in one error.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Environment variables of the process, or of a test.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// Reads the variables of the process.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the only code that reads the process's variables"
    )]
    pub fn from_process() -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    /// Returns the value of a variable. An empty variable counts as missing.
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

/// All problems of a configuration, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {}", problems.join("; "))]
pub struct InvalidConfiguration {
    problems: Vec<String>,
}

impl InvalidConfiguration {
    /// The problems, one by one.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.iter().map(String::as_str)
    }
}

/// Reads variables and collects their problems.
pub(crate) struct Reader<'a> {
    variables: &'a Environment,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(variables: &'a Environment) -> Self {
        Self {
            variables,
            problems: Vec::new(),
        }
    }

    /// Returns the value of a variable, without checking it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.variables.get(name)
    }

    /// Returns what `build` returns, or the problems if there are any. `build` returns `None` only
    /// if a problem was recorded.
    pub(crate) fn finish<C>(
        self,
        build: impl FnOnce() -> Option<C>,
    ) -> Result<C, InvalidConfiguration> {
        let Self { problems, .. } = self;
        match build() {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(InvalidConfiguration { problems }),
        }
    }

    /// Records a problem. The text must not contain a secret.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Records that a variable is missing or invalid. `expected` describes a valid value. The
    /// message quotes the value, so the variable must not hold a secret.
    pub(crate) fn invalid(&mut self, name: &str, expected: impl Display) {
        self.problem(match self.get(name) {
            Some(value) => format!("{name} is {value:?} ({expected})"),
            None => format!("{name} is missing ({expected})"),
        });
    }

    /// Parses a variable that must be set.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = self.get(name).and_then(parse);
        if parsed.is_none() {
            self.invalid(name, expected);
        }
        parsed
    }

    /// Parses a variable that may be missing.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        expected: impl Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.get(name)?);
        if parsed.is_none() {
            self.invalid(name, expected);
        }
        parsed
    }

    /// Parses a whole number.
    pub(crate) fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |value: &str| {
            // `str::parse` accepts a leading plus sign.
            let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
            let number = value.parse().ok()?;
            (is_digits && range.contains(&number)).then_some(number)
        };
        self.optional(name, expected, parse).unwrap_or(default)
    }

    /// Parses `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.optional(name, "true or false", |value| value.parse().ok())
            .unwrap_or(default)
    }
}
