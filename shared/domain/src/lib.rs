//! Sessions and tokens as data, and the decisions about them. No I/O, no clock, no AWS types.
//! Only [`SessionId::random`] is not deterministic.
//!
//! [`RetentionPolicy::next_action`] decides what happens to a record next. The authorizer, the
//! cleanup, its dry run, the repair of the index and the model in the tests all use it.
//!
//! ```
//! use session_domain::{Days, NextAction, RecordState, RetentionPolicy, SessionState, Timestamp};
//!
//! let policy = RetentionPolicy::without_grace(Days(30));
//! let expires_at = Timestamp::from_seconds(1_800_000_000);
//! let session = RecordState::Session(SessionState::Active { expires_at });
//!
//! let before = policy.next_action(&session, expires_at.minus(1));
//! assert_eq!(before, NextAction::KeepUntil(expires_at));
//! assert_eq!(policy.next_action(&session, expires_at), NextAction::Deactivate);
//! ```
//!
//! The life of a record:
//!
//! ```text
//!   session:  active ──expires_at──▶ inactive ──deactivated_at + retention──▶ deleted
//!   token:    stored ──expires_at──▶ deleted
//! ```
//!
//! An inactive session never becomes active again.
//!
//! - [`RecordState`], [`RetentionPolicy`], [`NextAction`]: what happens to a record, and when.
//! - [`DueEntry`], [`DueKey`], [`Shard`]: the due index.
//! - [`Record`], [`ConditionalWrite`]: a record as it was read, and the write that changes it.
//! - [`check_access`], [`DenyReason`]: whether a session allows a request.
//! - [`SessionLifetime`]: whether a token opens a session, and how requests move its expiry time.
//! - [`Revocation`]: which sessions are revoked in an incident.
//! - [`CleanupReport`], [`Statistics`]: what a run did, and what the table contains.

mod access;
mod change;
mod due;
mod error;
mod id;
mod key;
mod lifetime;
mod refresh;
mod report;
mod retention;
mod revocation;
mod scan;
mod session;
mod state;
mod statistics;
mod time;

pub use access::{ActiveSession, DenyReason, SessionSnapshot, check_access};
pub use change::{ConditionalWrite, DeactivateIf, MalformedRecord, Record, WriteOp};
pub use due::{Action, DueEntry, DueKey, DueList, InvalidShard, Shard, Shards};
pub use error::error_chain;
pub use id::{InvalidId, RefreshTokenHash, SessionId, TokenId, UserId};
pub use key::{ItemKey, Kind, RecordKey, UnknownKey};
pub use lifetime::{NotOpened, Opening, SessionLifetime, Touch};
pub use refresh::{
    GracePeriod, InvalidGracePeriod, RefreshSalt, RefreshState, RefreshToken, RefreshUse,
    Replacement, Rotation, UsedToken,
};
pub use report::{CleanupReport, Counts, Trigger};
pub use retention::{NextAction, RetentionPolicy};
pub use revocation::{InvalidRevocation, Revocation, Scope};
pub use scan::{ScanCheckpoint, ScanSettings, SegmentProgress};
pub use session::Session;
pub use state::{Reason, RecordState, SessionState};
pub use statistics::{Counted, Statistics};
pub use time::{Days, Hours, InvalidTimestamp, Minutes, Timestamp};
