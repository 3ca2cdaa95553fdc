//! What the SDK's errors mean to a use case.

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
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

/// Codes of the service's own failures, of single statements. Those of whole requests have a status
/// of 500 or more.
const FAILURES: [&str; 4] = [
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// Codes that say that a transaction was writing the same record.
const CONFLICTS: [&str; 2] = ["TransactionConflict", "TransactionConflictException"];

/// Codes of a statement of a batch that say that its record cannot be changed that way.
const OF_A_RECORD: [&str; 3] = [
    "ValidationError",
    "ItemCollectionSizeLimitExceeded",
    "DuplicateItem",
];

impl StoreError {
    /// An error of a whole call; `what` says what was tried.
    pub(crate) fn from_call<E>(what: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let is_client_error = match &error {
            SdkError::ServiceError(answer) => answer.raw().status().as_u16() < 500,
            // Anything but an answer of the service (no connection, no answer in time) may pass.
            SdkError::ConstructionFailure(_)
            | SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => false,
        };
        let code = error.code().map(str::to_owned);
        let source = Box::new(error);
        match code {
            Some(code) if THROTTLED.contains(&code.as_str()) => Self::Throttled { what, source },
            // The service's own failure, whatever its name (HTTP status 500 or more).
            _ if !is_client_error => Self::Unavailable { what, source },
            code => Self::from_code(what, code.as_deref(), source),
        }
    }

    /// An error of one statement of a batch, which took part in a call that succeeded.
    pub(crate) fn from_statement(
        what: &'static str,
        code: Option<&str>,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        match code {
            Some(code) if OF_A_RECORD.contains(&code) => Self::RecordRejected { what, source },
            code => Self::from_code(what, code, source),
        }
    }

    /// An error with the service's own code for it.
    fn from_code(
        what: &'static str,
        code: Option<&str>,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        match code {
            Some(code) if THROTTLED.contains(&code) => Self::Throttled { what, source },
            Some(code) if CONFLICTS.contains(&code) => Self::Conflict { what, source },
            Some(code) if !FAILURES.contains(&code) => Self::Rejected { what, source },
            // An answer without a code comes from something between us and the service.
            _ => Self::Unavailable { what, source },
        }
    }
}
