//! Pure decisions: no I/O, no clock, no AWS types.
//!
//! The heart is [`RetentionPolicy::next_action`]: given a record and the time, what happens to it next.
//! The authorizer, the cleanup, its dry run, the repair of the index and the models in the tests
//! all ask it and nothing else.

mod adoption;
mod change;
mod error;
mod id;
mod key;
mod lifecycle;
mod refusal;
mod report;
mod statistics;
mod time;

pub use adoption::{AdoptionCheckpoint, AdoptionSettings, SegmentProgress};
pub use change::{ConditionalWrite, MalformedRecord, Record, WriteOp};
pub use error::error_chain;
pub use id::{InvalidId, RefreshTokenHash, SessionId, TokenId, UserId};
pub use key::{ItemKey, Kind, RecordKey, UnknownKey};
pub use lifecycle::{
    Action, DueEntry, DueKey, DueList, InvalidShard, NextAction, Reason, RecordState,
    RetentionPolicy, SessionState, Shard, Shards,
};
pub use refusal::{DenyReason, SessionSnapshot, check_access};
pub use report::{CleanupReport, Counts, Trigger};
pub use statistics::{Counted, Statistics};
pub use time::{Days, Hours, InvalidTimestamp, Timestamp};
