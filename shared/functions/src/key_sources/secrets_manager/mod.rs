//! Source of keys: a shared secret in AWS Secrets Manager, including during its rotation.

mod error;
mod reference;
mod rotation;

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Region;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use tokio::time::timeout;

use self::error::{Problem, SecretError};
pub use self::reference::SecretReference;
use self::rotation::{SecretState, Version};
use session_domain::Timestamp;
use session_lifecycle::aws::CallPolicy;
use session_lifecycle::clock::Deadline;
use session_token::json::read_object;
use session_token::keys::{Fetch, FetchError, FetchKeys, Fetched, VerifyingKey};

const CURRENT: &str = "AWSCURRENT";
const PREVIOUS: &str = "AWSPREVIOUS";

/// A secret in Secrets Manager.
#[derive(Debug)]
pub struct StoredSecret {
    client: Client,
    reference: SecretReference,
    algorithm: Algorithm,
    state: Mutex<SecretState>,
}

impl StoredSecret {
    /// A secret that `client` reads.
    #[must_use]
    pub fn new(client: Client, reference: SecretReference, algorithm: Algorithm) -> Self {
        Self {
            client,
            reference,
            algorithm,
            state: Mutex::default(),
        }
    }

    /// A secret in the region that its ARN names.
    pub async fn connect(reference: SecretReference, algorithm: Algorithm) -> Self {
        let region = Region::new(reference.region.clone());
        let config = CallPolicy::INTERACTIVE
            .configure()
            .region(region)
            .load()
            .await;
        Self::new(Client::new(&config), reference, algorithm)
    }

    /// Reads the version with this label, within the remaining time.
    async fn version(
        &self,
        stage: &'static str,
        remaining: Duration,
    ) -> Result<Version, SecretError> {
        let request = self.client.get_secret_value();
        let response = request
            .secret_id(&self.reference.arn)
            .version_stage(stage)
            .send();
        let version = timeout(remaining, response)
            .await
            .map_err(|_| SecretError::Timeout(stage))?
            .map_err(|error| SecretError::Call(Box::new(error)))?;
        Ok(Version {
            key: self.key(&version).map_err(SecretError::Unsuitable)?,
            created_at: version
                .created_date()
                .map(|created_at| Timestamp::from_seconds(created_at.secs())),
            id: version.version_id.unwrap_or_default(),
        })
    }

    /// The key in a version: its text or bytes, or a field of the JSON object that they contain.
    fn key(&self, version: &GetSecretValueOutput) -> Result<VerifyingKey, Problem> {
        let text = version.secret_string().map(str::as_bytes);
        let bytes = text
            .or_else(|| version.secret_binary().map(AsRef::as_ref))
            .ok_or(Problem::Empty)?;
        let mut object;
        let secret = match &self.reference.field {
            None => bytes,
            Some(field) => {
                object = read_object::<Map<String, Value>>(bytes).ok_or(Problem::NotAnObject)?;
                object
                    .get_mut(field)
                    .and_then(|value| value.as_str())
                    .ok_or_else(|| Problem::NoField(field.clone()))?
                    .as_bytes()
            }
        };
        Ok(VerifyingKey::from_secret(self.algorithm, secret)?)
    }

    /// Reads the current version, then the previous one. In the other order, or concurrently, a
    /// rotation between the two reads could return a retired version and miss the current one.
    async fn fetch_versions(
        &self,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<Fetched, FetchError> {
        let current = self.version(CURRENT, deadline.remaining()).await?;
        let previous = self.version(PREVIOUS, deadline.remaining()).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.update(current, previous, now))
    }
}

impl FetchKeys for StoredSecret {
    fn fetch(
        &self,
        now: Timestamp,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>> {
        super::measured(timeout, move |deadline| self.fetch_versions(now, deadline))
    }
}
