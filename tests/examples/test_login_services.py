"""Runs the examples on the local stack: the records that they write, races, and how the functions handle the records."""

import hashlib
import json
import re
import time

import pytest
from jsonschema import Draft202012Validator
from local import DOCS, RETENTION, WRONG, claims, proxy_with_race
from writers import Rejected, cannot_run

DAY = 86_400
STORY = """\
logged in: the session is stored, with the hash of its refresh token
refreshed: the session ends eight hours later, and has a new refresh token
repeated: the used refresh token returned the same new one
blacklisted: the access token is denied until it expires
logged out: the session is inactive and stays inactive
"""
NOTHING_TO_DO = {
    "sessions_deactivated": 0,
    "sessions_deleted": 0,
    "refresh_tokens_deleted": 0,
    "blacklisted_tokens_deleted": 0,
    **WRONG,
}
SCHEMA = Draft202012Validator(json.loads((DOCS / "reference/records.schema.json").read_text()))


def now():
    return int(time.time())


def wait_until(moment):
    time.sleep(max(0, moment - time.time()))


def counts(report):
    assert report["complete"]
    return {name: report[name] for name in NOTHING_TO_DO}


def check(stack):
    """Checks that each written record is as documented, and that the cleanup finds nothing wrong. Returns the records."""
    written = stack.written()
    for (_, sk), record in written.items():
        SCHEMA.validate(record)
        check_consistency(record)
        assert sk.split("#")[0] in ("SESSION", "REFRESH", "BLACKLIST")
    report = stack.clean_up(adopt=True, dry_run=True)
    assert {name: report[name] for name in WRONG} == WRONG
    return written


def check_consistency(record):
    """Checks what the schema cannot express: attributes that repeat, or follow from, others."""
    assert record["pk"] == f"USER#{record['user_id']}"
    kind, rest = record["sk"].split("#", 1)
    action, shard = record["due_key"].split("#")
    assert 0 <= int(shard) < 16
    if kind == "SESSION":
        assert rest == record["session_id"]
        active = record["is_active"]
        due_at = record["expires_at"] if active else record["deactivated_at"] + RETENTION
        ttl = record["expires_at"] + RETENTION if active else due_at
        assert (action, record["due_at"], record["ttl"]) == ("deactivate" if active else "delete", due_at, ttl)
    else:
        assert (action, record["due_at"], record["ttl"]) == ("delete", record["expires_at"], record["expires_at"])
        if kind == "BLACKLIST":
            assert rest == record["jti"]


def session_of(stack, user="ann", session="s-1"):
    return stack.written()["USER#" + user, "SESSION#" + session]


def refresh_token_key(user, token):
    return "USER#" + user, "REFRESH#" + hashlib.sha256(token.encode()).hexdigest()


def test_story_runs_and_leaves_valid_records(writer, stack):
    if writer.no_story:
        cannot_run(f"its story: {writer.no_story}")
    before = now()
    assert writer.run_story(stack) == STORY
    written = check(stack)
    kinds = sorted(sk.split("#")[0] for _, sk in written)
    assert kinds == ["BLACKLIST", "SESSION"]
    (session,) = (it for (_, sk), it in written.items() if sk.startswith("SESSION#"))
    assert (session["is_active"], session["deactivation_reason"]) == (False, "logout")
    assert before <= session["created_at"] <= session["deactivated_at"] <= now()
    assert 16 * 3600 <= session["expires_at"] - before <= 16 * 3600 + 60
    assert counts(stack.clean_up()) == NOTHING_TO_DO


def test_functions_write_records_and_keep_shard_and_attributes(call, stack):
    start, end = 1_800_000_000, 1_800_028_800
    call("at", start)
    # Attributes of the application do not overwrite those of the record.
    attributes = {"ip_address": "192.0.2.7", "device": "phone", "user_id": "eve", "pk": "USER#eve", "ttl": "never"}
    assert call("create", "ann", "s-1", end, attributes) == "done"
    opened = session_of(stack)
    shard = opened.pop("due_key").removeprefix("deactivate#")
    assert re.fullmatch("0[0-9]|1[0-5]", shard)
    base = {
        "pk": "USER#ann",
        "sk": "SESSION#s-1",
        "user_id": "ann",
        "session_id": "s-1",
        "created_at": start,
        "ip_address": "192.0.2.7",
        "device": "phone",
    }
    active = base | {"is_active": True, "expires_at": end, "due_at": end, "ttl": end + RETENTION}
    assert opened == active

    end += 7_200
    call("at", start + 60)
    assert call("extend", "ann", "s-1", end) == "done"
    refreshed = active | {"expires_at": end, "due_at": end, "ttl": end + RETENTION, "due_key": f"deactivate#{shard}"}
    assert session_of(stack) == refreshed

    # The shard is kept even if another writer chose it, or the number of shards has changed.
    stack.table.update_item(
        Key={"pk": "USER#ann", "sk": "SESSION#s-1"},
        UpdateExpression="SET due_key = :list",
        ExpressionAttributeValues={":list": "deactivate#77"},
    )
    assert call("extend", "ann", "s-1", end) == "done"
    assert session_of(stack) == refreshed | {"due_key": "deactivate#77"}
    call("at", start + 120)
    assert call("logout", "ann", "s-1") == "done"
    closed = {
        "is_active": False,
        "deactivated_at": start + 120,
        "deactivation_reason": "logout",
        "due_key": "delete#77",
        "due_at": start + 120 + RETENTION,
        "ttl": start + 120 + RETENTION,
    }
    assert session_of(stack) == refreshed | closed

    assert call("create", "ann", "s-2", end) == "done"
    assert call("revoke", "ann", "s-2") == "done"
    assert session_of(stack, session="s-2")["deactivation_reason"] == "revoked"

    token = {"pk": "USER#ann", "user_id": "ann", "expires_at": end, "due_at": end, "ttl": end}
    assert call("create", "ann", "s-3", end) == "done"
    assert call("add_refresh_token", "ann", "s-3", "abc", end) == "done"
    # FIPS 180-2, appendix B.1.
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    stored = stack.written()["USER#ann", f"REFRESH#{sha}"]
    assert stored.pop("due_key").startswith("delete#")
    assert stored == token | {"sk": f"REFRESH#{sha}", "session_id": "s-3"}

    assert call("rotate_refresh_token", "ann", "s-3", "abc", "def", end) == "done"
    assert ("USER#ann", f"REFRESH#{sha}") not in stack.written()
    sk = refresh_token_key("ann", "def")[1]
    rotated = stack.written()["USER#ann", sk]
    assert rotated.pop("due_key").startswith("delete#")
    assert rotated == token | {"sk": sk, "session_id": "s-3"}

    assert call("blacklist", "ann", "j-1", end) == "done"
    listed = stack.written()["USER#ann", "BLACKLIST#j-1"]
    assert listed.pop("due_key").startswith("delete#")
    assert listed == token | {"sk": "BLACKLIST#j-1", "jti": "j-1"}


def test_no_call_moves_expiry_past_absolute_end(call, stack):
    start, end = 1_800_000_000, 1_800_028_800
    call("at", start)
    assert call("create", "ann", "s-1", end + 1, {"max_expires_at": end}) == "done"
    opened = session_of(stack)
    assert (opened["expires_at"], opened["due_at"], opened["ttl"]) == (end, end, end + RETENTION)
    for wanted, expected in [(end - 1, end - 1), (end + 1, end)]:
        assert call("extend", "ann", "s-1", wanted) == "done"
        found = session_of(stack)
        assert (found["expires_at"], found["due_at"], found["ttl"]) == (expected, expected, expected + RETENTION)


def test_spreads_records_over_shards(call, stack):
    for number in range(60):
        call("create", "ann", f"s-{number}", now() + 60)
    assert len({it["due_key"] for it in stack.written().values()}) > 8
    check(stack)


# The calls before, the late call, and its outcome. `END` is in an hour, `LATER` in two hours, `PAST` was a second ago.
LATE = {
    "a second creation": (["create ann s-1 END"], "create ann s-1 LATER", "exists"),
    "a creation of an inactive session": (["create ann s-1 END", "logout ann s-1"], "create ann s-1 LATER", "exists"),
    "an extension after a logout": (["create ann s-1 END", "logout ann s-1"], "extend ann s-1 LATER", "ended"),
    "an extension after the end": (["create ann s-1 PAST"], "extend ann s-1 LATER", "ended"),
    "an extension of no session": ([], "extend ann s-1 LATER", "not found"),
    "an extension of another user's session": (["create ann s-1 END"], "extend bob s-1 LATER", "not found"),
    "a second logout": (["create ann s-1 END", "logout ann s-1"], "logout ann s-1", "ended"),
    "a revocation after a logout": (["create ann s-1 END", "logout ann s-1"], "revoke ann s-1", "ended"),
    "a logout of no session": ([], "logout ann s-1", "not found"),
    "a second use of a refresh token": (
        ["create ann s-1 END", "add_refresh_token ann s-1 old END", "rotate_refresh_token ann s-1 old new END"],
        "rotate_refresh_token ann s-1 old newer END",
        "not found",
    ),
    "a refresh token after a logout": (
        ["create ann s-1 END", "add_refresh_token ann s-1 old END", "logout ann s-1"],
        "rotate_refresh_token ann s-1 old new END",
        "ended",
    ),
    "a refresh token after the session's end": (
        ["create ann s-1 PAST", "add_refresh_token ann s-1 old END"],
        "rotate_refresh_token ann s-1 old new END",
        "ended",
    ),
    "a refresh token of no session": (
        ["add_refresh_token ann s-1 old END"],
        "rotate_refresh_token ann s-1 old new END",
        "ended",
    ),
    "a refresh token of another session": (
        ["create ann s-1 END", "create ann s-2 END", "add_refresh_token ann s-2 old END"],
        "rotate_refresh_token ann s-1 old new END",
        "not found",
    ),
    "a refresh token after its own end": (
        ["create ann s-1 END", "add_refresh_token ann s-1 old PAST"],
        "rotate_refresh_token ann s-1 old new END",
        "not found",
    ),
    "a new refresh token that already exists": (
        ["create ann s-1 END", "add_refresh_token ann s-1 old END", "add_refresh_token ann s-1 new END"],
        "rotate_refresh_token ann s-1 old new LATER",
        "exists",
    ),
    "the same refresh token again": (
        ["create ann s-1 END", "add_refresh_token ann s-1 old END"],
        "add_refresh_token ann s-1 old LATER",
        "exists",
    ),
    "the same token blacklisted again": (["blacklist ann j-1 END"], "blacklist ann j-1 LATER", "exists"),
}


@pytest.mark.parametrize("case", LATE)
def test_late_call_returns_outcome_and_changes_nothing(call, stack, case):
    start = now()
    times = {"PAST": start - 1, "END": start + 3_600, "LATER": start + 7_200}
    before, late, outcome = LATE[case]

    def run(line):
        return call(*(times.get(it, it) for it in line.split()))

    for line in before:
        assert run(line) == "done", line
    left = stack.written()
    assert run(late) == outcome
    assert stack.written() == left
    check(stack)


def test_session_ends_at_exact_second(call, stack):
    end = 1_800_000_000
    call("at", end - 60)
    for session in ("s-1", "s-2"):
        call("create", "ann", session, end)
        call("add_refresh_token", "ann", session, f"of {session}", end + 60)
    call("at", end - 1)
    assert call("rotate_refresh_token", "ann", "s-1", "of s-1", "more of s-1", end + 60) == "done"
    assert call("extend", "ann", "s-1", end + 60) == "done"
    call("at", end)
    assert call("rotate_refresh_token", "ann", "s-2", "of s-2", "more of s-2", end + 60) == "ended"
    assert call("extend", "ann", "s-2", end + 60) == "ended"
    # A logout may deactivate a session that has expired but is still active.
    assert call("logout", "ann", "s-2") == "done"


@pytest.mark.parametrize("name", ["extend", "logout", "revoke"])
@pytest.mark.parametrize("meanwhile", ["closed", "deleted"])
def test_change_keeps_session_that_ended_meanwhile(writer, call, stack, name, meanwhile):
    call("create", "ann", "s-1", now() + 3_600)

    def end_session():
        if meanwhile == "closed":
            call("logout", "ann", "s-1")
        else:
            stack.table.delete_item(Key={"pk": "USER#ann", "sk": "SESSION#s-1"})
        left.update(stack.written())

    left = {}
    with proxy_with_race(stack, ".GetItem", end_session) as endpoint, writer.calls(stack, endpoint) as delayed_call:
        outcome = delayed_call(name, "ann", "s-1", *([now() + 7_200] if name == "extend" else []))
    assert outcome == ("ended" if meanwhile == "closed" else "not found")
    assert stack.written() == left
    check(stack)


@pytest.mark.parametrize("name", ["logout", "revoke_all"])
def test_change_is_repeated_after_conflict_with_transaction(writer, call, stack, name):
    """A rotation of a refresh token with a record of its own locks the session for a moment."""
    call("create", "ann", "s-1", now() + 3_600)
    more = ["s-1"] if name == "logout" else []
    rejected = proxy_with_race(stack, ".UpdateItem", lambda: None, reject="TransactionConflictException")
    with rejected as endpoint, writer.calls(stack, endpoint) as delayed_call:
        assert delayed_call(name, "ann", *more) == (1 if name == "revoke_all" else "done")
    assert not session_of(stack)["is_active"]
    check(stack)


VALID_IDS = ["a", "USER#b", "日本", "x" * 256, "😀" * 250, " "]
INVALID_IDS = ["", "a\nb", "a\0", "\x7f", "\x85", "x" * 257, "😀" * 251]


def test_rejects_invalid_ids_and_writes_nothing(call, stack):
    end = now() + 3_600
    for bad in INVALID_IDS:
        for arguments in (
            ("create", bad, "s-1", end),
            ("create", "ann", bad, end),
            ("extend", bad, "s-1", end),
            ("extend", "ann", bad, end),
            ("logout", bad, "s-1"),
            ("revoke", "ann", bad),
            ("add_refresh_token", bad, "s-1", "token", end),
            ("add_refresh_token", "ann", bad, "token", end),
            ("rotate_refresh_token", "ann", bad, "old", "new", end),
            ("blacklist", bad, "j-1", end),
            ("blacklist", "ann", bad, end),
            ("access_token_claims", "ann", bad, end, "issuer", "audience", "scope"),
        ):
            with pytest.raises(Rejected, match="an id has 1 to 256 characters"):
                call(*arguments)
    assert stack.written() == {}
    for valid in VALID_IDS:
        assert call("create", valid, valid, end) == "done"
        assert call("blacklist", valid, valid, end) == "done"
    assert len(check(stack)) == 2 * len(VALID_IDS)


def test_rejects_times_not_in_seconds_and_writes_nothing(request, call, stack):
    times = [1_800_000_000_000, -1, 253_402_300_800]
    if "go" not in request.node.callspec.id:
        # In Go a time is not a number.
        times += [1_800_000_000.5, "1800000000", None]
    for bad in times:
        for arguments in (
            ("create", "ann", "s-1", bad),
            ("extend", "ann", "s-1", bad),
            ("add_refresh_token", "ann", "s-1", "token", bad),
            ("rotate_refresh_token", "ann", "s-1", "old", "new", bad),
            ("blacklist", "ann", "j-1", bad),
        ):
            with pytest.raises(Rejected, match="a time "):
                call(*arguments)
    assert stack.written() == {}
    assert call("create", "ann", "s-1", 253_402_300_799) == "done"
    check(stack)


def test_hourly_cleanup_deactivates_only_expired_sessions(call, stack):
    soon = now() + 2
    for session in ("ends-1", "ends-2", "goes-on", "logged-out"):
        assert call("create", "ann", session, soon) == "done"
    assert call("extend", "ann", "goes-on", soon + 3_600) == "done"
    assert call("logout", "ann", "logged-out") == "done"
    assert call("create", "ann", "live", soon + 3_600) == "done"
    assert call("add_refresh_token", "ann", "live", "token", soon + 3_600) == "done"
    assert call("blacklist", "ann", "j-1", soon + 3_600) == "done"
    before = check(stack)
    wait_until(soon)
    assert counts(stack.clean_up()) == NOTHING_TO_DO | {"sessions_deactivated": 2}
    after = check(stack)
    for session in ("ends-1", "ends-2"):
        key = "USER#ann", f"SESSION#{session}"
        was, closed = before.pop(key), after.pop(key)
        assert closed["deactivation_reason"] == "expired_by_cleanup"
        assert closed["due_key"].split("#") == ["delete", was["due_key"].split("#")[1]]
        assert call("extend", "ann", session, now() + 3_600) == "ended"
    assert after == before


def test_deletes_old_records_only_when_due(call, stack):
    today = now()
    live = today + 3_600
    for days in (40, 31, 29):
        call("at", today - days * DAY - 60)
        assert call("create", "ann", f"closed-{days}-days", live) == "done"
        call("at", today - days * DAY)
        assert call("logout", "ann", f"closed-{days}-days") == "done"
    call("at", today - 10 * DAY)
    for hours in (72, 1):
        assert call("add_refresh_token", "ann", "s-1", f"{hours} hours", today - hours * 3_600) == "done"
        assert call("blacklist", "ann", f"{hours}-hours", today - hours * 3_600) == "done"
    call("at", None)
    assert call("create", "ann", "live", live) == "done"
    assert call("add_refresh_token", "ann", "live", "live", live) == "done"
    assert call("blacklist", "ann", "live", live) == "done"
    check(stack)
    # The hourly run leaves deletions to native TTL for two days.
    one = {"sessions_deleted": 1, "refresh_tokens_deleted": 1, "blacklisted_tokens_deleted": 1}
    assert counts(stack.clean_up()) == NOTHING_TO_DO | one
    assert counts(stack.force_cleanup()) == NOTHING_TO_DO | one
    assert set(check(stack)) == {
        ("USER#ann", "SESSION#closed-29-days"),
        ("USER#ann", "SESSION#live"),
        refresh_token_key("ann", "live"),
        ("USER#ann", "BLACKLIST#live"),
    }


def test_authorizer_follows_state_of_session_and_blacklist(call, stack):
    token = stack.reader
    content = claims(token)
    user, session, jti = content["sub"], content["sid"], content["jti"]
    key = {"pk": f"USER#{user}", "sk": f"SESSION#{session}"}

    def open_session(expires_at):
        stack.table.delete_item(Key=key)
        assert stack.authorize(token) == (401, "Session not found")
        assert call("create", user, session, expires_at) == "done"
        assert stack.authorize(token) == (200, None)

    open_session(now() + 3_600)
    assert call("logout", user, session) == "done"
    assert stack.authorize(token) == (401, "Session inactive")

    open_session(now() + 3_600)
    assert call("revoke", user, session) == "done"
    assert stack.authorize(token) == (401, "Session inactive")

    end = now() + 3
    open_session(end)
    wait_until(end)
    assert stack.authorize(token) == (401, "Session expired")
    assert stack.records()[key["pk"], key["sk"]]["deactivation_reason"] == "expired_on_validation"

    end = now() + 3
    open_session(end)
    assert call("extend", user, session, end + 3_600) == "done"
    wait_until(end)
    assert stack.authorize(token) == (200, None)
    assert call("blacklist", user, jti, content["exp"]) == "done"
    assert stack.authorize(token) == (401, "Token revoked")
    # The session continues without the token.
    assert call("extend", user, session, end + 7_200) == "done"
    assert stack.records()[key["pk"], key["sk"]]["is_active"] is True
