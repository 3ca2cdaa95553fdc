//! Refresh tokens in the record of their session: rotation, repeated use, and theft.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, NO_TIMEOUT};
use session_cleanup_tests::{DAY, HOUR, NOW, World, number, session_id, text, user_id};
use session_domain::{
    ConditionalWrite, Days, RecordKey, RefreshSalt, Replacement, Shards, Timestamp, UsedToken,
    WriteOp,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::{ApplyWrites as _, NewSession, Outcome};
use session_lifecycle::{GracePeriod, RefreshOutcome, RefreshToken, Sessions};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Opens the session `s` of `ann`, and returns its refresh token.
async fn login(sessions: &Sessions, expires_at: i64) -> RefreshToken {
    let new = NewSession::new(user_id("ann"), session_id("s"), at(expires_at));
    let token = sessions
        .login(new, at(NOW))
        .await
        .expect("the table responds");
    token.expect("a new session")
}

/// Uses a token at `now`. The session then expires an hour later.
async fn refresh(sessions: &Sessions, token: &str, now: i64) -> RefreshOutcome {
    let (user, session) = (user_id("ann"), session_id("s"));
    let using = sessions.refresh(&user, &session, token, at(now + HOUR), at(now));
    using.await.expect("the table responds")
}

/// The token that a refresh returns.
fn refreshed(outcome: RefreshOutcome) -> RefreshToken {
    let RefreshOutcome::Refreshed { token, .. } = outcome else {
        panic!("{outcome:?}");
    };
    token
}

/// A world whose library goes through a proxy that counts.
async fn counted() -> (World, FaultProxy, Sessions) {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    let client = faults.client(NO_TIMEOUT);
    let sessions = Sessions::new(
        Table::new(client, world.table_name(), Shards::default()),
        Days(30),
    );
    (world, faults, sessions)
}

#[tokio::test]
async fn refresh_replaces_token_in_one_unit() {
    let (world, faults, sessions) = counted().await;
    let first = login(&sessions, NOW + HOUR).await;
    let second = refreshed(refresh(&sessions, first.as_str(), NOW + 60).await);
    assert_ne!(first, second);
    let session = world.session("ann", "s").await.expect("a session");
    assert_eq!(text(&session, "refresh_hash"), second.hash().as_str());
    assert_eq!(
        text(&session, "refresh_previous_hash"),
        first.hash().as_str()
    );
    let times = [
        "refresh_rotated_at",
        "last_used_at",
        "expires_at",
        "ttl",
        "due_at",
    ];
    let end = NOW + 60 + HOUR;
    assert_eq!(
        times.map(|name| number(&session, name)),
        [NOW + 60, NOW + 60, end, end + 30 * DAY, NOW + HOUR]
    );
    let units = faults.usage()["BatchExecuteStatement"].units;
    assert!((units - 1.0).abs() < 1e-9, "{units}");
    for item in world.items().await {
        let item = format!("{item:?}");
        let leaks = [&first, &second].map(|token| item.contains(token.as_str()));
        assert_eq!(leaks, [false, false], "a token is stored: {item}");
    }
}

#[tokio::test]
async fn earlier_expiry_moves_due_entry() {
    let (world, faults, sessions) = counted().await;
    let token = login(&sessions, NOW + 30 * DAY).await;
    refreshed(refresh(&sessions, token.as_str(), NOW).await);
    let session = world.session("ann", "s").await.expect("a session");
    assert_eq!(number(&session, "due_at"), NOW + HOUR);
    let units = faults.usage()["BatchExecuteStatement"].units;
    assert!((units - 3.0).abs() < 1e-9, "{units}");
}

/// Another writer extends the session between the refresh's read and its write.
#[tokio::test]
async fn refresh_never_leaves_due_entry_later_than_expiry() {
    let world = World::new().await;
    let token = login(&world.sessions, NOW + HOUR).await;
    let (user, session) = (user_id("ann"), session_id("s"));
    let extended = world
        .sessions
        .extend(&user, &session, at(NOW + DAY), at(NOW));
    let _ = extended.await.expect("the table responds");
    let salt = RefreshSalt::random();
    let replacement = Replacement {
        used: UsedToken::Current,
        used_hash: token.hash(),
        new_hash: RefreshToken::replacing(token.as_str(), &salt).hash(),
        salt,
        at: at(NOW),
        expires_at: at(NOW + 2 * HOUR),
        ttl: at(NOW + 30 * DAY),
        due_at: None,
    };
    let write = ConditionalWrite {
        key: RecordKey::session(&user, &session).into_item(),
        op: WriteOp::ReplaceRefreshToken(Box::new(replacement)),
    };
    let table = Table::new(world.client.clone(), world.table_name(), Shards::default());
    let outcomes = table
        .apply(&[write])
        .await
        .expect("the table responds")
        .value;
    assert!(matches!(outcomes[..], [Outcome::ConditionFailed]));
    refreshed(refresh(&world.sessions, token.as_str(), NOW).await);
    let item = world.session("ann", "s").await.expect("a session");
    assert_eq!(number(&item, "due_at"), number(&item, "expires_at"));
}

#[tokio::test]
async fn used_token_returns_same_replacement_within_grace_period() {
    let (world, faults, sessions) = counted().await;
    let first = login(&sessions, NOW + HOUR).await;
    let second = refreshed(refresh(&sessions, first.as_str(), NOW).await);
    for later in [0, 1, 29] {
        let again = refreshed(refresh(&sessions, first.as_str(), NOW + later).await);
        assert_eq!(again, second, "after {later} s");
    }
    assert_eq!(faults.writes(), 2, "the login and one rotation");
    let reused = refresh(&sessions, first.as_str(), NOW + 30).await;
    assert_eq!(reused, RefreshOutcome::Reused);
    let session = world.session("ann", "s").await.expect("a session");
    assert_eq!(text(&session, "deactivation_reason"), "refresh_reused");
    for token in [&first, &second] {
        let late = refresh(&sessions, token.as_str(), NOW + 31).await;
        assert_eq!(late, RefreshOutcome::Ended);
    }
}

#[tokio::test]
async fn grace_period_of_zero_closes_at_once() {
    let world = World::new().await;
    let grace = GracePeriod::from_seconds(0).unwrap();
    let sessions = world.sessions.clone().grace_period(grace);
    let first = login(&sessions, NOW + HOUR).await;
    refreshed(refresh(&sessions, first.as_str(), NOW).await);
    let reused = refresh(&sessions, first.as_str(), NOW).await;
    assert_eq!(reused, RefreshOutcome::Reused);
}

#[tokio::test]
async fn unknown_tokens_change_nothing() {
    let world = World::new().await;
    let oldest = login(&world.sessions, NOW + HOUR).await;
    let older = refreshed(refresh(&world.sessions, oldest.as_str(), NOW).await);
    refreshed(refresh(&world.sessions, older.as_str(), NOW + 1).await);
    let before = world.items().await;
    let random = (0..200).map(|_| RefreshToken::random().as_str().to_owned());
    let others = ["", "x", oldest.as_str(), older.hash().as_str()].map(str::to_owned);
    for token in random.chain(others) {
        let outcome = refresh(&world.sessions, &token, NOW + 2).await;
        assert_eq!(outcome, RefreshOutcome::NotFound, "{token}");
    }
    assert_eq!(world.items().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_at_once_return_one_replacement() {
    let world = Arc::new(World::new().await);
    let mut token = login(&world.sessions, NOW + DAY).await;
    for round in 0..crate::schedules::number("RACES").unwrap_or(50) {
        let now = NOW + i64::try_from(round).unwrap();
        let uses = (0..20).map(|_| {
            let (world, token) = (Arc::clone(&world), token.clone());
            tokio::spawn(async move { refresh(&world.sessions, token.as_str(), now).await })
        });
        let tokens: BTreeSet<String> = join_all(uses)
            .await
            .into_iter()
            .map(|outcome| refreshed(outcome.unwrap()).as_str().to_owned())
            .collect();
        assert_eq!(tokens.len(), 1, "round {round}");
        token = refreshed(refresh(&world.sessions, token.as_str(), now).await);
        assert!(tokens.contains(token.as_str()));
    }
    let session = world.session("ann", "s").await.expect("a session");
    assert_eq!(session["is_active"].as_bool(), Ok(&true));
}

/// The responses to the first write are lost: none, some, or all attempts of the SDK. The client then
/// repeats the refresh.
#[tokio::test]
async fn lost_responses_return_same_replacement() {
    for lost in 0..=NO_TIMEOUT.max_attempts {
        let (world, faults) = World::with_faults(NO_TIMEOUT, [], move |request| {
            let number = u32::try_from(request.number).unwrap();
            match request.operation.as_str() {
                "BatchExecuteStatement" if number <= lost => Fault::DroppedAfter,
                "PutItem" if number == 1 => Fault::DroppedAfter,
                _ => Fault::None,
            }
        })
        .await;
        let client = faults.client(NO_TIMEOUT);
        let table = Table::new(client, world.table_name(), Shards::default());
        let sessions = Sessions::new(table, Days(30));
        let first = login(&sessions, NOW + HOUR).await;
        if lost == NO_TIMEOUT.max_attempts {
            let (user, session) = (user_id("ann"), session_id("s"));
            let (end, now) = (at(NOW + HOUR), at(NOW));
            let using = sessions.refresh(&user, &session, first.as_str(), end, now);
            assert!(using.await.is_err());
        }
        let second = refreshed(refresh(&sessions, first.as_str(), NOW).await);
        refreshed(refresh(&sessions, second.as_str(), NOW + 1).await);
        let session = world.session("ann", "s").await.expect("a session");
        let previous = text(&session, "refresh_previous_hash");
        assert_eq!(previous, second.hash().as_str(), "{lost} lost");
    }
}

/// Random refreshes, with random expiry times, of a session with an absolute end.
#[tokio::test]
async fn no_sequence_of_refreshes_outlives_absolute_end() {
    let world = World::new().await;
    let mut random = StdRng::seed_from_u64(1);
    for number_of in 0..20 {
        let session = session_id(&number_of.to_string());
        let end = NOW + random.random_range(1..DAY);
        let new = NewSession::new(user_id("ann"), session.clone(), at(NOW + DAY));
        let new = new.max_expires_at(at(end));
        let mut tokens = vec![world.sessions.login(new, at(NOW)).await.unwrap().unwrap()];
        let mut now = NOW;
        while now <= end {
            let token = tokens.choose(&mut random).unwrap().clone();
            let wanted = at(now + random.random_range(-HOUR..30 * DAY));
            let user = user_id("ann");
            let using = world
                .sessions
                .refresh(&user, &session, token.as_str(), wanted, at(now));
            if let RefreshOutcome::Refreshed { token, expires_at } = using.await.unwrap() {
                assert!(expires_at <= at(end));
                tokens.push(token);
            }
            let item = world.session("ann", session.as_str()).await.unwrap();
            assert!(number(&item, "expires_at") <= end, "{item:?}");
            now += random.random_range(1..HOUR);
        }
    }
}
