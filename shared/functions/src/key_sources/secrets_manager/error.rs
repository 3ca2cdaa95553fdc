//! Errors of reading a version of a secret.

use std::fmt;

use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use session_domain::error_chain;
use session_token::keys::{FetchError, UnsuitableKey};

/// Codes of errors for which retrying cannot help: no such secret, no permission, or an invalid
/// request.
const PERMANENT: [&str; 6] = [
    "AccessDeniedException",
    "DecryptionFailure",
    "InvalidParameterException",
    "InvalidRequestException",
    "ResourceNotFoundException",
    "ValidationException",
];

/// Error of reading a version of the secret.
#[derive(thiserror::Error)]
pub(super) enum SecretError {
    /// Secrets Manager did not respond in time.
    #[error("JWT_SECRET_ARN: no answer in time about {0}")]
    Timeout(&'static str),
    /// The call failed.
    #[error("JWT_SECRET_ARN: the secret cannot be read")]
    Call(#[source] Box<SdkError<GetSecretValueError>>),
    /// The version exists, but contains no key.
    #[error("JWT_SECRET_ARN: the secret {0}")]
    Unsuitable(Problem),
}

/// What is wrong with the value of a version, as the end of a sentence about "the secret".
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("has no value")]
    Empty,
    #[error("is not a JSON object with unique names")]
    NotAnObject,
    #[error("has no text in its field {0:?}")]
    NoField(String),
    #[error(transparent)]
    Key(#[from] UnsuitableKey),
}

/// The chain of the messages. The SDK's own `Debug` prints the response, which may hold the secret.
impl fmt::Debug for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&error_chain(self))
    }
}

impl SecretError {
    /// Whether the secret has no version with the label.
    pub(super) fn is_missing(&self) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        let error = error.as_service_error();
        error.is_some_and(GetSecretValueError::is_resource_not_found_exception)
    }
}

impl From<SecretError> for FetchError {
    fn from(error: SecretError) -> Self {
        let permanent = match &error {
            SecretError::Timeout(_) => false,
            SecretError::Unsuitable(_) => true,
            SecretError::Call(error) => error
                .as_service_error()
                .and_then(|error| error.meta().code())
                .is_some_and(|code| PERMANENT.contains(&code)),
        };
        if permanent {
            Self::permanent(error)
        } else {
            Self::transient(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_secretsmanager::config::http::HttpResponse;

    use super::*;

    #[test]
    fn debug_output_never_contains_response_body() {
        let body = r#"{"SecretString":"TOPSECRET"#;
        let response = HttpResponse::new(200.try_into().unwrap(), body.into());
        let sdk_error = SdkError::response_error("cut off", response);
        assert!(
            format!("{sdk_error:?}").contains("TOPSECRET"),
            "the SDK prints it"
        );
        let error = FetchError::from(SecretError::Call(Box::new(sdk_error)));
        let printed = format!("{error:?} {error} {}", error_chain(&error));
        assert!(!printed.contains("TOPSECRET"), "{printed}");
        assert!(printed.contains("cut off"), "{printed}");
    }
}
