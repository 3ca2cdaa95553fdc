//! The counts of a cleanup report. Their list is in `shared/domain/src/report.rs`; each document
//! that lists them has to contain all of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use session_cleanup_tests::{NOW, World};
use session_domain::Counts;
use session_functions::metrics::Metric;

#[test]
fn metric_names_are_pascal_case_of_counts() {
    let pascal_case = Counts::NAMES.map(|name| {
        let words = name.split('_').map(|word| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        });
        words.collect::<String>()
    });
    assert_eq!(Metric::COUNTS.map(Metric::name), pascal_case);
}

/// The members that a schema requires, and all that it describes.
fn members(schema: &Value) -> [Vec<&str>; 2] {
    let required = schema["required"].as_array().unwrap();
    let properties = schema["properties"].as_object().unwrap();
    [
        required.iter().map(|name| name.as_str().unwrap()).collect(),
        properties.keys().map(String::as_str).collect(),
    ]
}

#[test]
fn schemas_require_all_counts() {
    for (document, text, schema) in [
        (
            "functions/stats/openapi.json",
            include_str!("../../../functions/stats/openapi.json"),
            "/components/schemas/Report",
        ),
        (
            "docs/reference/records.schema.json",
            include_str!("../../../docs/reference/records.schema.json"),
            "/$defs/cleanup_report",
        ),
    ] {
        let description: Value = serde_json::from_str(text).unwrap();
        let schema = description.pointer(schema).unwrap();
        for listed in members(schema) {
            for name in Counts::NAMES {
                assert!(listed.contains(&name), "{document} lacks {name}");
            }
        }
    }
}

#[test]
fn documents_name_all_counts() {
    for (document, text) in [
        (
            "docs/reference/api.md",
            include_str!("../../../docs/reference/api.md"),
        ),
        (
            "docs/topics/console.md",
            include_str!("../../../docs/topics/console.md"),
        ),
        (
            "functions/stats/page/script/texts.js",
            include_str!("../../../functions/stats/page/script/texts.js"),
        ),
        // The query of the last runs is one line.
        (
            "infra/dashboard.yaml",
            include_str!("../../../infra/dashboard.yaml")
                .lines()
                .find(|line| line.contains("filter message = 'cleanup ended'"))
                .unwrap(),
        ),
    ] {
        let is_word = |part: char| part.is_ascii_alphanumeric() || part == '_';
        let words: BTreeSet<_> = text.split(|part| !is_word(part)).collect();
        for name in Counts::NAMES {
            assert!(words.contains(name), "{document} lacks {name}");
        }
    }
}

#[tokio::test]
async fn report_and_log_contain_all_counts() {
    let world = World::new().await;
    let report = world.clean_up(json!({}), NOW).await;
    let ended = world.log.about("cleanup ended");
    for name in Counts::NAMES {
        assert_eq!(report[name], 0, "{report}");
        assert_eq!(ended[0][name], 0, "{ended:?}");
    }
}
