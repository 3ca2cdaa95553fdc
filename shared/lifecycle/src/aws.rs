//! Timeouts and retry limits for calls to AWS.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};

pub use aws_sdk_dynamodb::Client;

/// Timeouts and retry limits of one caller.
#[derive(Debug, Clone, Copy)]
pub struct CallPolicy {
    /// Timeout of one attempt.
    pub attempt_timeout: Duration,
    /// Timeout of an operation: all attempts and the pauses between them. It also covers all requests
    /// of a read whose keys the table leaves unprocessed.
    pub operation_timeout: Duration,
    /// Maximum number of attempts.
    pub max_attempts: u32,
}

impl CallPolicy {
    /// For requests of users. The authorizer has five seconds for one read and, if the session has
    /// expired, at most two writes, each of one attempt.
    pub const INTERACTIVE: Self = Self {
        attempt_timeout: Duration::from_secs(1),
        operation_timeout: Duration::from_millis(2_200),
        max_attempts: 3,
    };
    /// For the monitoring API.
    pub const MONITORING: Self = Self {
        attempt_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(5),
        max_attempts: 4,
    };
    /// For a run of the cleanup, which retries on its own until its deadline. The SDK must not
    /// retry: the run would not notice a lost response, and would not slow down when throttled.
    pub const BATCH: Self = Self {
        attempt_timeout: Duration::from_secs(2),
        operation_timeout: Duration::from_secs(2),
        max_attempts: 1,
    };

    /// The SDK's configuration with this policy. Region and credentials come from the environment.
    #[must_use]
    pub fn configure(self) -> ConfigLoader {
        aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(self.timeouts())
            .retry_config(self.retries())
            // Its grace period is longer than the attempt timeout, so it can never trigger.
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

/// Creates a client. Region and credentials come from the environment.
pub async fn connect(policy: CallPolicy) -> Client {
    Client::new(&policy.configure().load().await)
}
