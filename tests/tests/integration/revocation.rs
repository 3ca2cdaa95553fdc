//! The sessions of a user: the list, and signing out everywhere.

use std::sync::Arc;

use session_cleanup_tests::authorizing::{authorize, rest_request};
use session_cleanup_tests::fault_proxy::{Fault, NO_TIMEOUT, NO_TIMEOUT_NO_RETRY};
use session_cleanup_tests::{
    DAY, HOUR, NOW, World, active_session, inactive_session, number, session_id, text, user_id,
};
use session_domain::{Days, SessionId, Shards, Timestamp};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::ports::NewSession;
use session_lifecycle::{RefreshToken, Sessions};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

async fn revoke_all(sessions: &Sessions) -> usize {
    let user = user_id("ann");
    let revoking = sessions.revoke_all(&user, at(NOW));
    revoking.await.expect("the table responds")
}

/// Number of active sessions of `ann`.
async fn active(world: &World) -> usize {
    let sessions = world.sessions.list(&user_id("ann")).await.unwrap();
    sessions.iter().filter(|it| it.is_active).count()
}

#[tokio::test]
async fn lists_sessions_of_user_newest_first() {
    let world = World::new().await;
    for (session, expires_at) in [("a", 3), ("b", 1), ("c", 2)] {
        world
            .put(active_session("ann", session, NOW + expires_at * HOUR))
            .await;
    }
    world.put(inactive_session("ann", "old", NOW - DAY)).await;
    world.put(active_session("anna", "other", NOW + HOUR)).await;
    world.blacklist("ann", "j", NOW + HOUR).await;
    world.refresh_token("ann", "token", NOW + HOUR).await;
    let listed = world.sessions.list(&user_id("ann")).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["a", "c", "b", "old"]);
    let (newest, oldest) = (&listed[0], &listed[3]);
    assert!(newest.is_live_at(at(NOW)) && !oldest.is_live_at(at(NOW)));
    assert_eq!(newest.created_at, Some(at(NOW + 2 * HOUR)));
    assert_eq!(oldest.deactivated_at, Some(at(NOW - DAY)));
    assert_eq!(oldest.deactivation_reason.as_deref(), Some("logout"));
}

#[tokio::test]
async fn list_of_100_sessions_costs_one_request() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |_| Fault::None).await;
    for number_of in 0..100 {
        let new = NewSession::new(
            user_id("ann"),
            session_id(&number_of.to_string()),
            at(NOW + HOUR),
        );
        let new = new.ip_address("192.0.2.7").user_agent("Mozilla/5.0");
        let _ = world.sessions.create(new, at(NOW)).await.unwrap();
    }
    let client = faults.client(NO_TIMEOUT);
    let table = Table::new(client, world.table_name(), Shards::default());
    let sessions = Sessions::new(table, Days(30));
    assert_eq!(sessions.list(&user_id("ann")).await.unwrap().len(), 100);
    assert_eq!(faults.requests(), [("Query".to_owned(), 1)].into());
}

#[tokio::test]
async fn revokes_all_sessions_or_all_but_one() {
    let world = World::new().await;
    for number_of in 0..60 {
        world.open("ann", &number_of.to_string(), NOW + HOUR).await;
    }
    // Its expiry time cannot be read, and its user must be signed out all the same.
    let mut malformed = active_session("ann", "malformed", NOW + HOUR);
    malformed["expires_at"] = serde_json::json!({ "S": "soon" });
    world.put(malformed).await;
    world.put(inactive_session("ann", "old", NOW - DAY)).await;
    world.open("bob", "1", NOW + HOUR).await;
    let current = session_id("7");
    let user = user_id("ann");
    let others = world.sessions.revoke_others(&user, &current, at(NOW));
    assert_eq!(others.await.unwrap(), 60);
    assert_eq!(active(&world).await, 1);
    assert_eq!(revoke_all(&world.sessions).await, 1);
    assert_eq!(active(&world).await, 0);
    assert_eq!(revoke_all(&world.sessions).await, 0);
    let item = world.session("ann", "7").await.unwrap();
    assert_eq!(text(&item, "deactivation_reason"), "revoked");
    assert_eq!(number(&item, "due_at"), NOW + 30 * DAY);
    let old = world.session("ann", "old").await.unwrap();
    assert_eq!(number(&old, "deactivated_at"), NOW - DAY);
    let bobs = world.session("bob", "1").await.unwrap();
    assert_eq!(bobs["is_active"].as_bool(), Ok(&true));
}

#[tokio::test]
async fn revocation_repeats_failed_writes() {
    let (world, faults) = World::with_faults(NO_TIMEOUT, [], |request| {
        match (request.operation.as_str(), request.number) {
            ("BatchExecuteStatement", 1) => Fault::THROTTLED,
            ("BatchExecuteStatement", 2) => Fault::DroppedAfter,
            ("BatchExecuteStatement", 4) => Fault::BROKEN,
            _ => Fault::None,
        }
    })
    .await;
    for number_of in 0..60 {
        world.open("ann", &number_of.to_string(), NOW + HOUR).await;
    }
    // The SDK's own retries would hide that the library has none.
    let client = faults.client(NO_TIMEOUT_NO_RETRY);
    let table = Table::new(client, world.table_name(), Shards::default());
    revoke_all(&Sessions::new(table, Days(30))).await;
    assert_eq!(active(&world).await, 0);
}

/// Refreshes, extensions, requests, logins and cleanups while the sessions are revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_session_survives_revocation_in_race() {
    for round in 0..crate::schedules::number("RACES").unwrap_or(20) {
        let world = Arc::new(World::with([("SESSION_IDLE_MINUTES", "30")]).await);
        let mut tokens = Vec::new();
        for number_of in 0..30 {
            let id = session_id(&number_of.to_string());
            let end = if number_of % 5 == 0 { NOW } else { NOW + HOUR };
            let new = NewSession::new(user_id("ann"), id.clone(), at(end));
            let token = world.sessions.login(new, at(NOW - HOUR)).await;
            tokens.push((id, token.unwrap().unwrap()));
        }
        let ids: Vec<_> = tokens.iter().map(|(id, _)| id.clone()).collect();
        let racing = [
            tokio::spawn(refresh_each(Arc::clone(&world), tokens)),
            tokio::spawn(request_each(Arc::clone(&world), ids)),
            tokio::spawn(log_in(Arc::clone(&world))),
            tokio::spawn({
                let world = Arc::clone(&world);
                async move {
                    world.clean_up(serde_json::json!({}), NOW).await;
                }
            }),
        ];
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let spared = (round % 3 == 0).then(|| session_id("7"));
        match &spared {
            Some(spared) => {
                let user = user_id("ann");
                let revoking = world.sessions.revoke_others(&user, spared, at(NOW));
                revoking.await.unwrap();
            }
            None => {
                revoke_all(&world.sessions).await;
            }
        }
        let survivors = survivors(&world, spared.as_ref()).await;
        assert_eq!(survivors, [""; 0], "round {round}");
        world.open("ann", "after", NOW + HOUR).await;
        for task in racing {
            task.await.unwrap();
        }
        let survivors = self::survivors(&world, spared.as_ref()).await;
        assert_eq!(survivors, [""; 0], "round {round}");
        for (id, is_active) in [("after", true), ("7", spared.is_some())] {
            let session = world.session("ann", id).await.unwrap();
            assert_eq!(
                session["is_active"].as_bool(),
                Ok(&is_active),
                "round {round}"
            );
        }
    }
}

/// Active sessions that existed before the revocation. Their IDs are numbers.
async fn survivors(world: &World, spared: Option<&SessionId>) -> Vec<String> {
    let sessions = world.sessions.list(&user_id("ann")).await.unwrap();
    let active = sessions.into_iter().filter(|it| it.is_active);
    let earlier = active.filter(|it| it.id.as_str().parse::<u8>().is_ok());
    let survivors = earlier.filter(|it| Some(&it.id) != spared);
    survivors.map(|it| it.id.to_string()).collect()
}

async fn refresh_each(world: Arc<World>, tokens: Vec<(SessionId, RefreshToken)>) {
    let user = user_id("ann");
    for (id, token) in &tokens {
        let (end, now) = (at(NOW + DAY), at(NOW));
        let using = world.sessions.refresh(&user, id, token.as_str(), end, now);
        let _ = using.await.unwrap();
        let extending = world.sessions.extend(&user, id, at(NOW + 2 * DAY), now);
        let _ = extending.await.unwrap();
    }
}

async fn request_each(world: Arc<World>, ids: Vec<SessionId>) {
    for id in &ids {
        let token = world.token("ann", id.as_str(), "");
        authorize(&world, &rest_request(&token)).await;
    }
}

async fn log_in(world: Arc<World>) {
    for number_of in 0..10 {
        world
            .open("ann", &format!("later{number_of}"), NOW + HOUR)
            .await;
    }
}
