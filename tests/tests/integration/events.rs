//! The sample events of each function, for tests, the SAM CLI and the console.

use session_cleanup_local::template::FunctionName;
use session_cleanup_tests::{NOW, World, at, events};

#[tokio::test]
async fn each_function_accepts_its_events() {
    let world = World::new().await;
    for function in FunctionName::ALL {
        let names = events::names(function);
        assert!(!names.is_empty(), "{function:?}");
        for name in names {
            let event = events::event(function, &name);
            let answer = world.functions.invoke(function, &event, at(NOW)).await;
            let answer = answer.unwrap_or_else(|it| panic!("{name} of {function:?}: {it}"));
            let over_http = matches!(function, FunctionName::Stats | FunctionName::ForceCleanup);
            if over_http && name != "scheduled" {
                assert_eq!(
                    answer["statusCode"], 200,
                    "{name} of {function:?}: {answer}"
                );
            }
        }
    }
}
