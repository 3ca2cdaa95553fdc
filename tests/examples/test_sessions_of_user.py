"""The sessions of a user in each language: list them, close the others or all; the claims of access tokens."""

import json
import re
import secrets
import time

import jwt
import pytest
from library import DAY, END, ENDED, HOUR, START, log_in, record_of, refresh
from local import DOCS, claims, proxy_with_race, table_and_api
from local_stack import ROOT
from test_login_services import check, check_consistency
from writers import EXAMPLES, Rejected


def open_sessions(call, count):
    """Opens sessions, each a second after the one before. Returns their IDs and refresh tokens."""
    opened = []
    for number in range(count):
        call("at", START + number)
        opened.append(log_in(call))
    return opened


def test_lists_sessions_newest_first_without_hashes(library_call, stack):
    call = library_call
    assert call("list", "ann") == []
    call("create", "anna", "other", END)
    call("blacklist", "ann", "j", END)
    call("add_refresh_token", "ann", "s-1", "token", END)
    (first, _), (second, token), (third, _) = open_sessions(call, 3)
    assert refresh(call, second, token)["outcome"] == "done"
    assert call("logout", "ann", first) == "done"
    call("at", START + 10)
    assert call("create", "ann", "fourth", END, {"ip_address": "192.0.2.7", "max_expires_at": END + DAY}) == "done"
    listed = call("list", "ann")
    assert [it["session_id"] for it in listed] == ["fourth", third, second, first]
    newest, oldest = listed[0], listed[3]
    expected = {
        "session_id": "fourth",
        "is_active": True,
        "created_at": START + 10,
        "expires_at": END,
        "max_expires_at": END + DAY,
        "ip_address": "192.0.2.7",
    }
    assert newest.items() >= expected.items()
    assert (oldest["is_active"], oldest["deactivated_at"], oldest["deactivation_reason"]) == (False, START + 2, "logout")
    record, text = record_of(stack, second), json.dumps(listed)
    for name in ("refresh_hash", "refresh_previous_hash", "refresh_salt"):
        assert name not in text and record[name] not in text


@pytest.mark.parametrize("library", EXAMPLES, indirect=True)
def test_list_has_attributes_of_application(library_call):
    library_call("create", "ann", "s-1", END, {"device": "phone"})
    (session,) = library_call("list", "ann")
    assert session["device"] == "phone"
    assert not session.keys() & {"pk", "sk", "due_key", "due_at", "ttl"}


def test_revokes_others_then_all_on_several_pages(library_call, stack):
    """A page of DynamoDB has at most 1 MB."""
    call = library_call
    with stack.table.batch_writer() as batch:
        for number in range(12):
            session = f"s-{number:02d}"
            item = {"pk": "USER#ann", "sk": f"SESSION#{session}", "user_id": "ann", "session_id": session, "is_active": True}
            times = {"created_at": START + number, "expires_at": END, "due_at": END, "ttl": END + 30 * DAY}
            batch.put_item(Item=item | times | {"due_key": "deactivate#07", "note": "x" * 200_000})
    call("create", "bob", "s-1", END)
    (current, token), (closed, _) = open_sessions(call, 2)
    call("logout", "ann", closed)
    assert len(call("list", "ann")) == 14
    call("at", START + HOUR)
    assert call("revoke_others", "ann", current) == 12
    active = [it["session_id"] for it in call("list", "ann") if it["is_active"]]
    assert active == [current]
    assert record_of(stack, "s-11")["deactivation_reason"] == "revoked"
    assert record_of(stack, "s-11")["due_key"] == "delete#07"
    assert record_of(stack, closed)["deactivation_reason"] == "logout"
    assert refresh(call, current, token)["outcome"] == "done"
    assert (call("revoke_all", "ann"), call("revoke_all", "ann")) == (1, 0)
    assert refresh(call, current, token) == ENDED
    assert record_of(stack, "s-1", "bob")["is_active"]


def test_revokes_all_sessions_while_they_are_refreshed(library, library_call, stack):
    """Each session changes after it was listed and before it is closed."""
    opened = open_sessions(library_call, 5)
    later = []

    def refresh_all():
        for session, token in opened[:4]:
            assert refresh(library_call, session, token)["outcome"] == "done"
        assert library_call("logout", "ann", opened[4][0]) == "done"
        later.append(log_in(library_call)[0])

    with proxy_with_race(stack, ".Query", refresh_all) as endpoint, library.calls(stack, endpoint) as call:
        call("at", START + HOUR)
        assert call("revoke_all", "ann") == 4
    assert [it["session_id"] for it in library_call("list", "ann") if it["is_active"]] == later
    assert record_of(stack, opened[4][0])["deactivation_reason"] == "logout"
    for session, _ in opened:
        check_consistency(record_of(stack, session))


def test_rejects_invalid_ids(library_call, stack):
    for bad in ("", "a\nb", "x" * 257):
        for call in (
            ("login", bad, END),
            ("refresh", bad, "s-1", "token", END),
            ("refresh", "ann", bad, "token", END),
            ("revoke_all", bad),
            ("revoke_others", bad, "s-1"),
            ("revoke_others", "ann", bad),
            ("list", bad),
        ):
            with pytest.raises(Rejected, match="1 to 256 characters"):
                library_call(*call)
    for call in (("login", "ann", END * 1000), ("refresh", "ann", "s-1", "token", END * 1000)):
        with pytest.raises(Rejected, match="a time "):
            library_call(*call)
    assert stack.written() == {}


def test_claims_suit_authorizer_and_expire_with_session(library_call, stack):
    call = library_call
    accepted = claims(stack.reader)
    issuer, audience = accepted["iss"], accepted["aud"]
    arguments = (issuer, audience, "a b")
    found = call("access_token_claims", "ann", "s-1", END, *arguments)
    other = call("access_token_claims", "ann", "s-1", START + 60, *arguments, START - 5, "web")
    jti, exp = found.pop("jti"), found.pop("exp")
    assert jti != other["jti"] and len(bytes.fromhex(jti)) == 16
    assert (exp, other["exp"]) == (START + 900, START + 60)
    assert found == {"iss": issuer, "aud": audience, "sub": "ann", "sid": "s-1", "iat": START, "scope": "a b"}
    assert (other["auth_time"], other["client_id"]) == (START - 5, "web")


def test_authorizer_accepts_claims_until_session_is_revoked(library, tmp_path):
    secret = secrets.token_hex(32)
    (tmp_path / "secret").write_text(secret)
    options = ("--jwt-secret", tmp_path / "secret", "--jwt-issuer", "https://id.example", "--jwt-audience", "my-api")
    with table_and_api("--empty", *options) as stack, library.calls(stack) as call:
        end = int(time.time()) + HOUR
        session, _ = log_in(call, end)
        content = call("access_token_claims", "ann", session, end, "https://id.example", "my-api", "sessions:read")
        token = jwt.encode(content, secret, algorithm="HS256")
        assert stack.authorize(token) == (200, None)
        assert call("blacklist", "ann", content["jti"], content["exp"]) == "done"
        assert stack.authorize(token) == (401, "Token revoked")
        content = call("access_token_claims", "ann", session, end, "https://id.example", "my-api", "sessions:read")
        token = jwt.encode(content, secret, algorithm="HS256")
        assert stack.authorize(token) == (200, None)
        assert call("revoke_all", "ann") == 1
        assert stack.authorize(token) == (401, "Session inactive")
        check(stack)


FUNCTIONS = [
    *("login", "create", "refresh", "extend", "logout", "revoke", "revoke_others", "revoke_all", "list"),
    *("add_refresh_token", "rotate_refresh_token", "blacklist", "access_token_claims"),
]


@pytest.mark.parametrize(
    "path, pattern",
    [
        ("python/session_cleanup.py", r"^    def ([a-z]\w*)\("),
        ("node/sessions.mjs", r"^  (?:async )?(?!constructor)([a-z]\w*)\("),
        ("node/sessions.d.mts", r"^  (?!constructor)([a-z]\w*)\("),
        ("go/sessions.go", r"^func \(s \*Sessions\) ([A-Z]\w*)\("),
    ],
)
def test_languages_have_same_functions_in_same_order(path, pattern):
    found = re.findall(pattern, (DOCS / "examples" / path).read_text(), re.M)
    assert [re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower() for name in found] == FUNCTIONS


def test_rust_has_functions_of_other_languages():
    sources = "".join(it.read_text() for it in (ROOT / "shared/lifecycle/src/sessions").glob("*.rs"))
    # A token in a record of its own is replaced only in languages whose services did so before.
    assert {*FUNCTIONS} - {"rotate_refresh_token"} <= {*re.findall(r"pub (?:async )?fn (\w+)", sources)}
