//! Interface for the check of the table.

use std::future::Future;

use super::StoreError;

/// Severity of a [`TableDefect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No function can work with the table.
    Unfit,
    /// The functions that use the index cannot work. The authorizer does not use it.
    Index,
    /// The functions work, but native TTL deletes nothing.
    TtlOff,
}

/// A difference between the table and the one that the functions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefect {
    /// Severity.
    pub severity: Severity,
    /// What is wrong, and the command of the AWS CLI that repairs it, in backticks.
    pub text: String,
}

/// Result of a check of the table.
#[derive(Debug)]
pub struct TableCheck {
    /// Name of the table.
    pub table: String,
    /// What is wrong with the table.
    pub defects: Vec<TableDefect>,
    /// Why a part of the table could not be checked.
    pub errors: Vec<StoreError>,
}

/// Compares keys, index and TTL of the table with those that the functions need.
pub trait CheckTable {
    /// Checks the table. Reads no record.
    fn check(&self) -> impl Future<Output = TableCheck> + Send;
}
