//! A panic with the release profile.

use serde_json::json;
use session_cleanup_tests::World;
use session_cleanup_tests::emulator::{Emulator, binary};

/// With `panic = "abort"`, the next request would wait for a new process.
#[tokio::test]
#[ignore = "needs the release binaries and the emulator: see CONTRIBUTING.md"]
async fn panic_fails_only_its_invocation_and_process_continues() {
    let world = World::new().await;
    let baseline = Emulator::start_binary(&world, &binary("baseline"), []).await;
    let nothing = json!({ "items": 0 });
    assert_eq!(baseline.invoke(&json!({})).await, Ok(nothing.clone()));
    let process = baseline.function().unwrap();
    for _ in 0..2 {
        let error = baseline
            .invoke(&json!({ "panic": true }))
            .await
            .unwrap_err();
        assert!(error.contains("the event asks for a panic"), "{error}");
        assert_eq!(baseline.invoke(&json!({})).await, Ok(nothing.clone()));
    }
    assert_eq!(baseline.function(), Some(process));
}
