//! The sample events of each function, for tests, the SAM CLI and the console.

use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::{HOUR, NOW, World, at, events};

#[tokio::test]
async fn each_function_accepts_its_events() {
    let world = World::new().await;
    // The sessions that the events of `sessions` name.
    for session in ["5e551a", "0ld1", "0ld2"] {
        world.open("ann", session, NOW + HOUR).await;
    }
    for function in FunctionName::ALL {
        let names = events::names(function);
        assert!(!names.is_empty(), "{function:?}");
        for name in names {
            let event = events::event(function, &name);
            let answer = world.functions.invoke(function, &event, at(NOW)).await;
            let answer = answer.unwrap_or_else(|it| panic!("{name} of {function:?}: {it}"));
            let is_behind_api =
                !matches!(function, FunctionName::Authorizer | FunctionName::Cleanup);
            if is_behind_api && name != "scheduled" {
                assert_eq!(
                    answer["statusCode"], 200,
                    "{name} of {function:?}: {answer}"
                );
            }
        }
    }
}
