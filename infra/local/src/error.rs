//! The error of the commands, and what failed in front of its cause.

use std::error::Error;
use std::fmt::Display;

/// Any error.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A command that cannot do what it was asked for.
///
/// The message is for the user. It has several lines if there are several problems.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ServeError {
    message: String,
    source: Option<BoxError>,
}

impl ServeError {
    /// An error without a cause.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }
}

/// Adds what failed to an error.
pub(crate) trait Context<T> {
    /// Puts what failed in front of the error, which stays the source.
    fn context(self, what: impl Display) -> Result<T, ServeError>;
}

impl<T, E: Into<BoxError>> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> Result<T, ServeError> {
        self.map_err(|source| ServeError {
            message: what.to_string(),
            source: Some(source.into()),
        })
    }
}
