//! The function of the session service.

use serde_json::{Value, json};
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::emulator::Emulator;
use session_cleanup_tests::events::event;
use session_cleanup_tests::{HOUR, World, text};

use crate::now;

/// Invokes the function with a sample event. Returns status and body of its HTTP response.
async fn call(function: &Emulator, name: &str) -> (u64, Value) {
    let answer = function
        .invoke(&event(FunctionName::Sessions, name))
        .await
        .unwrap();
    let body = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (answer["statusCode"].as_u64().unwrap(), body)
}

/// A world with the sessions that the sample events name.
async fn world() -> World {
    let world = World::new().await;
    for session in ["5e551a", "0ld1", "0ld2", "0ld3"] {
        world.open("ann", session, now() + HOUR).await;
    }
    world.open("auth0|5f7c8ec7", "s1", now() + HOUR).await;
    world
}

/// The deactivation reasons of the sessions of `ann`, by session.
async fn reasons(world: &World) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for session in ["5e551a", "0ld1", "0ld2", "0ld3"] {
        let item = world.session("ann", session).await.unwrap();
        if item["is_active"].as_bool() == Ok(&false) {
            found.push((
                session.to_owned(),
                text(&item, "deactivation_reason").to_owned(),
            ));
        }
    }
    found
}

#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn lists_and_closes_sessions_of_api_gateway_events() {
    let world = world().await;
    let sessions = Emulator::start(&world, FunctionName::Sessions, []).await;
    let (status, body) = call(&sessions, "own-sessions").await;
    let listed = body["data"]["sessions"].as_array().unwrap();
    assert_eq!((status, listed.len()), (200, 4), "{body}");
    // The ID in the path is percent-encoded.
    let (_, body) = call(&sessions, "user-sessions").await;
    assert_eq!(body["data"]["sessions"][0]["session_id"], "s1", "{body}");

    let (_, body) = call(&sessions, "close-own-session").await;
    assert_eq!(body["data"]["session_id"], "0ld1");
    let (_, body) = call(&sessions, "close-user-session").await;
    assert_eq!(body["data"]["session_id"], "0ld2");
    let revoked = |text: &str| (text.to_owned(), "revoked".to_owned());
    assert_eq!(reasons(&world).await, ["0ld1", "0ld2"].map(revoked));
    let (_, body) = call(&sessions, "revoke-own-sessions").await;
    assert_eq!(body["data"], json!({ "revoked": 1 }));
    let (_, body) = call(&sessions, "revoke-user-sessions").await;
    assert_eq!(body["data"], json!({ "revoked": 1 }));
    assert_eq!(reasons(&world).await.len(), 4);

    let metrics = sessions.metrics();
    let counted = metrics.iter().filter(|it| it.name == "SessionsRevoked");
    let counted = counted.map(|it| {
        let (_, by) = it.dimension.clone().unwrap();
        (by, it.value)
    });
    let by = |by: &str| (by.to_owned(), 1.0);
    let expected = [by("user"), by("admin"), by("user"), by("admin")];
    assert_eq!(counted.collect::<Vec<_>>(), expected);
}
