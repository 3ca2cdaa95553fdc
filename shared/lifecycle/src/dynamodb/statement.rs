//! Conditional writes as PartiQL statements.
//!
//! PartiQL sends 25 conditional writes in one request. `BatchWriteItem` has no conditions, and a
//! transaction costs twice as much. An UPDATE never creates an item. The conditions compare exactly
//! the attributes that [`read_record`](super::item::read_record) reads.

use std::fmt::{self, Write as _};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};

use super::item::{
    CLIENT_ID, CREATED_AT, DEACTIVATED_AT, DEACTIVATION_REASON, DUE_AT, DUE_KEY, EXPIRES_AT,
    IS_ACTIVE, LAST_USED_AT, MAX_EXPIRES_AT, PK, REFRESH_HASH, REFRESH_PREVIOUS_HASH,
    REFRESH_ROTATED_AT, REFRESH_SALT, SK, TTL, due_attributes, text, time,
};
use session_domain::{
    ConditionalWrite, DeactivateIf, DueKey, Kind, RecordState, Replacement, SessionState,
    Timestamp, Touch, UsedToken, WriteOp,
};

/// Builder of a statement. Each method adds text and the parameters that belong to it.
#[derive(Default)]
struct Statement {
    text: String,
    parameters: Vec<AttributeValue>,
}

impl Statement {
    fn write(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    fn set(&mut self, name: &str, value: AttributeValue) {
        self.write(format_args!(" SET \"{name}\"=?"));
        self.parameters.push(value);
    }

    fn where_key(&mut self, change: &ConditionalWrite) {
        self.write(format_args!(" WHERE \"{PK}\"=? AND \"{SK}\"=?"));
        self.parameters
            .extend([text(&change.key.partition), text(&change.key.sort)]);
    }

    fn require(&mut self, name: &str, comparison: &str, value: AttributeValue) {
        self.write(format_args!(" AND \"{name}\"{comparison}?"));
        self.parameters.push(value);
    }

    /// Requires that a stored number, rounded up to whole seconds, equals `value`.
    fn require_time(&mut self, name: &str, value: Timestamp) {
        // The smallest time stands for all earlier ones, too: it has no lower bound.
        if value.minus(1) < value {
            self.require(name, ">", time(value.minus(1)));
        }
        self.require(name, "<=", time(value));
    }

    /// Requires that a session is live, and that its absolute end is not before `expires_at`.
    fn require_live(&mut self, now: Timestamp, expires_at: Timestamp) {
        self.require(IS_ACTIVE, "=", AttributeValue::Bool(true));
        self.require(EXPIRES_AT, ">", time(now));
        let lacks_end = lacks(MAX_EXPIRES_AT, "N");
        self.write(format_args!(
            " AND ({lacks_end} OR \"{MAX_EXPIRES_AT}\">=?)"
        ));
        self.parameters.push(time(expires_at));
    }

    /// Requires that a session was not touched within the window of this touch. A time far in the future
    /// comes from a wrong clock or a wrong unit, and does not count.
    fn require_not_just_touched(&mut self, touch: &Touch) {
        let unknown = lacks(LAST_USED_AT, "N");
        self.write(format_args!(
            " AND ({unknown} OR \"{LAST_USED_AT}\"<=? OR \"{LAST_USED_AT}\">=?)"
        ));
        self.parameters
            .extend([time(touch.used_since), time(touch.used_until)]);
    }

    /// Sets the expiry time, and `due_at` only if there is a new one.
    fn set_expiry(&mut self, expires_at: Timestamp, ttl: Timestamp, due_at: Option<Timestamp>) {
        self.set(EXPIRES_AT, time(expires_at));
        self.set(TTL, time(ttl));
        if let Some(due_at) = due_at {
            self.set(DUE_AT, time(due_at));
        }
    }

    /// Requires that a `due_at` that is not set is not later than the new expiry time: another writer may
    /// have moved it meanwhile.
    fn require_due_by(&mut self, expires_at: Timestamp, due_at: Option<Timestamp>) {
        if due_at.is_none() {
            let lacks_due_at = lacks(DUE_AT, "N");
            self.write(format_args!(" AND ({lacks_due_at} OR \"{DUE_AT}\"<=?)"));
            self.parameters.push(time(expires_at));
        }
    }

    fn replace_refresh_token(&mut self, change: &ConditionalWrite, replacement: &Replacement) {
        let used = text(replacement.used_hash.as_str());
        self.set(REFRESH_HASH, text(replacement.new_hash.as_str()));
        self.set(REFRESH_SALT, text(replacement.salt.as_str()));
        if replacement.used == UsedToken::Current {
            self.set(REFRESH_PREVIOUS_HASH, used.clone());
            self.set(REFRESH_ROTATED_AT, time(replacement.at));
        }
        self.set(LAST_USED_AT, time(replacement.at));
        self.set_expiry(replacement.expires_at, replacement.ttl, replacement.due_at);
        self.where_key(change);
        self.require_live(replacement.at, replacement.expires_at);
        self.require_due_by(replacement.expires_at, replacement.due_at);
        match replacement.used {
            UsedToken::Current => self.require(REFRESH_HASH, "=", used),
            UsedToken::Previous => {
                self.require(REFRESH_PREVIOUS_HASH, "=", used);
                self.write(format_args!(" AND \"{REFRESH_SALT}\" IS MISSING"));
            }
        }
    }

    fn require_besides_active(&mut self, only_if: &DeactivateIf) {
        match only_if {
            DeactivateIf::Active => {}
            DeactivateIf::ExpiredBy(now) => self.require(EXPIRES_AT, "<=", time(*now)),
            DeactivateIf::CreatedBefore {
                time: before,
                client_id,
            } => {
                self.require(CREATED_AT, "<", time(*before));
                if let Some(client_id) = client_id {
                    self.require(CLIENT_ID, "=", text(client_id));
                }
            }
        }
    }

    fn require_state(&mut self, state: &RecordState) {
        match *state {
            RecordState::Session(SessionState::Active { expires_at }) => {
                self.require(IS_ACTIVE, "=", AttributeValue::Bool(true));
                self.require_time(EXPIRES_AT, expires_at);
            }
            RecordState::Session(SessionState::Inactive { deactivated_at }) => {
                self.require(IS_ACTIVE, "=", AttributeValue::Bool(false));
                self.require_time(DEACTIVATED_AT, deactivated_at);
            }
            RecordState::Token { expires_at } => self.require_time(EXPIRES_AT, expires_at),
        }
    }

    /// Requires that a record of this kind is malformed: the opposite of what
    /// [`read_record`](super::item::read_record) accepts. Tests for missing attributes with
    /// `IS MISSING`, because it is not documented whether a negated comparison holds for them.
    fn require_malformed(&mut self, kind: Kind) {
        match kind {
            Kind::Session => {
                let lacks_state = lacks(IS_ACTIVE, "BOOL");
                self.write(format_args!(
                    " AND ({lacks_state} OR (\"{IS_ACTIVE}\"=? AND "
                ));
                self.parameters.push(AttributeValue::Bool(true));
                self.not_a_time(EXPIRES_AT);
                self.write(format_args!(") OR (\"{IS_ACTIVE}\"=? AND "));
                self.parameters.push(AttributeValue::Bool(false));
                self.not_a_time(DEACTIVATED_AT);
                self.write(format_args!("))"));
            }
            Kind::RefreshToken | Kind::BlacklistedToken => {
                self.write(format_args!(" AND "));
                self.not_a_time(EXPIRES_AT);
            }
        }
    }

    /// Adds the condition that an attribute is not a valid time.
    fn not_a_time(&mut self, name: &str) {
        let lacks_number = lacks(name, "N");
        self.write(format_args!("({lacks_number} OR \"{name}\">?)"));
        self.parameters.push(time(Timestamp::MAX_VALID));
    }
}

/// The condition that an attribute of this type does not exist.
fn lacks(name: &str, data_type: &str) -> String {
    format!("\"{name}\" IS MISSING OR NOT attribute_type(\"{name}\",'{data_type}')")
}

/// The statement that applies `change` to `table`.
///
/// # Errors
///
/// The SDK rejects the statement. It does so only if the text is missing, which cannot happen.
pub(super) fn statement(
    table: &str,
    change: &ConditionalWrite,
) -> Result<BatchStatementRequest, BuildError> {
    let mut built = Statement::default();
    match &change.op {
        WriteOp::Deactivate {
            only_if,
            at,
            reason,
            shard,
            due,
        } => {
            built.text = format!("UPDATE \"{table}\"");
            built.set(IS_ACTIVE, AttributeValue::Bool(false));
            built.set(DEACTIVATED_AT, time(*at));
            built.set(DEACTIVATION_REASON, text(reason.as_str()));
            for (name, value) in due_attributes(due, *shard) {
                built.set(name, value);
            }
            built.where_key(change);
            built.require(IS_ACTIVE, "=", AttributeValue::Bool(true));
            built.require_besides_active(only_if);
        }
        WriteOp::Extend {
            live_at,
            expires_at,
            shard,
            due,
        } => {
            built.text = format!("UPDATE \"{table}\"");
            built.set(EXPIRES_AT, time(*expires_at));
            for (name, value) in due_attributes(due, *shard) {
                built.set(name, value);
            }
            built.where_key(change);
            built.require_live(*live_at, *expires_at);
        }
        WriteOp::Touch(touch) => {
            built.text = format!("UPDATE \"{table}\"");
            built.set(LAST_USED_AT, time(touch.at));
            built.set_expiry(touch.expires_at, touch.ttl, touch.due_at);
            built.where_key(change);
            built.require_live(touch.at, touch.expires_at);
            built.require_not_just_touched(touch);
            built.require_due_by(touch.expires_at, touch.due_at);
        }
        WriteOp::ReplaceRefreshToken(replacement) => {
            built.text = format!("UPDATE \"{table}\"");
            built.replace_refresh_token(change, replacement);
        }
        WriteOp::Reindex {
            observed,
            shard,
            due,
        } => {
            built.text = format!("UPDATE \"{table}\"");
            for (name, value) in due_attributes(due, *shard) {
                built.set(name, value);
            }
            built.where_key(change);
            built.require_state(observed);
        }
        WriteOp::MoveMalformed { kind, from } => {
            built.text = format!("UPDATE \"{table}\"");
            built.set(DUE_KEY, text(DueKey::Malformed(from.shard).to_string()));
            built.where_key(change);
            built.require(DUE_KEY, "=", text(from.to_string()));
            if let Some(kind) = kind {
                built.require_malformed(*kind);
            }
        }
        WriteOp::Delete { kind, ended_by } => {
            built.text = format!("DELETE FROM \"{table}\"");
            built.where_key(change);
            match kind {
                Kind::Session => {
                    built.require(IS_ACTIVE, "=", AttributeValue::Bool(false));
                    built.require(DEACTIVATED_AT, "<=", time(*ended_by));
                }
                Kind::RefreshToken | Kind::BlacklistedToken => {
                    built.require(EXPIRES_AT, "<=", time(*ended_by));
                }
            }
            // Deleting a missing item succeeds. The returned item shows that one was deleted.
            built.text.push_str(" RETURNING ALL OLD *");
        }
    }
    BatchStatementRequest::builder()
        .statement(built.text)
        .set_parameters(Some(built.parameters))
        .build()
}
