"""The schema of the records accepts everything that the stack writes, and rejects invalid records."""

import copy
import json
import re

import pytest
from jsonschema import Draft202012Validator
from local import DOCS, table_and_api

SCHEMA = json.loads((DOCS / "reference/records.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
TOKEN = {"user_id": "ann", "expires_at": 1_800_028_800, "due_at": 1_800_028_800, "ttl": 1_800_028_800}
SESSION = {
    "pk": "USER#ann",
    "sk": "SESSION#s-1",
    "user_id": "ann",
    "session_id": "s-1",
    "created_at": 1_800_000_000,
    "expires_at": 1_800_028_800,
}
VALID = {
    "active": SESSION
    | {"is_active": True, "due_key": "deactivate#07", "due_at": 1_800_028_800, "ttl": 1_802_620_800},
    "inactive": SESSION
    | {
        "is_active": False,
        "deactivated_at": 1_800_003_600,
        "deactivation_reason": "logout",
        "due_key": "delete#07",
        "due_at": 1_802_595_600,
        "ttl": 1_802_595_600,
    },
    "refresh": TOKEN | {"pk": "USER#ann", "sk": "REFRESH#" + "0a" * 32, "session_id": "s-1", "due_key": "delete#00"},
    "blacklist": TOKEN | {"pk": "USER#ann", "sk": "BLACKLIST#j-1", "jti": "j-1", "due_key": "delete#99"},
    "report": {
        "pk": "CLEANUP",
        "sk": "RUN#2026-11-23T21:44:11.983Z#819e5c42-f0bc-4a99-aa32-4565ffeec0a7",
        "run_id": "819e5c42-f0bc-4a99-aa32-4565ffeec0a7",
        "trigger": "api",
        "requested_by": "ada",
        "dry_run": False,
        "started_at": "2026-11-23T21:44:11.983Z",
        "duration_ms": 155,
        "complete": True,
        "sessions_deactivated": 86,
        "sessions_revoked": 0,
        "sessions_deleted": 10,
        "refresh_tokens_deleted": 25,
        "blacklisted_tokens_deleted": 7,
        "changed_elsewhere": 0,
        "reindexed": 0,
        "adopted": 0,
        "malformed": 0,
        "failed": 0,
        "capacity_units": 358.5,
        "ttl": 1_803_246_251,
    },
}
# Attributes that a session may lack.
OPTIONAL = {"ip_address", "user_agent"}
MISSING = object()
TIMES = [1_800_000_000_000, -1, 1_800_000_000.5, "1800000000", True, None]
IDS = ["", "a\n", "\u0085", "x" * 257, 7]
# The kind of a record, and the change that makes it invalid.
INVALID = [
    *(("active", {name: bad}) for name in ("user_id", "session_id") for bad in IDS),
    *(("blacklist", {"jti": bad}) for bad in IDS),
    *((kind, {"pk": bad}) for kind in ("active", "refresh", "blacklist") for bad in ("ann", "USER#", "CLEANUP", "USER#a\n")),
    *(("active", {"sk": bad}) for bad in ("s-1", "SESSION#", "SESSION#a\n", "SESSION#" + "x" * 257, "session#s-1", 7)),
    *(("blacklist", {"sk": bad}) for bad in ("BLACKLIST#", "BLACKLIST#a\n", "BLACKLIST#" + "x" * 257)),
    *(("refresh", {"sk": "REFRESH#" + bad}) for bad in ("0A" * 32, "0a" * 31, "0a" * 33, "0a" * 32 + "\n", "a-token")),
    *(("active", {name: bad}) for name in ("created_at", "expires_at", "due_at", "ttl") for bad in TIMES),
    *(("inactive", {"deactivated_at": bad}) for bad in TIMES),
    *((kind, {name: bad}) for kind in ("refresh", "blacklist") for name in ("expires_at", "due_at", "ttl") for bad in TIMES),
    *(("active", {"is_active": bad}) for bad in ("true", 1, None)),
    *(("inactive", {"is_active": bad}) for bad in ("false", 0, None)),
    # The state contradicts the other attributes.
    ("active", {"is_active": False}),
    ("inactive", {"is_active": True}),
    ("active", {"deactivated_at": 1_800_003_600}),
    ("active", {"deactivation_reason": "logout"}),
    ("inactive", {"deactivation_reason": "logged out"}),
    # The wrong due list, or one that cannot exist.
    *(("active", {"due_key": bad}) for bad in ("delete#07", "deactivate#7", "deactivate#100", "deactivate#07\n", "07", 7)),
    *(
        (kind, {"due_key": bad})
        for kind in ("inactive", "refresh", "blacklist")
        for bad in ("deactivate#07", "delete#7", "delete#100", "delete#07\n", "delete#xx")
    ),
    ("active", {"ip_address": 7}),
    *(("active", {"refresh_family_hash": bad}) for bad in ("F" * 64, "f" * 32, 7)),
    ("active", {"user_agent": None}),
    ("report", {"pk": "USER#ann"}),
    ("report", {"sk": "RUN#yesterday"}),
    ("report", {"run_id": "1"}),
    ("report", {"trigger": "cron", "requested_by": None}),
    ("report", {"requested_by": None}),
    ("report", {"trigger": "schedule"}),
    ("report", {"started_at": "2026-11-23"}),
    ("report", {"dry_run": "no"}),
    ("report", {"complete": 1}),
    ("report", {"capacity_units": -1}),
    ("report", {"ttl": "soon"}),
    *(
        ("report", {name: -1})
        for name, value in VALID["report"].items()
        if type(value) is int and name not in ("ttl", "capacity_units")
    ),
    *((kind, {name: MISSING}) for kind, record in VALID.items() for name in record),
]


def test_schema_is_valid_json_schema():
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", VALID)
def test_accepts_records_with_extra_attributes(kind):
    VALIDATOR.validate(VALID[kind])
    VALIDATOR.validate(VALID[kind] | {"device": "phone", "_": None, "nested": {"a": [1]}})


def test_accepts_optional_attributes_and_limits():
    for more in (
        {"ip_address": "192.0.2.7", "user_agent": ""},
        {"user_id": "x" * 256, "session_id": "😀" * 250},
        {"pk": "USER#" + "x" * 256, "sk": "SESSION#" + "😀" * 250},
        {"expires_at": 253_402_300_799, "due_at": 253_402_300_799, "ttl": 253_402_300_799 + 3650 * 86_400},
        {"expires_at": 0, "due_key": "deactivate#00"},
        {"client_id": "web", "auth_time": 0, "last_used_at": 0, "max_expires_at": 253_402_300_799},
        {"refresh_hash": "0" * 64, "refresh_previous_hash": "f" * 64, "refresh_rotated_at": 0, "refresh_salt": "a" * 64},
        {"refresh_hash": "0" * 64, "refresh_family_hash": "f" * 64},
    ):
        VALIDATOR.validate(VALID["active"] | more)
    for reason in ("logout", "revoked", "refresh_reused", "expired_on_validation", "expired_by_cleanup"):
        VALIDATOR.validate(VALID["inactive"] | {"deactivation_reason": reason})
    for trigger in ("schedule", "manual"):
        VALIDATOR.validate(VALID["report"] | {"trigger": trigger, "requested_by": None})


def test_rejects_invalid_records():
    accepted = []
    for kind, change in INVALID:
        record = copy.deepcopy(VALID[kind]) | change
        record = {name: value for name, value in record.items() if value is not MISSING}
        if VALIDATOR.is_valid(record):
            accepted.append((kind, change))
    assert accepted == []
    for nothing in ({}, [], "USER#ann", None):
        assert not VALIDATOR.is_valid(nothing)


def test_accepts_all_records_that_stack_writes():
    with table_and_api() as stack:
        # Before and after a cleanup, which deactivates expired sessions and writes reports.
        for _ in range(2):
            records = stack.records()
            for record in records.values():
                VALIDATOR.validate(record)
            kinds = {sk.split("#")[0] for _, sk in records}
            stack.clean_up(dry_run=True)
            stack.force_cleanup()
        assert kinds == {"SESSION", "REFRESH", "BLACKLIST", "RUN"}
        assert len(records) > 100


def test_accepts_documented_examples():
    readme = (DOCS / "reference/records.md").read_text()
    examples = [json.loads(it) for it in re.findall(r"```json\n(.*?)```", readme, re.S)]
    (item,) = (it for it in examples if "pk" in it)
    read = {"S": str, "N": int, "BOOL": bool}
    VALIDATOR.validate({name: read[kind](value) for name, typed in item.items() for kind, value in typed.items()})
