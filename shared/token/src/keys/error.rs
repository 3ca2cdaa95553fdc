//! Errors of fetching keys.

use std::error::Error;
use std::sync::Arc;

/// Any error that another thread may read.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Error of a fetch of keys. The variant says who must act. Message and sources are those of the
/// cause.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The source was unreachable, timed out or returned no usable keys. Retrying may help.
    #[error(transparent)]
    Transient(BoxError),
    /// Retrying cannot help: the configuration, a permission or the key itself must change.
    #[error(transparent)]
    Permanent(BoxError),
}

impl FetchError {
    /// An error for which retrying may help.
    pub fn transient(cause: impl Into<BoxError>) -> Self {
        Self::Transient(cause.into())
    }

    /// An error for which retrying cannot help.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self::Permanent(cause.into())
    }
}

/// Error of a token that no available key can verify at the moment. The token may be valid.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the keys cannot be fetched")]
pub struct KeysUnavailable {
    /// The error of the last fetch, which all requests share until the next fetch. `None` if that
    /// fetch succeeded, and its keys are too old.
    pub source: Option<Arc<FetchError>>,
}
