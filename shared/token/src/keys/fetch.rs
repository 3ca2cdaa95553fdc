//! The interface of a source of keys.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::{FetchError, KeySet};
use session_domain::Timestamp;

/// A source that keys are fetched from.
pub trait FetchKeys: fmt::Debug + Send + Sync {
    /// Fetches the keys that are valid at `now`, within `timeout`.
    fn fetch(
        &self,
        now: Timestamp,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = Fetch> + Send + '_>>;
}

/// The result of a fetch. The source measures the duration, because this crate reads no clock.
#[derive(Debug)]
pub struct Fetch {
    /// The keys, or why there are none.
    pub outcome: Result<Fetched, FetchError>,
    /// How long the fetch took.
    pub took: Duration,
}

/// Fetched keys.
#[derive(Debug)]
pub struct Fetched {
    /// The keys.
    pub keys: KeySet,
    /// Cache lifetime of the keys, in seconds.
    pub ttl_seconds: i64,
}
