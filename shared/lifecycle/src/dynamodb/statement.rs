//! Conditional writes as PartiQL statements.
//!
//! A batch of 25 conditional writes is one request this way; `BatchWriteItem` knows no conditions,
//! and a transaction costs twice as much. An UPDATE never creates an item. The conditions compare
//! what [`read_record`](super::item::read_record) reads, nothing else.

use std::fmt::{self, Write as _};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest};

use super::item::{
    DEACTIVATED_AT, DEACTIVATION_REASON, DUE_KEY, EXPIRES_AT, IS_ACTIVE, PK, SK, due_attributes,
    text, time,
};
use session_domain::{
    ConditionalWrite, DueKey, Kind, RecordState, SessionState, Timestamp, WriteOp,
};

/// A statement under construction: `set` and `require` keep text and parameters in step.
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

    fn of(&mut self, change: &ConditionalWrite) {
        self.write(format_args!(" WHERE \"{PK}\"=? AND \"{SK}\"=?"));
        self.parameters
            .extend([text(&change.key.partition), text(&change.key.sort)]);
    }

    fn require(&mut self, name: &str, comparison: &str, value: AttributeValue) {
        self.write(format_args!(" AND \"{name}\"{comparison}?"));
        self.parameters.push(value);
    }

    /// Requires that a stored number, rounded up to whole seconds, is `value`.
    fn require_time(&mut self, name: &str, value: Timestamp) {
        // The first of all times stands for all earlier ones, too.
        if value.minus(1) < value {
            self.require(name, ">", time(value.minus(1)));
        }
        self.require(name, "<=", time(value));
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

    /// Requires that a record of this kind cannot be understood: the opposite of what
    /// [`read_record`](super::item::read_record) takes. What is missing is asked for by
    /// `IS MISSING`: whether a negated comparison holds for it is not documented.
    fn require_malformed(&mut self, kind: Kind) {
        match kind {
            Kind::Session => {
                let lacks_state = lacks(IS_ACTIVE, "BOOL");
                self.write(format_args!(
                    " AND ({lacks_state} OR (\"{IS_ACTIVE}\"=? AND "
                ));
                self.parameters.push(AttributeValue::Bool(true));
                self.no_time(EXPIRES_AT);
                self.write(format_args!(") OR (\"{IS_ACTIVE}\"=? AND "));
                self.parameters.push(AttributeValue::Bool(false));
                self.no_time(DEACTIVATED_AT);
                self.write(format_args!("))"));
            }
            Kind::RefreshToken | Kind::BlacklistedToken => {
                self.write(format_args!(" AND "));
                self.no_time(EXPIRES_AT);
            }
        }
    }

    /// A condition: that an attribute is no time.
    fn no_time(&mut self, name: &str) {
        let lacks_number = lacks(name, "N");
        self.write(format_args!("({lacks_number} OR \"{name}\">?)"));
        self.parameters.push(time(Timestamp::MAX_VALID));
    }
}

/// A condition: that there is no such attribute of this type.
fn lacks(name: &str, data_type: &str) -> String {
    format!("\"{name}\" IS MISSING OR NOT attribute_type(\"{name}\",'{data_type}')")
}

/// The statement that makes `change` in `table`.
///
/// # Errors
///
/// None in practice: building fails only without a statement.
pub(super) fn statement(
    table: &str,
    change: &ConditionalWrite,
) -> Result<BatchStatementRequest, BuildError> {
    let mut made = Statement::default();
    match &change.op {
        WriteOp::Deactivate {
            expired_by,
            at,
            reason,
            shard,
            due,
        } => {
            made.text = format!("UPDATE \"{table}\"");
            made.set(IS_ACTIVE, AttributeValue::Bool(false));
            made.set(DEACTIVATED_AT, time(*at));
            made.set(DEACTIVATION_REASON, text(reason.as_str()));
            for (name, value) in due_attributes(due, *shard) {
                made.set(name, value);
            }
            made.of(change);
            made.require(IS_ACTIVE, "=", AttributeValue::Bool(true));
            if let Some(expired_by) = expired_by {
                made.require(EXPIRES_AT, "<=", time(*expired_by));
            }
        }
        WriteOp::Extend {
            live_at,
            expires_at,
            shard,
            due,
        } => {
            made.text = format!("UPDATE \"{table}\"");
            made.set(EXPIRES_AT, time(*expires_at));
            for (name, value) in due_attributes(due, *shard) {
                made.set(name, value);
            }
            made.of(change);
            made.require(IS_ACTIVE, "=", AttributeValue::Bool(true));
            made.require(EXPIRES_AT, ">", time(*live_at));
        }
        WriteOp::Reindex {
            observed,
            shard,
            due,
        } => {
            made.text = format!("UPDATE \"{table}\"");
            for (name, value) in due_attributes(due, *shard) {
                made.set(name, value);
            }
            made.of(change);
            made.require_state(observed);
        }
        WriteOp::MoveMalformed { kind, from } => {
            made.text = format!("UPDATE \"{table}\"");
            made.set(DUE_KEY, text(DueKey::Malformed(from.shard).to_string()));
            made.of(change);
            made.require(DUE_KEY, "=", text(from.to_string()));
            if let Some(kind) = kind {
                made.require_malformed(*kind);
            }
        }
        WriteOp::Delete { kind, ended_by } => {
            made.text = format!("DELETE FROM \"{table}\"");
            made.of(change);
            match kind {
                Kind::Session => {
                    made.require(IS_ACTIVE, "=", AttributeValue::Bool(false));
                    made.require(DEACTIVATED_AT, "<=", time(*ended_by));
                }
                Kind::RefreshToken | Kind::BlacklistedToken => {
                    made.require(EXPIRES_AT, "<=", time(*ended_by));
                }
            }
            // Deleting what is gone succeeds; only the returned item tells who deleted it.
            made.text.push_str(" RETURNING ALL OLD *");
        }
    }
    BatchStatementRequest::builder()
        .statement(made.text)
        .set_parameters(Some(made.parameters))
        .build()
}
