//! The events beside each function, for tests, the SAM CLI and the console.

use serde_json::Value;
use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::{NOW, World, at, events};

#[tokio::test]
async fn each_function_understands_its_events() {
    let world = World::new().await;
    for function in FunctionName::ALL {
        let names = events::names(function);
        assert!(!names.is_empty(), "{function:?}");
        for name in names {
            let event = events::event(function, &name);
            let answer = world.functions.invoke(function, &event, at(NOW)).await;
            let status = answer.map(|answer| answer["statusCode"].clone());
            let expected = match function {
                FunctionName::Stats | FunctionName::ForceCleanup => Value::from(200),
                FunctionName::Authorizer | FunctionName::Cleanup => Value::Null,
            };
            assert_eq!(status.ok(), Some(expected), "{name} of {function:?}");
        }
    }
}
