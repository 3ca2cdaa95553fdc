//! Clients of AWS: their timeouts and retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_dynamodb::Client;

/// How long a caller waits for the table.
#[derive(Debug, Clone, Copy)]
pub struct CallPolicy {
    /// For one attempt.
    pub attempt_timeout: Duration,
    /// For the call, all attempts and the pauses between them together; and for what takes
    /// several calls because the table leaves keys unprocessed.
    pub operation_timeout: Duration,
    /// How many attempts.
    pub max_attempts: u32,
}

impl CallPolicy {
    /// A user waits. The authorizer has five seconds, and makes two calls at the most: the second
    /// closes an expired session.
    pub const INTERACTIVE: Self = Self {
        attempt_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_millis(2_200),
        max_attempts: 3,
    };
    /// Somebody looks at a page.
    pub const MONITORING: Self = Self {
        attempt_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(5),
        max_attempts: 4,
    };
    /// A run tries again by itself, as long as it has time: only so does it know that the answer to
    /// a write was lost, and is slow where the table throttles.
    pub const BATCH: Self = Self {
        attempt_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(2),
        max_attempts: 1,
    };

    /// The SDK's configuration from its own variables and what Lambda provides, with this patience.
    #[must_use]
    pub fn configure(self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(self.timeouts())
            .retry_config(self.retries())
            // It watches each request for a time in which no attempt of ours is still under way.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// The SDK's timeouts.
    #[must_use]
    pub fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(1))
            .operation_attempt_timeout(self.attempt_timeout)
            .operation_timeout(self.operation_timeout)
            .build()
    }

    /// The SDK's retries.
    #[must_use]
    pub fn retries(self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.max_attempts)
            .with_initial_backoff(Duration::from_millis(50))
    }
}

/// Makes a client from the SDK's own variables and what Lambda provides.
pub async fn connect(policy: CallPolicy) -> Client {
    Client::new(&policy.configure().load().await)
}
