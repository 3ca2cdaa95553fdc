"""Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB."""

import os
import secrets
import time
import uuid

import boto3
from sessions import Outcome, Sessions

HOUR = 3_600
DAY = 24 * HOUR


def main():
    sessions = Sessions(boto3.resource("dynamodb").Table(os.environ.get("TABLE_NAME", "sessions")))
    now = int(time.time())
    user, session = "ann", str(uuid.uuid4())

    ends = now + 8 * HOUR
    expect(sessions.login(user, session, ends, {"ip_address": "192.0.2.7"}), Outcome.DONE)
    refresh_token = secrets.token_urlsafe(32)
    expect(sessions.add_refresh_token(user, session, refresh_token, now + 30 * DAY), Outcome.DONE)
    claims = sessions.access_token_claims(user, session, ends, "https://id.example", "my-api", "orders:read")
    print("logged in: the session and the hash of its refresh token are stored")

    # Rotate the token first, so that it is used only once. Then sign a new access token.
    ends = now + 16 * HOUR
    new = secrets.token_urlsafe(32)
    expect(sessions.rotate_refresh_token(user, session, refresh_token, new, now + 30 * DAY), Outcome.DONE)
    expect(sessions.refresh(user, session, ends), Outcome.DONE)
    print("refreshed: the session ends eight hours later, and has a new refresh token")

    again = secrets.token_urlsafe(32)
    expect(sessions.rotate_refresh_token(user, session, refresh_token, again, now + 30 * DAY), Outcome.NOT_FOUND)
    print("rejected: the old refresh token cannot be used a second time")

    # Deny this one token while its session continues.
    expect(sessions.blacklist(user, claims["jti"], claims["exp"]), Outcome.DONE)
    print("blacklisted: the access token is denied until it expires")

    expect(sessions.logout(user, session), Outcome.DONE)
    expect(sessions.refresh(user, session, now + DAY), Outcome.ENDED)
    expect(sessions.rotate_refresh_token(user, session, new, again, now + 30 * DAY), Outcome.ENDED)
    print("logged out: the session is inactive and stays inactive")


def expect(outcome, expected):
    if outcome != expected:
        raise SystemExit(f"the outcome is {outcome}, but {expected} was expected")


if __name__ == "__main__":
    main()
