//! Check of the table during a function's init: a table that is not fit stops the function before it
//! writes anything.

use session_domain::Shards;
use session_lifecycle::aws::Client;
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{CheckTable, Severity, StoreError};

use crate::config::TableConfig;

/// A table that the function cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table {table} is not fit: {}", defects.join("; "))]
pub struct UnfitTable {
    table: String,
    defects: Vec<String>,
}

impl TableConfig {
    /// Checks the table of this configuration. The client's timeouts limit the time.
    ///
    /// # Errors
    ///
    /// See [`check_table`].
    pub async fn check(&self, client: &Client) -> Result<(), UnfitTable> {
        // The number of shards does not matter for the check.
        let table = Table::new(client.clone(), &self.name, Shards::default());
        check_table(&table, self.requires_ttl).await
    }
}

/// Checks keys, index and TTL of the table.
///
/// Errors of the check are only logged: the function must also start while DynamoDB does not describe
/// the table. A TTL that is off is only logged, too, unless the function requires it: the cleanup
/// deletes records without it.
///
/// # Errors
///
/// All defects of the table, with the commands that repair them.
pub async fn check_table<T: CheckTable>(table: &T, requires_ttl: bool) -> Result<(), UnfitTable> {
    let check = table.check().await;
    let stops = |severity| requires_ttl || severity == Severity::Unfit;
    let is_fit = !check.defects.iter().any(|defect| stops(defect.severity));
    let (table, defects) = (check.table, check.defects.into_iter());
    let defects: Vec<_> = defects.map(|defect| defect.text).collect();
    if !is_fit {
        return Err(UnfitTable { table, defects });
    }
    for defect in defects {
        tracing::error!("the table {table} works, but {defect}");
    }
    if !check.errors.is_empty() {
        let errors: Vec<_> = check.errors.iter().map(StoreError::error_chain).collect();
        let error = errors.join("; ");
        tracing::warn!(error, "could not check whether the table is fit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_lifecycle::ports::{StoreErrorKind, TableCheck, TableDefect};

    /// A table with defects of these severities. A part of the check may fail.
    struct Checked {
        severities: &'static [Severity],
        is_unknown: bool,
    }

    impl CheckTable for Checked {
        async fn check(&self) -> TableCheck {
            let kind = StoreErrorKind::Unavailable;
            let error = StoreError::new(kind, "describing the table", "no answer");
            let defect = |severity: &Severity| TableDefect {
                severity: *severity,
                text: format!("it is {severity:?}"),
            };
            TableCheck {
                table: "logins".to_owned(),
                defects: self.severities.iter().map(defect).collect(),
                errors: self.is_unknown.then_some(error).into_iter().collect(),
            }
        }
    }

    #[tokio::test]
    async fn stops_if_table_is_unfit_or_lacks_required_ttl() {
        use Severity::{TtlOff, Unfit};
        let both = "the table logins is not fit: it is Unfit; it is TtlOff";
        for (severities, requires_ttl, error) in [
            (&[] as &[_], true, None),
            (&[TtlOff], false, None),
            (
                &[TtlOff],
                true,
                Some("the table logins is not fit: it is TtlOff"),
            ),
            (
                &[Unfit],
                false,
                Some("the table logins is not fit: it is Unfit"),
            ),
            (&[Unfit, TtlOff], false, Some(both)),
        ] {
            for is_unknown in [false, true] {
                let table = Checked {
                    severities,
                    is_unknown,
                };
                let checked = check_table(&table, requires_ttl).await;
                let found = checked.err().map(|unfit| unfit.to_string());
                assert_eq!(found.as_deref(), error, "{severities:?} {requires_ttl}");
            }
        }
    }
}
