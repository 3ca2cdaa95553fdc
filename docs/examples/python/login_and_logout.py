"""Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB."""

import os
import time

import boto3
from session_cleanup import Outcome, Sessions

HOUR = 3_600
DAY = 24 * HOUR


def main():
    sessions = Sessions(boto3.resource("dynamodb").Table(os.environ.get("TABLE_NAME", "sessions")))
    now = int(time.time())
    user = "ann"

    login = sessions.login(user, now + 8 * HOUR, {"ip_address": "192.0.2.7", "max_expires_at": now + 30 * DAY})
    session, token = login.session, login.refresh_token
    claims = sessions.access_token_claims(user, session, login.expires_at, "https://id.example", "my-api", "orders:read")
    print("logged in: the session is stored, with the hash of its refresh token")

    refreshed = sessions.refresh(user, session, token, now + 16 * HOUR)
    expect(refreshed.outcome, Outcome.DONE)
    print("refreshed: the session ends eight hours later, and has a new refresh token")

    # Another tab of the browser uses the same token at the same time.
    repeated = sessions.refresh(user, session, token, now + 16 * HOUR)
    expect(repeated.refresh_token, refreshed.refresh_token)
    print("repeated: the used refresh token returned the same new one")

    # Deny this one access token while its session continues.
    expect(sessions.blacklist(user, claims["jti"], claims["exp"]), Outcome.DONE)
    print("blacklisted: the access token is denied until it expires")

    expect(sessions.logout(user, session), Outcome.DONE)
    expect(sessions.refresh(user, session, refreshed.refresh_token, now + DAY).outcome, Outcome.ENDED)
    print("logged out: the session is inactive and stays inactive")


def expect(found, expected):
    if found != expected:
        raise SystemExit(f"{expected} was expected, but not found")


if __name__ == "__main__":
    main()
