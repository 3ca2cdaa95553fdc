//! Decides what happens to a record, and when.

use super::{Action, Days, DueEntry, Hours, RecordState, SessionState, Timestamp};

/// The next action for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision has no effect until it is carried out"]
pub enum NextAction {
    /// Keep the record until this time.
    KeepUntil(Timestamp),
    /// Deactivate the session now.
    Deactivate,
    /// Delete the record now.
    Delete,
}

/// Settings that determine when records are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// How long an inactive session is kept.
    pub retention: Days,
    /// How long a run leaves a due deletion to native TTL, which is free.
    pub sweep_grace: Hours,
}

impl RetentionPolicy {
    /// A policy without sweep grace, for callers that need the time when a record is due, not the
    /// time when a run deletes it.
    #[must_use]
    pub const fn without_grace(retention: Days) -> Self {
        Self {
            retention,
            sweep_grace: Hours(0),
        }
    }

    /// The due entry of a record with this state.
    #[must_use]
    pub const fn due_entry(&self, state: &RecordState) -> DueEntry {
        let retention = self.retention.seconds();
        match *state {
            RecordState::Session(SessionState::Active { expires_at }) => DueEntry {
                action: Action::Deactivate,
                at: expires_at,
                ttl: expires_at.plus(retention),
            },
            RecordState::Session(SessionState::Inactive { deactivated_at }) => {
                let end = deactivated_at.plus(retention);
                DueEntry {
                    action: Action::Delete,
                    at: end,
                    ttl: end,
                }
            }
            RecordState::Token { expires_at } => DueEntry {
                action: Action::Delete,
                at: expires_at,
                ttl: expires_at,
            },
        }
    }

    /// Decides what happens at `now` to a record with this state. All other code calls this
    /// function.
    pub fn next_action(&self, state: &RecordState, now: Timestamp) -> NextAction {
        let due = self.due_entry(state);
        let at = match due.action {
            Action::Deactivate => due.at,
            Action::Delete => due.at.plus(self.sweep_grace.seconds()),
        };
        match due.action {
            _ if at > now => NextAction::KeepUntil(at),
            Action::Deactivate => NextAction::Deactivate,
            Action::Delete => NextAction::Delete,
        }
    }

    /// The latest `due_at` of the records for which this is the next action at `now`. A query of
    /// the due index with this limit selects the same records as [`next_action`].
    ///
    /// [`next_action`]: Self::next_action
    #[must_use]
    pub const fn cutoff(&self, action: Action, now: Timestamp) -> Timestamp {
        match action {
            Action::Deactivate => now,
            Action::Delete => now.minus(self.sweep_grace.seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;
    const POLICY: RetentionPolicy = RetentionPolicy {
        retention: Days(30),
        sweep_grace: Hours(48),
    };

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn active(expires_at: i64) -> RecordState {
        RecordState::Session(SessionState::Active {
            expires_at: at(expires_at),
        })
    }

    fn inactive(deactivated_at: i64) -> RecordState {
        RecordState::Session(SessionState::Inactive {
            deactivated_at: at(deactivated_at),
        })
    }

    fn token(expires_at: i64) -> RecordState {
        RecordState::Token {
            expires_at: at(expires_at),
        }
    }

    #[test]
    fn next_action_changes_at_exact_second() {
        let table = [
            (active(T), T - 1, NextAction::KeepUntil(at(T))),
            (active(T), T, NextAction::Deactivate),
            (active(T), T + 400 * DAY, NextAction::Deactivate),
            (
                inactive(T),
                T + 30 * DAY - 1,
                NextAction::KeepUntil(at(T + 32 * DAY)),
            ),
            (
                inactive(T),
                T + 32 * DAY - 1,
                NextAction::KeepUntil(at(T + 32 * DAY)),
            ),
            (inactive(T), T + 32 * DAY, NextAction::Delete),
            (token(T), T, NextAction::KeepUntil(at(T + 2 * DAY))),
            (
                token(T),
                T + 2 * DAY - 1,
                NextAction::KeepUntil(at(T + 2 * DAY)),
            ),
            (token(T), T + 2 * DAY, NextAction::Delete),
        ];
        for (state, now, step) in table {
            assert_eq!(
                POLICY.next_action(&state, at(now)),
                step,
                "{state:?} at {now}"
            );
        }
    }

    #[test]
    fn deletes_when_due_without_grace() {
        let policy = RetentionPolicy::without_grace(Days(30));
        assert_eq!(policy.next_action(&token(T), at(T)), NextAction::Delete);
        assert_eq!(
            policy.next_action(&inactive(T), at(T + 30 * DAY)),
            NextAction::Delete
        );
        assert_eq!(
            policy.next_action(&token(T), at(T - 1)),
            NextAction::KeepUntil(at(T))
        );
    }

    #[test]
    fn due_entry_and_ttl_match_record() {
        let table = [
            (active(T), Action::Deactivate, T, T + 30 * DAY),
            (inactive(T), Action::Delete, T + 30 * DAY, T + 30 * DAY),
            (token(T), Action::Delete, T, T),
        ];
        for (state, action, due_at, ttl) in table {
            let due = DueEntry {
                action,
                at: at(due_at),
                ttl: at(ttl),
            };
            assert_eq!(POLICY.due_entry(&state), due, "{state:?}");
        }
    }

    fn any_record() -> impl Strategy<Value = RecordState> {
        let time = T - 100 * DAY..T + 100 * DAY;
        prop_oneof![
            time.clone().prop_map(active),
            time.clone().prop_map(inactive),
            time.prop_map(token),
        ]
    }

    fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
        (1..400_u32, 0..=720_u32).prop_map(|(days, hours)| RetentionPolicy {
            retention: Days(days),
            sweep_grace: Hours(hours),
        })
    }

    proptest! {
        #[test]
        fn acts_at_due_time_and_never_before(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            match policy.next_action(&state, at(now)) {
                NextAction::KeepUntil(time) => {
                    prop_assert!(time > at(now));
                    prop_assert!(!matches!(policy.next_action(&state, time), NextAction::KeepUntil(_)));
                    prop_assert!(matches!(
                        policy.next_action(&state, time.minus(1)), NextAction::KeepUntil(_)));
                }
                NextAction::Deactivate => prop_assert!(policy.due_entry(&state).at <= at(now)),
                NextAction::Delete => prop_assert!(
                    policy.due_entry(&state).at.plus(policy.sweep_grace.seconds()) <= at(now)),
            }
        }

        #[test]
        fn deactivates_only_active_sessions(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            if policy.next_action(&state, at(now)) == NextAction::Deactivate {
                let is_active = matches!(state, RecordState::Session(SessionState::Active { .. }));
                prop_assert!(is_active);
            }
        }

        #[test]
        fn keeps_deactivated_session_for_whole_retention(
            policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY, later in 0..500 * DAY,
        ) {
            let step = policy.next_action(&inactive(now), at(now + later));
            prop_assert_ne!(step, NextAction::Deactivate);
            let swept = later >= policy.retention.seconds() + policy.sweep_grace.seconds();
            prop_assert_eq!(step == NextAction::Delete, swept);
        }

        #[test]
        fn cutoff_selects_exactly_the_due_records(
            state in any_record(), policy in any_policy(), now in T - 500 * DAY..T + 500 * DAY,
        ) {
            let due = policy.due_entry(&state);
            let listed = due.at <= policy.cutoff(due.action, at(now));
            let kept = matches!(policy.next_action(&state, at(now)), NextAction::KeepUntil(_));
            prop_assert_eq!(listed, !kept);
        }
    }
}
