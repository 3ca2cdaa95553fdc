"""The table: keys, index, TTL and protection."""

from template import read, stack


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
