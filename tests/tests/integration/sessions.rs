//! The records that an application writes, and how the functions process them.

use axum::http::Method;
use serde_json::json;
use session_cleanup_tests::authorizing::sign;
use session_cleanup_tests::{
    DAY, HOUR, NOW, STATS, World, active_session, counts, number, only, session_id, text, user_id,
};
use session_domain::{RefreshTokenHash, Timestamp, TokenId};
use session_lifecycle::ports::NewSession;
use session_lifecycle::{CreateOutcome, UpdateOutcome};

const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[tokio::test]
async fn new_session_has_every_attribute_of_contract() {
    let world = World::new().await;
    let new =
        NewSession::new(user_id("ann"), session_id("s"), at(NOW + HOUR)).ip_address("192.0.2.1");
    assert_eq!(
        world.sessions.create(new.clone(), at(NOW)).await.unwrap(),
        CreateOutcome::Created
    );
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(text(&row, "user_id"), "ann");
    assert_eq!(text(&row, "session_id"), "s");
    assert_eq!(row["is_active"].as_bool(), Ok(&true));
    assert_eq!(number(&row, "created_at"), NOW);
    assert_eq!(number(&row, "expires_at"), NOW + HOUR);
    assert_eq!(text(&row, "ip_address"), "192.0.2.1");
    assert!(!row.contains_key("user_agent"));
    assert!(text(&row, "due_key").starts_with("deactivate#"));
    assert_eq!(text(&row, "due_key").len(), "deactivate#00".len());
    assert_eq!(number(&row, "due_at"), NOW + HOUR);
    assert_eq!(number(&row, "ttl"), NOW + HOUR + 30 * DAY);

    let mut later = new;
    later.expires_at = at(NOW + DAY);
    assert_eq!(
        world.sessions.create(later, at(NOW)).await.unwrap(),
        CreateOutcome::AlreadyExists
    );
    assert_eq!(
        world.session("ann", "s").await.unwrap(),
        row,
        "the session stays unchanged"
    );
}

#[tokio::test]
async fn rejects_expiry_in_milliseconds_and_stores_nothing() {
    let world = World::new().await;
    let (user, session) = (user_id("ann"), session_id("s"));
    let milliseconds = at(NOW * 1_000);
    let new = NewSession::new(user.clone(), session.clone(), milliseconds);
    assert!(world.sessions.create(new, at(NOW)).await.is_err());
    let token = TokenId::parse("j").unwrap();
    assert!(
        world
            .sessions
            .blacklist(&user, &token, milliseconds)
            .await
            .is_err()
    );
    assert_eq!(world.items().await, []);
    world.open("ann", "s", NOW + 1).await;
    assert!(
        world
            .sessions
            .extend(&user, &session, milliseconds, at(NOW))
            .await
            .is_err()
    );
    assert_eq!(
        number(&world.session("ann", "s").await.unwrap(), "expires_at"),
        NOW + 1
    );
}

#[tokio::test]
async fn stores_tokens_by_hash_and_by_id() {
    let world = World::new().await;
    world.refresh_token("ann", "the token", NOW + DAY).await;
    let hash = RefreshTokenHash::of("the token");
    let key = format!("REFRESH#{}", hash.as_str());
    let row = world.item("USER#ann", &key).await.unwrap();
    assert_eq!(text(&row, "session_id"), "any");
    assert!(text(&row, "due_key").starts_with("delete#"));
    for name in ["expires_at", "due_at", "ttl"] {
        assert_eq!(number(&row, name), NOW + DAY, "{name}");
    }
    assert!(!format!("{row:?}").contains("the token"));

    world.blacklist("ann", "j", NOW + DAY).await;
    let row = world.item("USER#ann", "BLACKLIST#j").await.unwrap();
    assert_eq!(text(&row, "jti"), "j");
    for name in ["expires_at", "due_at", "ttl"] {
        assert_eq!(number(&row, name), NOW + DAY, "{name}");
    }
    let token = TokenId::parse("j").unwrap();
    let again = world
        .sessions
        .blacklist(&user_id("ann"), &token, at(NOW))
        .await
        .unwrap();
    assert_eq!(again, CreateOutcome::AlreadyExists);
}

#[tokio::test]
async fn extended_session_is_due_at_its_new_expiry() {
    let world = World::new().await;
    world.put(active_session("ann", "s", NOW + 1)).await;
    let (user, session) = (user_id("ann"), session_id("s"));
    let extended = world
        .sessions
        .extend(&user, &session, at(NOW + DAY), at(NOW))
        .await
        .unwrap();
    assert_eq!(extended, UpdateOutcome::Updated);
    let row = world.session("ann", "s").await.unwrap();
    assert_eq!(number(&row, "expires_at"), NOW + DAY);
    assert_eq!(number(&row, "due_at"), NOW + DAY);
    assert_eq!(number(&row, "ttl"), NOW + 31 * DAY);
    assert_eq!(
        text(&row, "due_key"),
        "deactivate#07",
        "a record keeps its shard"
    );
    assert_eq!(counts(&world.clean_up(json!({}), NOW + 2).await), only([]));
}

#[tokio::test]
async fn ended_session_never_becomes_active_again() {
    let world = World::new().await;
    world.open("ann", "expired", NOW).await;
    world.open("ann", "closed", NOW + HOUR).await;
    let (user, closed) = (user_id("ann"), session_id("closed"));
    let logout = world
        .sessions
        .logout(&user, &closed, at(NOW))
        .await
        .unwrap();
    assert_eq!(logout, UpdateOutcome::Updated);
    for session in ["expired", "closed"] {
        let session = session_id(session);
        let extended = world
            .sessions
            .extend(&user, &session, at(NOW + DAY), at(NOW))
            .await
            .unwrap();
        assert_eq!(extended, UpdateOutcome::Ended, "{session}");
    }
    let again = world.sessions.revoke(&user, &closed, at(NOW + 5)).await;
    assert_eq!(again.unwrap(), UpdateOutcome::Ended);
    let row = world.session("ann", "closed").await.unwrap();
    assert_eq!(text(&row, "deactivation_reason"), "logout");
    assert_eq!(number(&row, "deactivated_at"), NOW);

    let nobody = session_id("none");
    let logout = world
        .sessions
        .logout(&user, &nobody, at(NOW))
        .await
        .unwrap();
    assert_eq!(logout, UpdateOutcome::NotFound);
    assert_eq!(
        world.session("ann", "none").await,
        None,
        "a write creates a record"
    );
}

#[tokio::test]
async fn denies_logged_out_session_and_deletes_it_after_retention() {
    let world = World::new().await;
    let token = world.login("ann", "sessions:read").await;
    let (user, session) = (user_id("ann"), session_id("login"));
    assert_eq!(world.call(Method::GET, STATS, Some(&token)).await.0, 200);
    let logout = world
        .sessions
        .logout(&user, &session, at(NOW))
        .await
        .unwrap();
    assert_eq!(logout, UpdateOutcome::Updated);
    let (status, body) = world.call(Method::GET, STATS, Some(&token)).await;
    assert_eq!(
        (status, body),
        (401, json!({ "error": "Session inactive" }))
    );
    let without_grace = json!({ "sweep_grace_hours": 0 });
    let before = world
        .clean_up(without_grace.clone(), NOW + 30 * DAY - 1)
        .await;
    assert_eq!(counts(&before), only([]));
    let after = world.clean_up(without_grace, NOW + 30 * DAY).await;
    assert_eq!(counts(&after), only([("sessions_deleted", 1)]));
}

#[tokio::test]
async fn accepts_access_token_claims_until_blacklisted() {
    let world = World::new().await;
    let variables = world.tokens.variables();
    let value = |name| &variables.iter().find(|it| it.0 == name).unwrap().1;
    let (user, session) = (user_id("ann"), session_id("s"));
    world.open("ann", "s", NOW + HOUR).await;
    let sessions = world.sessions.clone().access_token_lifetime(60);
    let (issuer, audience) = (value("JWT_ISSUER"), value("JWT_AUDIENCE"));
    let claims = |end| {
        sessions
            .access_token_claims(&user, &session, at(end), issuer, audience, at(NOW))
            .scope("sessions:read")
            .auth_time(at(NOW - HOUR))
            .client_id("web")
    };
    let first = claims(NOW + HOUR);
    let token = sign(&world, serde_json::to_value(&first).unwrap());
    assert_eq!(world.call(Method::GET, STATS, Some(&token)).await.0, 200);
    let denied = world.sessions.blacklist(&user, &first.jti, first.exp);
    assert_eq!(denied.await.unwrap(), CreateOutcome::Created);
    let (status, body) = world.call(Method::GET, STATS, Some(&token)).await;
    assert_eq!((status, body), (401, json!({ "error": "Token revoked" })));

    let other = claims(NOW + 59);
    assert_ne!(first.jti, other.jti);
    assert_eq!((first.exp, other.exp), (at(NOW + 60), at(NOW + 59)));
    let written = serde_json::to_value(&other).unwrap();
    let expected = json!({
        "iss": issuer, "aud": audience, "sub": "ann", "sid": "s", "jti": other.jti.as_str(), "iat": NOW,
        "exp": NOW + 59, "scope": "sessions:read", "auth_time": NOW - HOUR, "client_id": "web",
    });
    assert_eq!(written, expected);
}
