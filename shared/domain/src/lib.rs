//! Pure decisions: no I/O, no clock, no AWS types.
//!
//! The heart is [`Rules::next_step`]: given a record and the time, what happens to it next.
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

pub use adoption::{AdoptionPlace, AdoptionSettings, SegmentPlace};
pub use change::{Change, MalformedRecord, StoredRecord, Write};
pub use error::error_chain;
pub use id::{InvalidId, RefreshTokenHash, SessionId, TokenId, UserId};
pub use key::{ItemKey, Kind, RecordKey, UnknownKey};
pub use lifecycle::{
    Action, Due, DueKey, DueList, InvalidShard, Reason, Record, Rules, Session, Shard, Shards, Step,
};
pub use refusal::{Refusal, SeenSession, judge};
pub use report::{CleanupReport, Counts, Trigger};
pub use statistics::{Counted, Statistics};
pub use time::{Days, Hours, InvalidTimestamp, Timestamp};
