//! Error of a table operation.

use std::error::Error;
use std::fmt;

use session_domain::MalformedRecord;

/// Any error, as the source of another one.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Error of a table operation.
///
/// `Display` prints the kind and the operation. The cause is the [`source`](Error::source);
/// [`error_chain`](Self::error_chain) prints both.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {operation}")]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    source: BoxError,
}

/// Kind of a [`StoreError`]. Each kind says who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Too many requests. The caller retries later, at a lower rate.
    Throttled,
    /// The table was unreachable, timed out, or returned a server error. Usually transient: the
    /// caller retries. If it persists, the operator checks the network and the service's health.
    ///
    /// A write may have taken place: see [`StoreError::outcome_unknown`].
    Unavailable,
    /// A transaction is writing the same record. Nothing was written. The caller retries.
    Conflict,
    /// The table rejects this record permanently, for example because it would become too large.
    /// The owner of the record must change it. Other records are not affected.
    RecordRejected,
    /// The table rejects the request permanently: missing permissions, a missing table, or an
    /// invalid request. The person who deployed the caller must act.
    Rejected,
    /// A stored record cannot be interpreted. The source is a [`MalformedRecord`]. The owner of the
    /// application that wrote the record must repair it.
    Malformed,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "the table is throttled",
            Self::Unavailable => "the table cannot be reached",
            Self::Conflict => "another write to the same record is under way",
            Self::RecordRejected => "the table rejected the record",
            Self::Rejected => "the table rejected the request",
            Self::Malformed => "the table holds a malformed record",
        })
    }
}

impl StoreError {
    /// An error of this kind. `operation` says what was attempted, such as `reading records`.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: &'static str, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            operation,
            source: source.into(),
        }
    }

    /// Error of an operation that needs this record, which is malformed.
    #[must_use]
    pub fn malformed(operation: &'static str, record: MalformedRecord) -> Self {
        Self::new(StoreErrorKind::Malformed, operation, record)
    }

    /// Kind of the error.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether a retry may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Throttled | StoreErrorKind::Unavailable | StoreErrorKind::Conflict
        )
    }

    /// Whether the operation may have taken place although it failed, because the response was
    /// lost.
    #[must_use]
    pub const fn outcome_unknown(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable)
    }

    /// The message and the messages of all sources, in one line for the log.
    #[must_use]
    pub fn error_chain(&self) -> String {
        session_domain::error_chain(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_domain::ItemKey;

    #[test]
    fn message_excludes_source() {
        let error = StoreError::new(StoreErrorKind::Throttled, "writing", "too many requests");
        assert_eq!(error.to_string(), "the table is throttled: writing");
        let source = error.source().map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("too many requests"));
        assert_eq!(
            error.error_chain(),
            "the table is throttled: writing: too many requests"
        );
    }

    #[test]
    fn malformed_record_is_the_source() {
        let record = MalformedRecord {
            key: ItemKey {
                partition: "USER#ann".to_owned(),
                sort: "SESSION#s-1".to_owned(),
            },
            problem: "expires_at is missing".to_owned(),
        };
        let error = StoreError::malformed("finding a record", record.clone());
        assert_eq!(error.kind(), StoreErrorKind::Malformed);
        let source = error.source().and_then(|it| it.downcast_ref());
        assert_eq!(source, Some(&record));
    }

    #[test]
    fn retries_only_transient_kinds() {
        for (kind, is_retryable, outcome_unknown) in [
            (StoreErrorKind::Throttled, true, false),
            (StoreErrorKind::Unavailable, true, true),
            (StoreErrorKind::Conflict, true, false),
            (StoreErrorKind::RecordRejected, false, false),
            (StoreErrorKind::Rejected, false, false),
            (StoreErrorKind::Malformed, false, false),
        ] {
            let error = StoreError::new(kind, "writing", "a cause");
            assert_eq!(error.is_retryable(), is_retryable, "{kind:?}");
            assert_eq!(error.outcome_unknown(), outcome_unknown, "{kind:?}");
        }
    }
}
