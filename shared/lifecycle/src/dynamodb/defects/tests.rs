use aws_sdk_dynamodb::types::{Projection, ProvisionedThroughputDescription, ScalarAttributeType};

use super::*;

const CREATE: &str = "`aws dynamodb update-table --table-name logins --attribute-definitions \
    AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
    AttributeName=due_key,AttributeType=S AttributeName=due_at,AttributeType=N \
    --global-secondary-index-updates 'Create={IndexName=due,KeySchema=[\
    {AttributeName=due_key,KeyType=HASH},{AttributeName=due_at,KeyType=RANGE}],\
    Projection={ProjectionType=KEYS_ONLY}}'`";
const DELETE: &str = "`aws dynamodb update-table --table-name logins \
    --global-secondary-index-updates 'Delete={IndexName=due}'`";
const SHOW: &str = "`aws dynamodb describe-table --table-name logins \
    --query 'Table.GlobalSecondaryIndexes[].[IndexName,IndexStatus]'`";
const ENABLE: &str = "`aws dynamodb update-time-to-live --table-name logins \
    --time-to-live-specification Enabled=true,AttributeName=ttl`";

/// The index that the functions need, or another one.
#[derive(Clone)]
struct Index {
    keys: [&'static str; 2],
    projection: ProjectionType,
    status: IndexStatus,
}

fn due() -> Index {
    Index {
        keys: [DUE_KEY, DUE_AT],
        projection: ProjectionType::KeysOnly,
        status: IndexStatus::Active,
    }
}

fn schema(keys: &[&str]) -> Vec<KeySchemaElement> {
    let kinds = [KeyType::Hash, KeyType::Range];
    let element = |(name, kind): (&&str, KeyType)| {
        let element = KeySchemaElement::builder().attribute_name(*name);
        element.key_type(kind).build().unwrap()
    };
    keys.iter().zip(kinds).map(element).collect()
}

/// A table with these keys and this index. Every attribute is text, but `due_at`.
fn table(keys: &[&str], index: Option<Index>) -> TableDescription {
    let indexed = index.as_ref().map_or([DUE_KEY, DUE_AT], |it| it.keys);
    let define = |name: &str| {
        let kind = match name {
            DUE_AT => ScalarAttributeType::N,
            _ => ScalarAttributeType::S,
        };
        let definition = AttributeDefinition::builder().attribute_name(name);
        definition.attribute_type(kind).build().unwrap()
    };
    let index = index.map(|index| {
        GlobalSecondaryIndexDescription::builder()
            .index_name(DUE_INDEX)
            .set_key_schema(Some(schema(&index.keys)))
            .projection(
                Projection::builder()
                    .projection_type(index.projection)
                    .build(),
            )
            .index_status(index.status)
            .build()
    });
    TableDescription::builder()
        .set_key_schema(Some(schema(keys)))
        .set_attribute_definitions(Some(
            [keys, &indexed].concat().into_iter().map(define).collect(),
        ))
        .set_global_secondary_indexes(index.map(|index| vec![index]))
        .table_status(TableStatus::Active)
        .build()
}

fn ttl(status: TimeToLiveStatus, attribute: &str) -> TimeToLiveDescription {
    TimeToLiveDescription::builder()
        .time_to_live_status(status)
        .attribute_name(attribute)
        .build()
}

fn on() -> TimeToLiveDescription {
    ttl(TimeToLiveStatus::Enabled, TTL)
}

/// The texts about a table with the right keys, and a TTL.
fn texts_with(index: Option<Index>, ttl: &TimeToLiveDescription) -> Vec<String> {
    let table = table(&[PK, SK], index);
    let defects = defects("logins", Some(&table), Some(ttl)).into_iter();
    defects.map(|defect| defect.text).collect()
}

#[test]
fn needed_table_has_no_defects() {
    assert!(texts_with(Some(due()), &on()).is_empty());
    let enabling = ttl(TimeToLiveStatus::Enabling, TTL);
    assert!(texts_with(Some(due()), &enabling).is_empty());
    let status = IndexStatus::Updating;
    assert!(texts_with(Some(Index { status, ..due() }), &on()).is_empty());
}

#[test]
fn unknown_parts_have_no_defects() {
    assert!(defects("logins", None, None).is_empty());
    assert!(defects("logins", None, Some(&on())).is_empty());
    assert!(defects("logins", Some(&table(&[PK, SK], Some(due()))), None).is_empty());
}

#[test]
fn names_each_defect_of_index_with_commands() {
    let needed = "due_key (S, HASH), due_at (N, RANGE)";
    let again = |problem: &str| {
        format!("its index due has {problem}: {DELETE}, then, when it is deleted: {CREATE}")
    };
    for (index, text) in [
        (None, format!("it has no index due: {CREATE}")),
        (
            Some(Index {
                keys: [DUE_KEY, "expires"],
                ..due()
            }),
            again(&format!(
                "the keys due_key (S, HASH), expires (S, RANGE) instead of {needed}"
            )),
        ),
        (
            Some(Index {
                projection: ProjectionType::All,
                ..due()
            }),
            again("the projection ALL instead of KEYS_ONLY"),
        ),
        (
            Some(Index {
                projection: ProjectionType::Include,
                ..due()
            }),
            again("the projection INCLUDE instead of KEYS_ONLY"),
        ),
        (
            Some(Index {
                status: IndexStatus::Creating,
                ..due()
            }),
            format!("its index due is still being created, wait until it is ACTIVE: {SHOW}"),
        ),
        (
            Some(Index {
                status: IndexStatus::Deleting,
                ..due()
            }),
            format!("its index due is being deleted: {SHOW}, then, when it is deleted: {CREATE}"),
        ),
    ] {
        assert_eq!(texts_with(index, &on()), [text]);
    }
}

#[test]
fn detects_type_of_index_key() {
    let mut table = table(&[PK, SK], Some(due()));
    for definition in table.attribute_definitions.iter_mut().flatten() {
        definition.attribute_type = ScalarAttributeType::S;
    }
    let found = defects("logins", Some(&table), None);
    assert!(
        found[0].text.contains("due_at (S, RANGE) instead of"),
        "{found:?}"
    );
}

#[test]
fn names_each_defect_of_ttl_with_commands() {
    let disable = ENABLE.replace(
        "Enabled=true,AttributeName=ttl",
        "Enabled=false,AttributeName=exp",
    );
    let other = format!(
        "its TTL is on the attribute exp instead of ttl: {disable}, then, an hour later: {ENABLE}"
    );
    let off = format!("its TTL is off: {ENABLE}");
    for (ttl, severity, text) in [
        (
            ttl(TimeToLiveStatus::Enabled, "exp"),
            Severity::Unfit,
            &other,
        ),
        (
            ttl(TimeToLiveStatus::Enabling, "exp"),
            Severity::Unfit,
            &other,
        ),
        (ttl(TimeToLiveStatus::Disabled, TTL), Severity::TtlOff, &off),
        (
            ttl(TimeToLiveStatus::Disabling, "exp"),
            Severity::TtlOff,
            &off,
        ),
        (
            TimeToLiveDescription::builder().build(),
            Severity::TtlOff,
            &off,
        ),
    ] {
        let defect = TableDefect {
            severity,
            text: text.clone(),
        };
        assert_eq!(defects("logins", None, Some(&ttl)), [defect]);
    }
}

#[test]
fn names_all_defects_at_once() {
    let texts = texts_with(None, &ttl(TimeToLiveStatus::Disabled, ""));
    assert_eq!(
        texts,
        [
            format!("it has no index due: {CREATE}"),
            format!("its TTL is off: {ENABLE}")
        ]
    );
}

#[test]
fn wrong_keys_need_another_table_with_index_and_ttl() {
    for (keys, found) in [
        (&["id"] as &[&str], "id (S, HASH)"),
        (&["pk"], "pk (S, HASH)"),
        (&["sk", "pk"], "sk (S, HASH), pk (S, RANGE)"),
        (&["pk", "due_at"], "pk (S, HASH), due_at (N, RANGE)"),
    ] {
        let table = table(keys, None);
        let defects = defects(
            "logins",
            Some(&table),
            Some(&ttl(TimeToLiveStatus::Enabled, "exp")),
        );
        let [keys, index, ttl] = defects.try_into().unwrap();
        let problem = format!(
            "its keys are {found} instead of pk (S, HASH), sk (S, RANGE) and cannot be changed"
        );
        assert!(keys.text.starts_with(&problem), "{}", keys.text);
        assert!(keys.text.ends_with(
            "`aws dynamodb create-table --table-name logins-new --billing-mode PAY_PER_REQUEST \
             --attribute-definitions AttributeName=pk,AttributeType=S \
             AttributeName=sk,AttributeType=S AttributeName=due_key,AttributeType=S \
             AttributeName=due_at,AttributeType=N --key-schema AttributeName=pk,KeyType=HASH \
             AttributeName=sk,KeyType=RANGE --global-secondary-indexes 'IndexName=due,KeySchema=[\
             {AttributeName=due_key,KeyType=HASH},{AttributeName=due_at,KeyType=RANGE}],\
             Projection={ProjectionType=KEYS_ONLY}'`"
        ));
        assert_eq!(index.text, "it has no index due");
        let enable = ENABLE.replace("logins", "logins-new");
        let other = format!("its TTL is on the attribute exp instead of ttl: {enable}");
        assert_eq!(ttl.text, other);
    }
}

#[test]
fn replacement_name_fits_the_limit() {
    assert_eq!(replacement("logins"), "logins-new");
    assert_eq!(
        replacement(&"t".repeat(255)),
        format!("{}-new", "t".repeat(251))
    );
}

#[test]
fn names_table_that_is_not_ready() {
    for (status, problem) in [
        (
            TableStatus::Creating,
            "it is still being created or restored, wait until it is ACTIVE",
        ),
        (TableStatus::Deleting, "it is being deleted"),
    ] {
        let mut table = table(&[PK, SK], None);
        table.table_status = Some(status);
        let show = "`aws dynamodb describe-table --table-name logins --query Table.TableStatus`";
        let found = defects("logins", Some(&table), None);
        assert_eq!(found[0].text, format!("{problem}: {show}"));
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn index_of_provisioned_table_gets_its_capacity() {
    let mut table = table(&[PK, SK], None);
    let provisioned = ProvisionedThroughputDescription::builder()
        .read_capacity_units(5)
        .write_capacity_units(7)
        .build();
    table.provisioned_throughput = Some(provisioned);
    let found = defects("logins", Some(&table), Some(&on()));
    let capacity = ",ProvisionedThroughput={ReadCapacityUnits=5,WriteCapacityUnits=7}}'`";
    assert!(found[0].text.ends_with(capacity), "{found:?}");
}

#[test]
fn texts_have_no_double_quotes() {
    // The log is JSON, which escapes them, so a copied command would not work.
    let off = ttl(TimeToLiveStatus::Disabled, "");
    let wrong = table(&["id"], None);
    let mut texts = texts_with(None, &off);
    texts.extend(
        defects("logins", Some(&wrong), Some(&off))
            .into_iter()
            .map(|it| it.text),
    );
    assert!(texts.iter().all(|text| !text.contains('"')), "{texts:?}");
}
