//! Rules of the proxy: a request as a rule sees it, and the faults that a rule can return.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

/// Maximum number of statements in a DynamoDB batch.
const MAX_STATEMENTS: usize = 25;

/// A request to the table.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the API operation, such as `BatchGetItem`.
    pub operation: String,
    /// Position among the requests of this operation, starting at 1.
    pub number: usize,
    /// Request body.
    pub body: Value,
}

impl Request {
    /// Whether this request is one of `percent` in each hundred of its operation. The selected
    /// requests are spread out, and are the same in each run.
    #[must_use]
    pub const fn hits_percent(&self, percent: usize) -> bool {
        // 37 and 100 are coprime, so each hundred consecutive numbers yield each remainder once.
        self.number * 37 % 100 < percent
    }

    /// Random number generator of this request, determined by seed, operation and number.
    #[must_use]
    pub fn rng(&self, seed: u64) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (seed, &self.operation, self.number).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }
}

/// What the proxy does with a request.
pub enum Fault {
    /// Forward the request and the response.
    None,
    /// Return a DynamoDB error without forwarding the request.
    Error {
        /// HTTP status.
        status: u16,
        /// DynamoDB's error code.
        code: &'static str,
    },
    /// Return a response that is not DynamoDB's, as a load balancer might, without forwarding the
    /// request.
    Answer {
        /// HTTP status.
        status: u16,
        /// Content type of the response.
        content_type: &'static str,
        /// Response body.
        body: &'static str,
    },
    /// Return this response without forwarding the request. [`OlderIndex`](super::OlderIndex) makes the responses of
    /// an index that lags behind its table.
    Stale(Value),
    /// Close the connection without forwarding the request.
    DroppedBefore,
    /// Forward the request, and close the connection instead of returning the response.
    DroppedAfter,
    /// Never respond; the request is not forwarded.
    Hang,
    /// Forward the whole request, and then return this fault to the caller.
    AfterCommit(Box<Fault>),
    /// Apply this fault, and delay the response.
    Delayed(Duration, Box<Fault>),
    /// Return the keys whose sort key matches as unprocessed keys of a `BatchGetItem`.
    Unprocessed(fn(&str) -> bool),
    /// Fail single statements of a `BatchExecuteStatement`. A statement for which the function
    /// returns an error code is not forwarded.
    Statements(Box<StatementError>),
}

/// A rule: decides what happens to a request.
pub(super) type Decide = dyn Fn(&Request) -> Fault + Send + Sync;

/// Error code for the statement with this position and these parameters, or `None` to execute it.
pub type StatementError = dyn Fn(usize, &Value) -> Option<&'static str> + Send + Sync;

impl Fault {
    /// The caller lacks the permission.
    pub const DENIED: Self = Self::Error {
        status: 400,
        code: "AccessDeniedException",
    };
    /// An on-demand table, or one of its partitions, is throttled.
    pub const THROTTLED: Self = Self::Error {
        status: 400,
        code: "ThrottlingException",
    };
    /// DynamoDB failed.
    pub const BROKEN: Self = Self::Error {
        status: 500,
        code: "InternalServerError",
    };

    /// Delays the response and changes nothing else.
    #[must_use]
    pub fn delayed(by: Duration) -> Self {
        Self::Delayed(by, Box::new(Self::None))
    }

    /// Returns this fault to the caller although the table has executed the request.
    #[must_use]
    pub fn after_commit(self) -> Self {
        Self::AfterCommit(Box::new(self))
    }

    /// Fails a random `percent` of the statements of a batch with this error code.
    #[must_use]
    pub fn of_statements(percent: u32, code: &'static str, mut rng: StdRng) -> Self {
        let met: Vec<_> = (0..MAX_STATEMENTS)
            .map(|_| rng.random_ratio(percent, 100))
            .collect();
        Self::Statements(Box::new(move |position, _| met[position].then_some(code)))
    }
}
