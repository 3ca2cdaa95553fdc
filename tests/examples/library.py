"""Calls of the library's functions, the same in each language."""

import hashlib

START, HOUR, DAY = 1_800_000_000, 3_600, 86_400
END = START + 8 * HOUR
NOT_FOUND, ENDED, REUSED = ({"outcome": it} for it in ("not found", "ended", "reused"))


def sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def outcome(answer):
    """The answer without its missing values."""
    return {name: value for name, value in answer.items() if value is not None}


def record_of(stack, session, user="ann"):
    return stack.written()["USER#" + user, "SESSION#" + session]


def log_in(call, end=END, **attributes):
    login = call("login", "ann", end, attributes)
    assert set(login) == {"session", "refresh_token", "expires_at"}
    return login["session"], login["refresh_token"]


def refresh(call, session, token, end=END + HOUR):
    return outcome(call("refresh", "ann", session, token, end))
