//! A shared secret in AWS Secrets Manager, and its rotation.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_sdk_secretsmanager::error::{DisplayErrorContext, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::{
    GetSecretValueError, GetSecretValueOutput,
};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use tokio::time::timeout;

use session_domain::Timestamp;
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::clock::Deadline;
use session_token::json::read_object;
use session_token::keys::{Fetch, FetchError, FetchKeys, Fetched, KeySet, VerifyingKey};

/// How long a secret is believed before it is fetched again. A new one is known everywhere after
/// that long.
const TTL_SECONDS: i64 = 300;

/// For how long the previous version verifies once an instance has seen another one take its place.
/// Secrets Manager never takes the name `AWSPREVIOUS` away by itself: without an end, a secret that
/// was replaced because it leaked would be good until the next rotation.
const GRACE_SECONDS: i64 = 24 * 3_600;

/// For how long after the younger of both versions was made the previous one verifies for an
/// instance that has not seen the change. Nothing that may be read tells when the change was, only
/// that both versions were there by then. A shorter time would refuse everybody's tokens where a
/// version is made days before it becomes the current one, or is taken back days later; without an
/// end, each new instance would take the previous one for ever.
const UNSEEN_CHANGE_SECONDS: i64 = 7 * 24 * 3_600;

/// For how long the previous version verifies while it cannot be read again.
const MAX_STALE_SECONDS: i64 = 24 * 3_600;

/// For how long keys are believed of which one could not be read.
const INCOMPLETE_TTL_SECONDS: i64 = 30;

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
    state: Mutex<SecretState>,
}

/// A version of the secret.
#[derive(Debug, Clone)]
struct Version {
    id: String,
    key: VerifyingKey,
    created_at: Option<Timestamp>,
}

/// What this instance has seen of the secret.
#[derive(Debug, Default)]
struct SecretState {
    current: Option<Version>,
    /// The version that was the current one before, and when that was seen to have changed.
    replaced: Option<(String, Timestamp)>,
    previous: Previous,
}

/// The previous version, as far as it is known.
#[derive(Debug, Default)]
enum Previous {
    /// It could not be read yet.
    #[default]
    Unread,
    /// There is none, or none that verifies.
    None,
    /// It verifies until then.
    Until(Timestamp, VerifyingKey),
}

/// Why a version was not read.
enum Unread {
    /// No version has that label.
    Missing(FetchError),
    /// It cannot be had now.
    Failed(FetchError),
    /// It is there, and no key.
    Unsuitable(FetchError),
}

impl From<Unread> for FetchError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Missing(error) | Unread::Failed(error) | Unread::Unsuitable(error) => error,
        }
    }
}

impl StoredSecret {
    /// The secret, as `client` fetches it.
    #[must_use]
    pub fn new(client: Client, reference: SecretReference, algorithm: Algorithm) -> Self {
        Self {
            client,
            reference,
            algorithm,
            state: Mutex::default(),
        }
    }

    /// The secret, in the region that its ARN names.
    pub async fn connect(reference: SecretReference, algorithm: Algorithm) -> Self {
        let region = Region::new(reference.region.clone());
        let config = CallPolicy::INTERACTIVE
            .configure()
            .region(region)
            .load()
            .await;
        Self::new(Client::new(&config), reference, algorithm)
    }

    /// Reads the version with this label, in the time that is left.
    async fn version(&self, stage: &str, left: Duration) -> Result<Version, Unread> {
        let request = self.client.get_secret_value();
        let asked = request
            .secret_id(&self.reference.arn)
            .version_stage(stage)
            .send();
        let answer = timeout(left, asked).await.map_err(|_| {
            let message = format!("JWT_SECRET_ARN: no answer in time about {stage}");
            Unread::Failed(FetchError::Transient(message))
        })?;
        let answer = answer.map_err(|error| {
            if is_missing(&error) {
                Unread::Missing(fetch_error(&error))
            } else {
                Unread::Failed(fetch_error(&error))
            }
        })?;
        Ok(Version {
            key: self.key(&answer).map_err(Unread::Unsuitable)?,
            created_at: answer
                .created_date()
                .map(|created_at| Timestamp::from_seconds(created_at.secs())),
            id: answer.version_id.unwrap_or_default(),
        })
    }

    /// The key of a version: its text or its bytes, or a field of the JSON object in them.
    fn key(&self, version: &GetSecretValueOutput) -> Result<VerifyingKey, FetchError> {
        let permanent = |problem: String| {
            FetchError::Permanent(format!("JWT_SECRET_ARN: the secret {problem}"))
        };
        let text = version.secret_string().map(str::as_bytes);
        let bytes = text
            .or_else(|| version.secret_binary().map(AsRef::as_ref))
            .ok_or_else(|| permanent("has no value".to_owned()))?;
        let mut object;
        let secret = match &self.reference.field {
            None => bytes,
            Some(field) => {
                object = read_object::<Map<String, Value>>(bytes).ok_or_else(|| {
                    permanent("is no JSON object in which each name stands once".to_owned())
                })?;
                object
                    .get_mut(field)
                    .and_then(|value| value.as_str())
                    .ok_or_else(|| permanent(format!("has no text in its field {field:?}")))?
                    .as_bytes()
            }
        };
        VerifyingKey::from_secret(self.algorithm, secret).map_err(|it| permanent(it.to_string()))
    }

    /// Reads the current version, and then the previous one. In the other order, or at once, a
    /// rotation between the two could bring a version that is retired, and not the current one.
    async fn fetch_versions(
        &self,
        now: Timestamp,
        deadline: &Deadline,
    ) -> Result<Fetched, FetchError> {
        let current = self.version(CURRENT, deadline.remaining()).await?;
        let previous = self.version(PREVIOUS, deadline.remaining()).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.update(current, previous, now))
    }
}

impl SecretState {
    /// Takes what was read of the secret; the keys that verify by it.
    fn update(
        &mut self,
        current: Version,
        previous: Result<Version, Unread>,
        now: Timestamp,
    ) -> Fetched {
        if let Some(replaced) = self.current.take_if(|it| it.id != current.id) {
            self.previous = Previous::Until(now.plus(GRACE_SECONDS), replaced.key);
            self.replaced = Some((replaced.id, now));
        }
        let mut unread = None;
        match previous {
            Ok(previous) => {
                self.previous = match self.verifies_until(&current, &previous) {
                    Some(until) => {
                        let until = until.min(now.plus(MAX_STALE_SECONDS));
                        Previous::Until(until, previous.key)
                    }
                    None => Previous::None,
                };
            }
            Err(Unread::Missing(_)) => self.previous = Previous::None,
            Err(Unread::Unsuitable(error)) => {
                tracing::warn!(%error, "the previous secret cannot be used as a key");
                self.previous = Previous::None;
            }
            // What it was before goes on: nothing tells that it has changed.
            Err(Unread::Failed(error)) => {
                tracing::warn!(%error, "the previous secret could not be read");
                match error {
                    FetchError::Transient(why) => unread = Some(why),
                    FetchError::Permanent(_) if matches!(self.previous, Previous::Unread) => {
                        self.previous = Previous::None;
                    }
                    FetchError::Permanent(_) => {}
                }
            }
        }
        let mut keys = vec![current.key.clone()];
        let mut ttl_seconds = TTL_SECONDS;
        self.current = Some(current);
        match (&self.previous, unread) {
            (Previous::Unread, Some(why)) => {
                return Fetched {
                    keys: KeySet::Incomplete { keys, why },
                    ttl_seconds: INCOMPLETE_TTL_SECONDS,
                };
            }
            (Previous::Until(until, key), _) if now < *until => {
                keys.push(key.clone());
                ttl_seconds = ttl_seconds.min(until.since(now));
            }
            _ => {}
        }
        Fetched {
            keys: KeySet::Any(keys),
            ttl_seconds,
        }
    }

    /// Until when the previous version verifies; nothing where that cannot be told.
    fn verifies_until(&self, current: &Version, previous: &Version) -> Option<Timestamp> {
        match &self.replaced {
            Some((id, seen_at)) if *id == previous.id => Some(seen_at.plus(GRACE_SECONDS)),
            _ => {
                let younger = current.created_at.max(previous.created_at)?;
                Some(younger.plus(UNSEEN_CHANGE_SECONDS))
            }
        }
    }
}

impl FetchKeys for StoredSecret {
    fn fetch(
        &self,
        now: Timestamp,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
        Box::pin(async move {
            let deadline = Deadline::after(timeout);
            let outcome = self.fetch_versions(now, &deadline).await;
            let took = deadline.elapsed();
            Fetch { outcome, took }
        })
    }
}

fn is_missing(error: &SdkError<GetSecretValueError>) -> bool {
    let error = error.as_service_error();
    error.is_some_and(GetSecretValueError::is_resource_not_found_exception)
}

/// No secret, no permission or a wrong request do not pass by themselves; all else may.
fn fetch_error(error: &SdkError<GetSecretValueError>) -> FetchError {
    const PERMANENT: [&str; 6] = [
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
        Some(code) if PERMANENT.contains(&code) => FetchError::Permanent(message),
        _ => FetchError::Transient(message),
    }
}
