"""Refresh tokens in the session's record: the library in each language, and all languages with the same sessions."""

import hashlib
import hmac
import itertools
import json
import random
import re
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from library import DAY, END, ENDED, HOUR, NOT_FOUND, REUSED, START, log_in, outcome, record_of, refresh, sha256
from local import DROP, RETENTION, proxy_with_race
from local_stack import ROOT
from test_login_services import SCHEMA, check_consistency
from writers import Rejected


def replacement(used, salt):
    return hmac.new(used.encode(), salt.encode(), hashlib.sha256).hexdigest()


def change(stack, session, text, **values):
    values = {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}
    stack.table.update_item(Key={"pk": "USER#ann", "sk": "SESSION#" + session}, UpdateExpression=text, **values)


def test_login_stores_only_hash_of_refresh_token(library_call, stack):
    call = library_call
    session, token = log_in(call, ip_address="192.0.2.7", client_id="web")
    other = log_in(call)
    assert session != other[0] and token != other[1]
    assert re.fullmatch("[0-9a-f]{32}", session) and re.fullmatch("[0-9a-f]{64}", token)
    record = record_of(stack, session)
    assert record.pop("due_key").startswith("deactivate#")
    assert record == {
        "pk": "USER#ann",
        "sk": f"SESSION#{session}",
        "user_id": "ann",
        "session_id": session,
        "is_active": True,
        "created_at": START,
        "expires_at": END,
        "due_at": END,
        "ttl": END + RETENTION,
        "ip_address": "192.0.2.7",
        "client_id": "web",
        "refresh_hash": sha256(token),
    }


def test_refresh_replaces_token_and_leaves_due_entry(library_call, stack):
    call = library_call
    session, token = log_in(call)
    opened = record_of(stack, session)
    SCHEMA.validate(opened)
    check_consistency(opened)
    call("at", START + 60)
    answer = refresh(call, session, token)
    record = record_of(stack, session)
    SCHEMA.validate(record)
    salt = record["refresh_salt"]
    assert answer == {"outcome": "done", "refresh_token": replacement(token, salt), "expires_at": END + HOUR}
    assert record == opened | {
        "expires_at": END + HOUR,
        "ttl": END + HOUR + RETENTION,
        "refresh_hash": sha256(answer["refresh_token"]),
        "refresh_previous_hash": sha256(token),
        "refresh_rotated_at": START + 60,
        "last_used_at": START + 60,
        "refresh_salt": salt,
    }
    # The cleanup moves the entry when it is due; nothing is wrong.
    report = stack.clean_up(dry_run=True)
    assert (report["malformed"], report["failed"]) == (0, 0)


@pytest.mark.parametrize("end, units", [(END + HOUR, 1), (END - HOUR, 3)])
def test_refresh_costs_units_of_one_write(library, library_call, stack, end, units):
    session, token = log_in(library_call)
    spent = []
    with proxy_with_race(stack, library.update, lambda: None, spent) as endpoint, library.calls(stack, endpoint) as call:
        call("at", START)
        answer = refresh(call, session, token, end)
    assert answer["expires_at"] == end
    assert spent == [units]
    record = record_of(stack, session)
    assert record["due_at"] == min(END, end) <= record["expires_at"] == end


def test_used_token_gets_same_replacement_until_grace_ends(library_call, stack):
    call = library_call
    session, token = log_in(call)
    first = refresh(call, session, token)
    left = record_of(stack, session)
    for later in (0, 29):
        call("at", START + later)
        assert refresh(call, session, token, END + DAY) == first
        assert record_of(stack, session) == left
    call("at", START + 30)
    assert refresh(call, session, token) == REUSED
    closed = record_of(stack, session)
    check_consistency(closed)
    assert (closed["deactivation_reason"], closed["deactivated_at"]) == ("refresh_reused", START + 30)
    # Also the owner's token.
    assert refresh(call, session, first["refresh_token"]) == ENDED


def test_grace_period_is_0_to_300_seconds(library_call):
    call = library_call
    session, token = log_in(call)
    for bad in (-1, 301):
        with pytest.raises(Rejected):
            call("grace", bad)
            refresh(call, session, token)
    call("grace", 300)
    refreshed = refresh(call, session, token)
    call("at", START + 299)
    assert refresh(call, session, token) == refreshed
    call("grace", 0)
    assert refresh(call, session, token) == REUSED


def test_20_uses_at_once_leave_one_live_chain(library_call, stack):
    call = library_call
    session, token = log_in(call)
    for _ in range(5):
        answers = call("at_once", 20, "refresh", "ann", session, token, END + HOUR)
        assert len(answers) == 20
        assert {it["outcome"] for it in answers} == {"done"}
        assert {it["expires_at"] for it in answers} == {END + HOUR}
        (token,) = {it["refresh_token"] for it in answers}
        record = record_of(stack, session)
        assert record["is_active"] and record["refresh_hash"] == sha256(token)


def test_lost_response_returns_same_token(library, library_call, stack):
    session, token = log_in(library_call)
    with proxy_with_race(stack, library.update, lambda: DROP) as endpoint, library.calls(stack, endpoint) as call:
        call("at", START)
        answer = refresh(call, session, token)
    assert answer["outcome"] == "done"
    assert record_of(stack, session)["refresh_hash"] == sha256(answer["refresh_token"])
    assert refresh(library_call, session, token) == answer
    assert refresh(library_call, session, answer["refresh_token"])["outcome"] == "done"


def test_unknown_tokens_change_nothing(library_call, stack):
    call = library_call
    session, first = log_in(call)
    second = refresh(call, session, first)["refresh_token"]
    third = refresh(call, session, second)["refresh_token"]
    left = stack.written()
    # A token that is two rotations old is unknown, too.
    for token in [first, "", "é" * 40, sha256(third), third.upper(), *(secrets.token_hex(32) for _ in range(100))]:
        assert refresh(call, session, token) == NOT_FOUND
    assert refresh(call, "none", third) == NOT_FOUND
    assert outcome(call("refresh", "bob", session, third, END)) == NOT_FOUND
    assert call("create", "ann", "no-token", END) == "done"
    assert refresh(call, "no-token", third) == NOT_FOUND
    assert stack.written().items() >= left.items()


def test_no_sequence_of_refreshes_outlives_absolute_end(library_call, stack):
    call, choose = library_call, random.Random(1)
    end = START + 20 * HOUR
    session, token = log_in(call, START + DAY, max_expires_at=end)
    assert record_of(stack, session)["expires_at"] == end
    time = START
    for _ in range(20):
        time += choose.randrange(HOUR)
        call("at", time)
        wanted = time + choose.choice([HOUR, 5 * HOUR, DAY, 365 * DAY])
        if choose.random() < 0.3:
            assert call("extend", "ann", session, wanted) == "done"
        else:
            answer = refresh(call, session, token, wanted)
            assert (answer["outcome"], answer["expires_at"]) == ("done", min(wanted, end))
            token = answer["refresh_token"]
        record = record_of(stack, session)
        assert record["expires_at"] == min(wanted, end)
        assert record["due_at"] <= record["expires_at"] <= record["max_expires_at"] == end
        assert record["ttl"] == record["expires_at"] + RETENTION
    call("at", end)
    assert refresh(call, session, token) == ENDED
    assert call("extend", "ann", session, end + 1) == "ended"


def test_absolute_end_set_meanwhile_limits_refresh(library, library_call, stack):
    session, token = log_in(library_call)
    limit = END - HOUR

    def set_end():
        change(stack, session, "SET max_expires_at = :limit, expires_at = :limit", limit=limit)

    with proxy_with_race(stack, ".GetItem", set_end) as endpoint, library.calls(stack, endpoint) as call:
        call("at", START)
        answer = refresh(call, session, token, END + DAY)
    assert (answer["outcome"], answer["expires_at"]) == ("done", limit)
    assert record_of(stack, session)["expires_at"] == limit


@pytest.mark.parametrize("name", ["logout", "revoke"])
def test_closed_session_rejects_its_token(library_call, stack, name):
    call = library_call
    session, token = log_in(call)
    assert call(name, "ann", session) == "done"
    left = record_of(stack, session)
    assert left["deactivation_reason"] == {"logout": "logout", "revoke": "revoked"}[name]
    assert refresh(call, session, token) == ENDED
    assert record_of(stack, session) == left


@pytest.mark.parametrize("name, value", [("is_active", False), ("expires_at", START)])
def test_session_that_ended_meanwhile_stays_ended(library, library_call, stack, name, value):
    session, token = log_in(library_call)
    left = []

    def end():
        # Not the index attributes, which the write checks, too.
        change(stack, session, f"SET {name} = :value", value=value)
        left.append(record_of(stack, session))

    with proxy_with_race(stack, ".GetItem", end) as endpoint, library.calls(stack, endpoint) as call:
        call("at", START)
        assert refresh(call, session, token) == ENDED
    assert [record_of(stack, session)] == left


def test_previous_token_without_salt_is_replaced_once_more(library_call, stack):
    """Another writer has not stored the salt, so the current token cannot be derived."""
    call = library_call
    session, token = log_in(call)
    refresh(call, session, token)
    change(stack, session, "REMOVE refresh_salt")
    call("at", START + 20)
    again = refresh(call, session, token)
    record = record_of(stack, session)
    assert record["refresh_hash"] == sha256(again["refresh_token"])
    # The grace period is not extended.
    assert (record["refresh_previous_hash"], record["refresh_rotated_at"]) == (sha256(token), START)
    assert refresh(call, session, token) == again
    call("at", START + 30)
    assert refresh(call, session, token) == REUSED


def test_derives_replacements_of_vectors(library_call, stack):
    call = library_call
    vectors = json.loads((ROOT / "tests/vectors/refresh_tokens.json").read_text())
    for number, vector in enumerate(vectors):
        session = f"s-{number}"
        assert call("create", "ann", session, END) == "done"
        change(
            stack,
            session,
            "SET refresh_hash = :new, refresh_previous_hash = :used, refresh_salt = :salt, refresh_rotated_at = :at",
            new=sha256(vector["replacement"]),
            used=sha256(vector["used"]),
            salt=vector["salt"],
            at=START,
        )
        answer = refresh(call, session, vector["used"])
        assert answer == {"outcome": "done", "refresh_token": vector["replacement"], "expires_at": END}
        assert refresh(call, session, vector["replacement"])["outcome"] == "done"


def test_each_language_continues_chain_of_each_other(calls, stack):
    for opens, uses in itertools.permutations(calls, 2):
        first, second = calls[opens], calls[uses]
        session, token = log_in(first)
        refreshed = refresh(second, session, token)
        assert refreshed["outcome"] == "done", (opens, uses)
        assert refresh(first, session, token) == refreshed
        last = refresh(first, session, refreshed["refresh_token"])
        assert refresh(second, session, refreshed["refresh_token"]) == last
        second("at", START + 30)
        assert refresh(second, session, refreshed["refresh_token"]) == REUSED
        second("at", START)
        assert refresh(first, session, last["refresh_token"]) == ENDED


def test_uses_in_all_languages_at_once_leave_one_live_chain(calls, stack):
    session, token = log_in(next(iter(calls.values())))
    for _ in range(5):
        with ThreadPoolExecutor(len(calls)) as pool:
            using = [pool.submit(call, "at_once", 5, "refresh", "ann", session, token, END + HOUR) for call in calls.values()]
            answers = [answer for it in using for answer in it.result()]
        assert len(answers) == 5 * len(calls)
        assert {it["outcome"] for it in answers} == {"done"}
        (token,) = {it["refresh_token"] for it in answers}
        assert record_of(stack, session)["refresh_hash"] == sha256(token)
