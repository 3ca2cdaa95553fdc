//! The cost of a cleanup run, from its requests to the table.

use std::collections::BTreeMap;

use crate::fault_proxy::Usage;

/// Write units of a deactivation: one for the table, and two for the changed key of the index
/// entry.
pub const WRITE_UNITS: f64 = 3.0;

/// Maximum read units per thousand deactivations if [`ENOUGH`] sessions are due.
pub const READ_UNITS: f64 = 20.0;

/// Maximum requests per thousand deactivations if [`ENOUGH`] sessions are due.
pub const REQUESTS: f64 = 60.0;

/// Number of due sessions that makes the fixed cost of a run small: it reads each of 32 lists, even
/// if empty.
pub const ENOUGH: usize = 5_000;

/// The cost of a run that only deactivated sessions.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Requests and capacity units by operation.
    pub usage: BTreeMap<String, Usage>,
    /// Number of deactivated sessions.
    pub deactivated: u64,
}

impl Cost {
    /// Number of all requests.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.usage.values().map(|it| it.requests).sum()
    }

    /// All capacity units, including those of the report.
    #[must_use]
    pub fn units(&self) -> f64 {
        self.usage.values().map(|it| it.units).sum()
    }

    /// Capacity units of one operation.
    #[must_use]
    pub fn units_of(&self, operation: &str) -> f64 {
        self.usage.get(operation).map_or(0.0, |it| it.units)
    }

    /// Write units per deactivation, without those of the report.
    #[must_use]
    pub fn write_units_each(&self) -> f64 {
        self.units_of("BatchExecuteStatement") / self.deactivated as f64
    }

    /// Read units per thousand deactivations.
    #[must_use]
    pub fn read_units_per_thousand(&self) -> f64 {
        let reads = ["Query", "Scan", "GetItem", "BatchGetItem"];
        let units: f64 = reads.iter().map(|it| self.units_of(it)).sum();
        units * 1e3 / self.deactivated as f64
    }

    /// Requests per thousand deactivations.
    #[must_use]
    pub fn requests_per_thousand(&self) -> f64 {
        self.requests() as f64 * 1e3 / self.deactivated as f64
    }
}
