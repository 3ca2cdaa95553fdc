//! What a cleanup costs, by what has passed between it and the table.

use std::collections::BTreeMap;

use crate::fault_proxy::Usage;

/// The write units of a deactivation: the table's one, and two for an index entry with a new key.
pub const WRITE_UNITS: f64 = 3.0;

/// The most read units for a thousand deactivations, where [`ENOUGH`] are due.
pub const READ_UNITS: f64 = 20.0;

/// The most requests for a thousand deactivations likewise.
pub const REQUESTS: f64 = 60.0;

/// So many due sessions make the run's fixed share small: each of 32 lists is read, if empty.
pub const ENOUGH: usize = 5_000;

/// The cost of a run that has deactivated sessions and done nothing else.
#[derive(Debug, Clone)]
pub struct Cost {
    /// Of each operation.
    pub usage: BTreeMap<String, Usage>,
    /// How many sessions.
    pub deactivated: u64,
}

impl Cost {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.usage.values().map(|it| it.requests).sum()
    }

    /// All capacity units, those of the report included.
    #[must_use]
    pub fn units(&self) -> f64 {
        self.usage.values().map(|it| it.units).sum()
    }

    /// The units of one operation.
    #[must_use]
    pub fn units_of(&self, operation: &str) -> f64 {
        self.usage.get(operation).map_or(0.0, |it| it.units)
    }

    /// Write units for one deactivation, without those of the report.
    #[must_use]
    pub fn write_units_each(&self) -> f64 {
        self.units_of("BatchExecuteStatement") / self.deactivated as f64
    }

    /// Read units for a thousand deactivations.
    #[must_use]
    pub fn read_units_per_thousand(&self) -> f64 {
        let reads = ["Query", "Scan", "GetItem", "BatchGetItem"];
        let units: f64 = reads.iter().map(|it| self.units_of(it)).sum();
        units * 1e3 / self.deactivated as f64
    }

    /// Requests for a thousand deactivations.
    #[must_use]
    pub fn requests_per_thousand(&self) -> f64 {
        self.requests() as f64 * 1e3 / self.deactivated as f64
    }
}
