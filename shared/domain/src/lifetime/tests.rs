//! Tests of the lifetime of sessions.

use proptest::prelude::*;

use super::*;
use crate::Shards;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

const LIFETIME: SessionLifetime = SessionLifetime {
    retention: Days(30),
    opens_on_first_use: true,
    max: Some(Hours(12)),
    idle: Some(Minutes(30)),
};

fn session() -> ActiveSession {
    let shard = Shards::default().all().next().unwrap();
    ActiveSession {
        created_at: Some(NOW.minus(3_600)),
        ..ActiveSession::new(NOW.plus(60), shard)
    }
}

#[test]
fn opens_session_until_its_maximum_age() {
    let max = 12 * 3_600;
    let opened = |expires_at, auth_time: Timestamp| {
        Ok(Opening {
            expires_at,
            max_expires_at: auth_time.plus(max),
            auth_time,
        })
    };
    let (old, last) = (NOW.minus(max), NOW.minus(max - 1));
    let ahead = NOW.plus(CLOCK_SKEW_SECONDS);
    for (auth_time, expected) in [
        (Some(NOW), opened(NOW.plus(1_800), NOW)),
        (Some(last), opened(NOW.plus(1), last)),
        (Some(old), Err(NotOpened::AuthenticatedTooLongAgo)),
        (Some(ahead), opened(NOW.plus(1_800), ahead)),
        (Some(ahead.plus(1)), Err(NotOpened::AuthTimeInFuture)),
        (None, Err(NotOpened::NoAuthTime)),
    ] {
        assert_eq!(LIFETIME.open(auth_time, NOW), expected, "{auth_time:?}");
    }
    let without_idle = SessionLifetime {
        idle: None,
        ..LIFETIME
    };
    assert_eq!(
        without_idle.open(Some(NOW), NOW),
        opened(NOW.plus(max), NOW)
    );
    let disabled = SessionLifetime {
        opens_on_first_use: false,
        ..LIFETIME
    };
    assert_eq!(disabled.open(Some(NOW), NOW), Err(NotOpened::Disabled));
}

#[test]
fn touches_session_once_per_window_up_to_its_end() {
    let touched = |expires_at: Timestamp| {
        Some(Touch {
            at: NOW,
            used_since: NOW.minus(180),
            used_until: NOW.plus(300),
            expires_at,
            ttl: expires_at.plus(30 * 86_400),
            due_at: None,
        })
    };
    let idle_end = NOW.plus(1_800);
    let with = |change: fn(&mut ActiveSession)| {
        let mut session = session();
        change(&mut session);
        LIFETIME.touch(&session, NOW)
    };
    for (why, touch, expected) in [
        ("never touched", with(|_| ()), touched(idle_end)),
        (
            "used in this window",
            with(|it| it.last_used_at = Some(NOW.minus(179))),
            None,
        ),
        (
            "used before",
            with(|it| it.last_used_at = Some(NOW.minus(180))),
            touched(idle_end),
        ),
        (
            "used by a host whose clock is ahead",
            with(|it| it.last_used_at = Some(NOW.plus(299))),
            None,
        ),
        (
            "without a known start and end",
            with(|it| it.created_at = None),
            None,
        ),
        (
            "last use in milliseconds",
            with(|it| it.last_used_at = Some(Timestamp::from_seconds(1_800_000_000_000))),
            touched(idle_end),
        ),
        (
            "just created by another writer",
            with(|it| it.created_at = Some(NOW.minus(1))),
            touched(idle_end),
        ),
        (
            "just opened",
            with(|it| {
                it.created_at = Some(NOW.minus(1));
                it.expires_at = NOW.plus(1_799);
            }),
            None,
        ),
        (
            "near its end",
            with(|it| it.max_expires_at = Some(NOW.plus(1))),
            touched(NOW.plus(1)),
        ),
        ("at its end", with(|it| it.max_expires_at = Some(NOW)), None),
        (
            "without an end of its own",
            with(|it| it.created_at = Some(NOW.minus(12 * 3_600 - 5))),
            touched(NOW.plus(5)),
        ),
        (
            "with an end later than the configured one",
            with(|it| {
                it.created_at = Some(NOW.minus(12 * 3_600));
                it.max_expires_at = Some(NOW.plus(9_999));
            }),
            touched(idle_end),
        ),
        (
            "due earlier",
            with(|it| it.due_at = Some(NOW)),
            touched(idle_end),
        ),
        (
            "due later",
            with(|it| it.due_at = Some(NOW.plus(1_801))),
            touched(idle_end).map(|touch| Touch {
                due_at: Some(idle_end),
                ..touch
            }),
        ),
    ] {
        assert_eq!(touch, expected, "{why}");
    }
    let off = SessionLifetime::of_application(Days(30));
    assert_eq!(off.touch(&session(), NOW), None);
}

/// Durations up to 60 days, half of them up to 10 minutes.
fn any_seconds() -> impl Strategy<Value = i64> {
    prop_oneof![0..600_i64, 0..60 * 86_400_i64]
}

/// The difference of three clocks from the real time.
fn any_clocks() -> impl Strategy<Value = [i64; 3]> {
    const HALF: i64 = CLOCK_SKEW_SECONDS / 2;
    proptest::array::uniform3(prop_oneof![Just(-HALF), Just(HALF), -HALF..=HALF])
}

proptest! {
    /// An inactive session is never opened again: as long as a token could open it, its record
    /// exists, whatever the clocks of the three hosts that open, deactivate and delete it.
    #[test]
    fn no_token_opens_inactive_session_after_its_deletion(
        days in 1..60_u32, hours in prop_oneof![1..=1_440_u32, Just(u32::MAX)],
        auth_age in any_seconds(), closed_after in any_seconds(),
        deleted_after in any_seconds(), waited in any_seconds(), clocks in any_clocks(),
    ) {
        let lifetime = SessionLifetime {
            retention: Days(days),
            opens_on_first_use: true,
            max: Some(Hours(hours.min(24 * days))),
            idle: None,
        };
        let [opener, closer, deleter] = clocks;
        // Real time of the opening. A token names its authentication, which has taken place.
        let opened = NOW;
        let auth_time = opened.minus(auth_age - CLOCK_SKEW_SECONDS);
        prop_assume!(lifetime.open(Some(auth_time), opened.plus(opener)).is_ok());
        let closed = opened.plus(closed_after);
        let deactivated_at = closed.plus(closer);
        // The record is deleted once the deleter's clock has reached its `ttl`.
        let deleted = deactivated_at
            .plus(lifetime.retention.seconds())
            .minus(deleter)
            .plus(deleted_after);
        let tried = deleted.plus(waited);
        let again = lifetime.open(Some(auth_time), tried.plus(opener));
        prop_assert_eq!(again, Err(NotOpened::AuthenticatedTooLongAgo));
    }

    #[test]
    fn ttl_of_touched_session_is_in_the_future(
        idle in 1..=43_200_u32, days in 1..3_650_u32, max in proptest::option::of(1..87_600_u32),
        times in proptest::array::uniform4(proptest::option::of(prop_oneof![
            -9_000_000..9_000_000_i64, -100..100_i64])),
    ) {
        let lifetime = SessionLifetime {
            retention: Days(days),
            opens_on_first_use: false,
            max: max.map(Hours),
            idle: Some(Minutes(idle)),
        };
        let [created_at, last_used_at, max_expires_at, due_at] =
            times.map(|seconds| seconds.map(|seconds| NOW.plus(seconds)));
        let session = ActiveSession {
            created_at, last_used_at, max_expires_at, due_at, ..session()
        };
        if let Some(touch) = lifetime.touch(&session, NOW) {
            prop_assert!(touch.expires_at > NOW);
            prop_assert!(max_expires_at.is_none_or(|end| touch.expires_at <= end));
            prop_assert_eq!(touch.ttl.since(touch.expires_at), lifetime.retention.seconds());
            let due_at = touch.due_at.or(due_at);
            prop_assert!(due_at.is_none_or(|due_at| due_at <= touch.expires_at));
        }
    }
}
