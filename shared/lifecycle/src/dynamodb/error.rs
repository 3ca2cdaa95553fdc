//! Maps errors of the SDK to [`StoreError`].

use std::error::Error;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::ports::{BoxError, StoreError, StoreErrorKind};

/// Throttling codes, of requests and of single statements.
const THROTTLED: [&str; 6] = [
    "ThrottlingException",
    "ThrottlingError",
    "ProvisionedThroughputExceededException",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "LimitExceededException",
];

/// Server error codes of single statements. A whole request has an HTTP status of 500 or more.
const FAILURES: [&str; 4] = [
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
];

/// Conflict codes: a transaction was writing the same record.
const CONFLICTS: [&str; 2] = ["TransactionConflict", "TransactionConflictException"];

/// Codes of single statements whose record cannot be changed as requested.
const RECORD_REJECTED: [&str; 3] = [
    "ValidationError",
    "ItemCollectionSizeLimitExceeded",
    "DuplicateItem",
];

impl StoreError {
    /// An error of a whole call.
    pub(crate) fn from_call<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let is_client_error = match &error {
            SdkError::ServiceError(response) => response.raw().status().as_u16() < 500,
            // Everything but a response of the service (no connection, a timeout) may be transient.
            SdkError::ConstructionFailure(_)
            | SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => false,
        };
        let kind = match error.code() {
            Some(code) if THROTTLED.contains(&code) => StoreErrorKind::Throttled,
            // A status of 500 or more is a server error, whatever its code.
            _ if !is_client_error => StoreErrorKind::Unavailable,
            code => kind_of_code(code),
        };
        Self::new(kind, operation, error)
    }

    /// An error of one statement of a batch. The call itself succeeded.
    pub(crate) fn from_statement(
        operation: &'static str,
        code: Option<&str>,
        source: BoxError,
    ) -> Self {
        let kind = match code {
            Some(code) if RECORD_REJECTED.contains(&code) => StoreErrorKind::RecordRejected,
            code => kind_of_code(code),
        };
        Self::new(kind, operation, source)
    }
}

fn kind_of_code(code: Option<&str>) -> StoreErrorKind {
    match code {
        Some(code) if THROTTLED.contains(&code) => StoreErrorKind::Throttled,
        Some(code) if CONFLICTS.contains(&code) => StoreErrorKind::Conflict,
        Some(code) if !FAILURES.contains(&code) => StoreErrorKind::Rejected,
        // A response without a code comes from something between this process and the service.
        _ => StoreErrorKind::Unavailable,
    }
}
