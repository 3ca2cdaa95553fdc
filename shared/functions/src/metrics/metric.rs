//! The list of all metrics.

use session_domain::with_counts;

/// Defines [`Metric`] from the table below and from the counts of a report. A line of the table is
/// `Name: Unit by Dimension;`, in CloudWatch's words.
macro_rules! define_metrics {
    (
        [$($(#[$doc:meta])* $name:ident: $unit:ident $(by $dimension:ident)?;)+]
        $($(#[$count_doc:meta])* $member:ident => $count:ident $(by $count_dimension:ident)?,)+
    ) => {
        /// A metric. A run writes one for each count of its report.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $($(#[$doc])* $name,)+
            $($(#[$count_doc])* $count,)+
        }

        impl Metric {
            /// All metrics.
            pub const ALL: [Self; [$(stringify!($name),)+ $(stringify!($count)),+].len()] =
                [$(Self::$name,)+ $(Self::$count),+];

            /// The metrics of the counts of a report, in the order of `Counts::NAMES`.
            pub const COUNTS: [Self; [$(stringify!($count)),+].len()] =
                [$(Self::$count),+];

            /// The name in CloudWatch.
            #[must_use]
            pub const fn name(self) -> &'static str {
                self.definition().0
            }

            /// The unit, in CloudWatch's words.
            #[must_use]
            pub const fn unit(self) -> &'static str {
                self.definition().1
            }

            /// The name of its dimension. A metric has one at most.
            #[must_use]
            pub const fn dimension(self) -> Option<&'static str> {
                self.definition().2.first().copied()
            }

            const fn definition(self) -> (&'static str, &'static str, &'static [&'static str]) {
                match self {
                    $(Self::$name => (
                        stringify!($name),
                        stringify!($unit),
                        &[$(stringify!($dimension))?],
                    ),)+
                    $(Self::$count => (
                        stringify!($count),
                        "Count",
                        &[$(stringify!($count_dimension),)? "Trigger"],
                    ),)+
                }
            }
        }
    };
}

with_counts!(define_metrics [
    /// Requests that the authorizer decided.
    Validations: Count by Outcome;
    /// Expired sessions that the authorizer deactivated when they were used.
    DeactivationsOnValidation: Count;
    /// The same, but the response was lost: the write may have happened.
    DeactivationsOnValidationUnknown: Count;
    /// First events of new instances.
    ColdStarts: Count by Function;
    /// Duration of a run.
    Duration: Milliseconds by Trigger;
    /// 1 if a run did everything that was due, 0 if work is left.
    Complete: None by Trigger;
    /// Capacity units that a run consumed.
    CapacityUnits: Count by Trigger;
    /// How long the oldest expired session had been expired when a run started.
    OldestExpiredAge: Seconds by Trigger;
    /// Sessions in the table.
    TotalSessions: Count;
    /// Sessions with `is_active` true, including expired ones.
    ActiveSessions: Count;
    /// Active sessions that have expired.
    ExpiredSessions: Count;
    /// Malformed records that runs have moved off the due lists.
    MalformedRecords: Count;
    /// How long a scheduled run has been overdue.
    CleanupOverdue: Seconds;
    /// Number of consecutive scheduled runs, from the newest back, that ended with work left.
    IncompleteRuns: Count;
    /// Number of consecutive scheduled runs, from the newest back, with failed records.
    RunsWithFailures: Count;
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_metric_once() {
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index, "{metric:?}");
            assert_eq!(metric.name(), format!("{metric:?}"));
        }
        let last = *Metric::COUNTS.last().unwrap();
        assert_eq!(Metric::ALL.len(), last as usize + 1);
    }
}
