"""The table: keys, index, TTL and protection."""

from template import FUNCTIONS, read, stack


def table(**given):
    return stack(**given).resources["SessionsTable"]


def test_table_has_keys_index_and_ttl_for_functions():
    properties = table()["Properties"]
    assert properties["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert properties["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "due",
            "KeySchema": [
                {"AttributeName": "due_key", "KeyType": "HASH"},
                {"AttributeName": "due_at", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ]
    types = {it["AttributeName"]: it["AttributeType"] for it in properties["AttributeDefinitions"]}
    assert types == {"pk": "S", "sk": "S", "due_key": "S", "due_at": "N"}
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}


def test_table_is_retained_and_protected_by_default():
    # A literal value, not a parameter: SAM does not allow an intrinsic function here.
    written = read()["Resources"]["SessionsTable"]
    assert (written["DeletionPolicy"], written["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert (table()["DeletionPolicy"], table()["UpdateReplacePolicy"]) == ("Retain", "Retain")
    properties = table()["Properties"]
    assert properties["DeletionProtectionEnabled"] == "true"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_deletion_protection_can_be_switched_off():
    assert table(TableDeletionProtection="false")["Properties"]["DeletionProtectionEnabled"] == "false"


def test_table_uses_given_key_or_aws_owned_key():
    assert "SSESpecification" not in table()["Properties"]
    key = "arn:aws:kms:eu-central-1:123456789012:key/table"
    assert table(TableKmsKeyArn=key)["Properties"]["SSESpecification"] == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": key,
    }


def test_stack_creates_no_other_table():
    assert set(stack().of_type("AWS::DynamoDB::Table")) == {"SessionsTable"}


def test_existing_table_replaces_own_one_everywhere():
    own, existing = stack(), stack(ExistingTableName="logins")
    assert set(own.of_type("AWS::DynamoDB::Table")) == {"SessionsTable"}
    assert not existing.of_type("AWS::DynamoDB::Table")
    assert "SessionsTable" not in str(existing.resources) + str(existing.outputs)
    for made, name, arn in [
        (own, "SessionsTable", "SessionsTable.Arn"),
        (existing, "logins", "arn:aws:dynamodb:eu-central-1:123456789012:table/logins"),
    ]:
        assert {made.variables(function)["TABLE_NAME"] for function in FUNCTIONS} == {name}
        assert made.outputs["TableName"]["Value"] == name
        assert made.outputs["TableArn"]["Value"] == arn
        for nested in ("Alarms", "Dashboard"):
            assert made.properties(nested)["Parameters"]["TableName"] == name


def test_only_existing_table_must_have_ttl():
    assert stack().variables("CleanupFunction")["STRICT_TABLE_CHECK"] == "false"
    assert stack(ExistingTableName="logins").variables("CleanupFunction")["STRICT_TABLE_CHECK"] == "true"
