//! What the SDK's errors mean to a use case.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::ports::StoreError;

/// Codes that say "later", of whole requests and of single statements.
const THROTTLED: [&str; 6] = [
    "ThrottlingException",
    "ThrottlingError",
    "ProvisionedThroughputExceededException",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "LimitExceededException",
];

/// Codes that another attempt may not meet again.
const PASSING: [&str; 4] = [
    "InternalServerError",
    "InternalServerErrorException",
    "TransactionConflict",
    "ServiceUnavailable",
];

impl StoreError {
    /// An error of a whole call; `what` says what was tried.
    pub(crate) fn from_call<E, R>(what: &'static str, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        // Anything but an answer of the service (no connection, no answer in time) may pass.
        if !matches!(error, SdkError::ServiceError(_)) {
            return Self::Unavailable {
                what,
                source: Box::new(error),
            };
        }
        let code = error.code().map(str::to_owned);
        Self::from_code(what, code.as_deref(), Box::new(error))
    }

    /// An error with the service's own code for it.
    pub(crate) fn from_code(
        what: &'static str,
        code: Option<&str>,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        match code {
            Some(code) if THROTTLED.contains(&code) => Self::Throttled { what, source },
            // An answer without a code comes from something between us and the service.
            Some(code) if !PASSING.contains(&code) => Self::Rejected { what, source },
            _ => Self::Unavailable { what, source },
        }
    }
}
