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
    /// Checks the table of this configuration, for a function that uses the index. The client's timeouts
    /// limit the time.
    ///
    /// # Errors
    ///
    /// See [`check_table`].
    pub async fn check(&self, client: &Client) -> Result<(), UnfitTable> {
        self.check_for(client, [Severity::Unfit, Severity::Index])
            .await
    }

    /// Checks the table of this configuration, for a function that does not use the index: an index that
    /// is being changed must not prevent logins.
    ///
    /// # Errors
    ///
    /// See [`check_table`].
    pub async fn check_without_index(&self, client: &Client) -> Result<(), UnfitTable> {
        self.check_for(client, [Severity::Unfit]).await
    }

    async fn check_for<const N: usize>(
        &self,
        client: &Client,
        stopping: [Severity; N],
    ) -> Result<(), UnfitTable> {
        // The number of shards does not matter for the check.
        let table = Table::new(client.clone(), &self.name, Shards::default());
        check_table(&table, &stopping, self.is_strict).await
    }
}

/// Checks keys, index and TTL of the table.
///
/// Errors of the check are only logged: the function must also start while DynamoDB does not describe
/// the table. Defects of other severities than `stopping` are only logged, too, unless the check is
/// strict: the function works with such a table. The stack's own table was fit when it was created.
///
/// # Errors
///
/// All defects of the table, with the commands that repair them.
pub async fn check_table<T: CheckTable>(
    table: &T,
    stopping: &[Severity],
    is_strict: bool,
) -> Result<(), UnfitTable> {
    let check = table.check().await;
    let stops = |severity| is_strict || stopping.contains(&severity);
    let is_fit = !check.defects.iter().any(|defect| stops(defect.severity));
    let (table, defects) = (check.table, check.defects.into_iter());
    let defects: Vec<_> = defects.map(|defect| defect.text).collect();
    if !is_fit {
        return Err(UnfitTable { table, defects });
    }
    for defect in defects {
        tracing::error!("the table {table} works for this function, but {defect}");
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
    async fn stops_if_function_cannot_work_or_check_is_strict() {
        use Severity::{Index, TtlOff, Unfit};
        let both = "the table logins is not fit: it is Unfit; it is TtlOff";
        for (severities, is_strict, error) in [
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
            (&[Index], false, None),
            (
                &[Index],
                true,
                Some("the table logins is not fit: it is Index"),
            ),
        ] {
            for is_unknown in [false, true] {
                let table = Checked {
                    severities,
                    is_unknown,
                };
                let checked = check_table(&table, &[Unfit], is_strict).await;
                let found = checked.err().map(|unfit| unfit.to_string());
                assert_eq!(found.as_deref(), error, "{severities:?} {is_strict}");
            }
        }
    }
}
