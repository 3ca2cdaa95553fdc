//! A shared secret in AWS Secrets Manager, and its rotation.

use std::pin::Pin;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{
    GetSecretValueError, GetSecretValueOutput,
};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{FetchError, FetchKeys, Fetched, KeySet, VerifyingKey};
use crate::domain::Timestamp;
use crate::dynamodb::Patience;
use crate::json::read_object;

/// How long a secret is believed before it is fetched again. A new one is known everywhere after
/// that long.
const FRESH_SECONDS: i64 = 300;

/// For how long after the current version was made the previous one still verifies. Secrets Manager
/// never takes the name `AWSPREVIOUS` away by itself: without an end, a secret that was replaced
/// because it leaked would be good until the next rotation.
const ROTATION_SECONDS: i64 = 24 * 3_600;

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret's ARN, and the field of its JSON, as `arn:…:secret:name-AbCdEf:field::`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    arn: String,
    region: String,
    /// Where the secret is a JSON object, the name of the member.
    field: Option<String>,
}

impl SecretReference {
    /// Reads an ARN, with or without `:json-key::` behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (arn, field) = match parts[..] {
            [.., field, "", ""] if parts.len() == 10 => (&parts[..7], Some(field)),
            _ => (&parts[..], None),
        };
        let [
            "arn",
            partition,
            "secretsmanager",
            region,
            account,
            "secret",
            name,
        ] = arn[..]
        else {
            return None;
        };
        let plain = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
        let whole = [partition, region, account, name].into_iter().all(plain);
        (whole && field != Some("")).then(|| Self {
            arn: arn.join(":"),
            region: region.to_owned(),
            field: field.map(str::to_owned),
        })
    }
}

/// The secret behind the SDK's client.
#[derive(Debug)]
pub struct StoredSecret {
    client: Client,
    reference: SecretReference,
    algorithm: Algorithm,
}

impl StoredSecret {
    /// The secret, as `client` fetches it.
    #[must_use]
    pub const fn new(client: Client, reference: SecretReference, algorithm: Algorithm) -> Self {
        Self {
            client,
            reference,
            algorithm,
        }
    }

    /// The secret, in the region that its ARN names.
    pub async fn connect(reference: SecretReference, algorithm: Algorithm) -> Self {
        let region = Region::new(reference.region.clone());
        let config = Patience::LOGIN.configure().region(region).load().await;
        Self::new(Client::new(&config), reference, algorithm)
    }

    async fn version(
        &self,
        stage: &str,
    ) -> Result<GetSecretValueOutput, SdkError<GetSecretValueError>> {
        let request = self.client.get_secret_value();
        request
            .secret_id(&self.reference.arn)
            .version_stage(stage)
            .send()
            .await
    }

    fn key(&self, version: &GetSecretValueOutput) -> Result<VerifyingKey, FetchError> {
        let unfit =
            |problem: String| FetchError::Unfit(format!("JWT_SECRET_ARN: the secret {problem}"));
        let text = version
            .secret_string()
            .ok_or_else(|| unfit("is binary, and a text is needed".to_owned()))?;
        let mut object;
        let secret = match &self.reference.field {
            None => text,
            Some(field) => {
                object = read_object::<Map<String, Value>>(text.as_bytes()).ok_or_else(|| {
                    unfit("is no JSON object in which each name stands once".to_owned())
                })?;
                object
                    .get_mut(field)
                    .and_then(|value| value.as_str())
                    .ok_or_else(|| unfit(format!("has no text in its field {field:?}")))?
            }
        };
        VerifyingKey::from_secret(self.algorithm, secret).map_err(|it| unfit(it.to_string()))
    }

    async fn fetch_versions(&self, now: Timestamp) -> Result<Fetched, FetchError> {
        let (current, previous) = tokio::join!(self.version(CURRENT), self.version(PREVIOUS));
        let current = current.map_err(|error| failure(&error))?;
        let mut keys = vec![self.key(&current)?];
        let rotating = current
            .created_date()
            .is_none_or(|made| now.seconds() - made.secs() < ROTATION_SECONDS);
        match previous {
            Ok(previous) if rotating => match self.key(&previous) {
                Ok(key) => keys.push(key),
                Err(error) => tracing::warn!(%error, "the previous secret is of no use"),
            },
            Ok(_) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(failure(&error)),
        }
        Ok(Fetched {
            keys: KeySet::Any(keys),
            fresh_seconds: FRESH_SECONDS,
        })
    }
}

impl FetchKeys for StoredSecret {
    fn fetch(
        &self,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
        Box::pin(self.fetch_versions(now))
    }
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

/// No secret, no permission or a wrong request do not pass by themselves; all else may.
fn failure(error: &SdkError<GetSecretValueError>) -> FetchError {
    const LASTING: [&str; 6] = [
        "AccessDeniedException",
        "DecryptionFailure",
        "InvalidParameterException",
        "InvalidRequestException",
        "ResourceNotFoundException",
        "ValidationException",
    ];
    let code = error
        .as_service_error()
        .and_then(|error| error.meta().code());
    let message = format!(
        "JWT_SECRET_ARN: the secret cannot be read: {}",
        DisplayErrorContext(error)
    );
    match code {
        Some(code) if LASTING.contains(&code) => FetchError::Unfit(message),
        _ => FetchError::Unavailable(message),
    }
}
