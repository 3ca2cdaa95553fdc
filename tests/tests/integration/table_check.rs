//! The check of the table during init: the error names each defect and the commands that repair it,
//! and nothing is written to the table.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};
use session_cleanup_local::dynamodb;
use session_cleanup_tests::database::DynamoDb;
use session_cleanup_tests::fault_proxy::{Fault, FaultProxy, Request};
use session_cleanup_tests::log::LogGuard;
use session_functions::config::TableConfig;
use session_lifecycle::aws::CallPolicy;

const NAME: &str = "logins";

/// A table that differs from the one of the stack.
struct Foreign {
    keys: &'static [(&'static str, ScalarAttributeType)],
    index: Option<([&'static str; 2], ProjectionType)>,
    ttl: Option<&'static str>,
}

const KEYS: &[(&str, ScalarAttributeType)] = &[
    ("pk", ScalarAttributeType::S),
    ("sk", ScalarAttributeType::S),
];
const DUE: ([&str; 2], ProjectionType) = (["due_key", "due_at"], ProjectionType::KeysOnly);

/// The table of the stack.
const FIT: Foreign = Foreign {
    keys: KEYS,
    index: Some(DUE),
    ttl: Some("ttl"),
};

impl Foreign {
    async fn create(self, client: &Client) {
        let define = |(name, kind): (&str, ScalarAttributeType)| {
            let definition = AttributeDefinition::builder().attribute_name(name);
            definition.attribute_type(kind).build().unwrap()
        };
        let schema = |names: Vec<&str>| {
            let element = |(name, kind): (&str, KeyType)| {
                let element = KeySchemaElement::builder().attribute_name(name);
                element.key_type(kind).build().unwrap()
            };
            let kinds = [KeyType::Hash, KeyType::Range];
            let elements = names.into_iter().zip(kinds).map(element);
            Some(elements.collect::<Vec<_>>())
        };
        let kind = |name| match name {
            "due_at" => ScalarAttributeType::N,
            _ => ScalarAttributeType::S,
        };
        let indexed = self
            .index
            .iter()
            .flat_map(|(keys, _)| keys.map(|it| (it, kind(it))));
        let definitions = self.keys.iter().cloned().chain(indexed).map(define);
        let index = self.index.as_ref().map(|(keys, projection)| {
            let mut projection = Projection::builder().projection_type(projection.clone());
            if projection.get_projection_type() == &Some(ProjectionType::Include) {
                projection = projection.non_key_attributes("user_id");
            }
            GlobalSecondaryIndex::builder()
                .index_name("due")
                .set_key_schema(schema(keys.to_vec()))
                .projection(projection.build())
                .build()
                .unwrap()
        });
        let create = client
            .create_table()
            .table_name(NAME)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(definitions.collect()))
            .set_key_schema(schema(self.keys.iter().map(|(name, _)| *name).collect()))
            .set_global_secondary_indexes(index.map(|it| vec![it]));
        create.send().await.unwrap();
        if let Some(attribute) = self.ttl {
            set_ttl(client, attribute, true).await;
        }
    }
}

async fn set_ttl(client: &Client, attribute: &str, enabled: bool) {
    let ttl = TimeToLiveSpecification::builder().attribute_name(attribute);
    let ttl = ttl.enabled(enabled).build().unwrap();
    let update = client.update_time_to_live().table_name(NAME);
    update.time_to_live_specification(ttl).send().await.unwrap();
}

/// The embedded DynamoDB. It has the template's table, but no other.
async fn embedded() -> DynamoDb {
    DynamoDb::embedded(dynamodb::open(None).unwrap()).await
}

/// Checks the table as a function does. Returns the error.
async fn check(client: &Client, is_strict: bool) -> Option<String> {
    let name = NAME.to_owned();
    let table = TableConfig { name, is_strict };
    table
        .check(client)
        .await
        .err()
        .map(|unfit| unfit.to_string())
}

#[tokio::test]
async fn table_of_template_is_fit() {
    let log = LogGuard::start();
    let dynamodb = embedded().await;
    let table = TableConfig {
        name: dynamodb.table_name().to_owned(),
        is_strict: true,
    };
    assert_eq!(table.check(&dynamodb.client()).await, Ok(()));
    assert!(log.about("table").is_empty());
}

#[tokio::test]
async fn names_each_defect_of_table() {
    let all = ProjectionType::All;
    for (table, problems) in [
        (FIT, &[] as &[&str]),
        (Foreign { index: None, ..FIT }, &["it has no index due"]),
        (
            Foreign {
                index: Some((["due_key", "expires_at"], all.clone())),
                ..FIT
            },
            &["its index due has the keys due_key (S, HASH), expires_at (S, RANGE) instead of"],
        ),
        (
            Foreign {
                index: Some((DUE.0, all)),
                ..FIT
            },
            &["its index due has the projection ALL instead of KEYS_ONLY"],
        ),
        (
            Foreign {
                index: Some((DUE.0, ProjectionType::Include)),
                ..FIT
            },
            &["its index due has the projection INCLUDE instead of KEYS_ONLY"],
        ),
        (
            Foreign {
                ttl: Some("expires"),
                ..FIT
            },
            &["its TTL is on the attribute expires instead of ttl"],
        ),
        (Foreign { ttl: None, ..FIT }, &["its TTL is off"]),
        (
            Foreign {
                index: None,
                ttl: None,
                ..FIT
            },
            &["it has no index due", "its TTL is off"],
        ),
        (
            Foreign {
                keys: &[("sid", ScalarAttributeType::S)],
                index: None,
                ttl: Some("expires"),
            },
            &[
                "its keys are sid (S, HASH) instead of pk (S, HASH), sk (S, RANGE) and cannot",
                "it has no index due",
                "its TTL is on the attribute expires instead of ttl",
            ],
        ),
        (
            Foreign {
                keys: &[
                    ("pk", ScalarAttributeType::S),
                    ("sk", ScalarAttributeType::N),
                ],
                ..FIT
            },
            &["its keys are pk (S, HASH), sk (N, RANGE) instead of"],
        ),
    ] {
        let dynamodb = embedded().await;
        let client = dynamodb.client();
        table.create(&client).await;
        let error = check(&client, true).await;
        let Some(error) = error else {
            assert!(problems.is_empty(), "{problems:?} not found");
            continue;
        };
        let named = error.strip_prefix("the table logins is not fit: ").unwrap();
        let named: Vec<_> = named.split("; it").collect();
        assert_eq!(named.len(), problems.len(), "{error}");
        for (named, problem) in named.iter().zip(problems) {
            let problem = problem.trim_start_matches("it");
            assert!(
                named.trim_start_matches("it").starts_with(problem),
                "{error}"
            );
        }
        assert_eq!(error.lines().count(), 1);
    }
}

#[tokio::test]
async fn missing_table_stops_function() {
    let dynamodb = embedded().await;
    let error = check(&dynamodb.client(), false).await.unwrap();
    assert!(
        error.starts_with("the table logins is not fit: it does not exist"),
        "{error}"
    );
}

/// An index that is being changed must not prevent logins.
#[tokio::test]
async fn missing_index_stops_authorizer_only_if_strict() {
    let log = LogGuard::start();
    let dynamodb = embedded().await;
    let client = dynamodb.client();
    let unindexed = Foreign { index: None, ..FIT };
    unindexed.create(&client).await;
    assert!(check(&client, false).await.is_some());
    for (is_strict, starts) in [(false, true), (true, false)] {
        let name = "logins".to_owned();
        let table = TableConfig { name, is_strict };
        let checked = table.check_without_index(&client).await;
        assert_eq!(checked.is_ok(), starts, "{checked:?}");
    }
    let lines = log.about("it has no index due: `aws dynamodb update-table");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn ttl_that_is_off_stops_only_if_required() {
    let log = LogGuard::start();
    let dynamodb = embedded().await;
    let client = dynamodb.client();
    FIT.create(&client).await;
    set_ttl(&client, "ttl", false).await;
    assert_eq!(check(&client, false).await, None);
    let lines = log.about("its TTL is off");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert!(
        check(&client, true)
            .await
            .unwrap()
            .contains("its TTL is off")
    );
    // TTL on another attribute deletes records that the functions need.
    set_ttl(&client, "expires_at", true).await;
    let error = check(&client, false).await.unwrap();
    assert!(
        error.contains("its TTL is on the attribute expires_at"),
        "{error}"
    );
}

/// Checks a table whose descriptions fail. Returns the error and the log lines.
async fn check_with(
    table: Foreign,
    fault: impl Fn(&Request) -> Fault + Send + Sync + 'static,
) -> (Option<String>, Vec<serde_json::Value>) {
    let log = LogGuard::start();
    let dynamodb = embedded().await;
    table.create(&dynamodb.client()).await;
    let faults = FaultProxy::before(dynamodb.address(), fault).await;
    let error = check(&faults.client(CallPolicy::INTERACTIVE), true).await;
    (error, log.about("could not check"))
}

#[tokio::test]
async fn failed_description_is_logged_and_does_not_stop_function() {
    for (fault, cause) in [
        ((|| Fault::DENIED) as fn() -> Fault, "AccessDeniedException"),
        (|| Fault::THROTTLED, "is throttled"),
        (|| Fault::BROKEN, "cannot be reached"),
        (|| Fault::DroppedBefore, "cannot be reached"),
    ] {
        let (error, lines) = check_with(FIT, move |_| fault()).await;
        assert_eq!(error, None);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0]["level"], "WARN");
        let error = lines[0]["error"].as_str().unwrap();
        for part in [cause, "describing the table", "describing the table's TTL"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}

#[tokio::test]
async fn defect_of_one_description_stops_although_other_fails() {
    let only = |operation: &'static str| {
        move |request: &Request| {
            if request.operation == operation {
                Fault::DENIED
            } else {
                Fault::None
            }
        }
    };
    let without_ttl = || Foreign { ttl: None, ..FIT };
    let (error, _) = check_with(without_ttl(), only("DescribeTable")).await;
    assert!(error.unwrap().contains("its TTL is off"));
    let without_index = || Foreign { index: None, ..FIT };
    let (error, _) = check_with(without_index(), only("DescribeTimeToLive")).await;
    assert!(error.unwrap().contains("it has no index due"));
    let (error, lines) = check_with(without_ttl(), only("DescribeTimeToLive")).await;
    assert_eq!((error, lines.len()), (None, 1));
}

#[tokio::test]
async fn check_reads_no_record_and_writes_nothing() {
    let dynamodb = embedded().await;
    Foreign { index: None, ..FIT }
        .create(&dynamodb.client())
        .await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = dynamodb.client().put_item().table_name(NAME);
    let put = put
        .item("pk", text("USER#ann"))
        .item("sk", text("SESSION#s"));
    put.send().await.unwrap();
    let faults = FaultProxy::before(dynamodb.address(), |_| Fault::None).await;
    assert!(
        check(&faults.client(CallPolicy::BATCH), true)
            .await
            .is_some()
    );
    let requests = ["DescribeTable", "DescribeTimeToLive"].map(|name| (name.to_owned(), 1));
    assert_eq!(faults.requests(), requests.into());
}
