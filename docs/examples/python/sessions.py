"""The writes of a login service for Session Cleanup: sessions, refresh tokens, blacklisted tokens.

All times are whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error. Only `login`
creates a session, and no function makes an inactive session active.
"""

import hashlib
import random
import time
import unicodedata
import uuid
from enum import Enum

from botocore.exceptions import ClientError

# The end of the year 9999. Current times in milliseconds are larger.
LAST_TIME = 253_402_300_799


class Outcome(str, Enum):
    DONE = "done"
    EXISTS = "exists"  # A record with this key already exists. It is unchanged.
    ENDED = "ended"  # The session is inactive or has expired. It never becomes live again.
    NOT_FOUND = "not found"  # The user has no such session, or no such valid refresh token.


class Sessions:
    """`table` is a Table of boto3; `retention_days` and `shards` are SessionRetentionDays and DueShards of the stack."""

    def __init__(self, table, *, retention_days=30, shards=16, now=lambda: int(time.time())):
        self.table = table
        self.retention = retention_days * 86_400
        self.shards = shards
        self.now = now

    def login(self, user, session, expires_at, attributes=None):
        """Opens a session, with additional attributes such as ip_address: DONE or EXISTS.

        max_expires_at, if it is among them, is the session's absolute end: no refresh moves the expiry time past it.
        """
        if "max_expires_at" in (attributes or {}):
            _time(attributes["max_expires_at"])
        expires_at = _until_end(_time(expires_at), attributes or {})
        return self._create(
            {
                **(attributes or {}),
                **_session_key(user, session),
                "user_id": user,
                "session_id": session,
                "is_active": True,
                "created_at": self.now(),
                "expires_at": expires_at,
                "due_key": f"deactivate#{self._shard()}",
                "due_at": expires_at,
                "ttl": expires_at + self.retention,
            }
        )

    def refresh(self, user, session, expires_at):
        """Moves the expiry time of a live session, to its max_expires_at at most: DONE, ENDED or NOT_FOUND."""
        expires_at = _time(expires_at)
        return self._change(
            user,
            session,
            action="deactivate",
            update="expires_at = :due_at",
            condition="is_active = :true AND expires_at > :now",
            values={":now": self.now(), ":true": True},
            due_at=lambda found: _until_end(expires_at, found),
            kept=self.retention,
        )

    def logout(self, user, session):
        """Deactivates a session because the user signed out: DONE, ENDED or NOT_FOUND."""
        return self._close(user, session, "logout")

    def revoke(self, user, session):
        """Deactivates a session on behalf of someone else: DONE, ENDED or NOT_FOUND."""
        return self._close(user, session, "revoked")

    def add_refresh_token(self, user, session, token, expires_at):
        """Stores the SHA-256 of a session's refresh token: DONE or EXISTS."""
        return self._create(self._refresh_token(user, session, token, expires_at))

    def rotate_refresh_token(self, user, session, old, new, expires_at):
        """Replaces an old refresh token with a new one, in one transaction.

        Returns DONE; ENDED if the session is not live; NOT_FOUND if the old token belongs to another session, was used
        before or has expired; EXISTS if the new token already exists.
        """
        table, now = self.table.name, self.now()
        writes = [
            {
                "ConditionCheck": {
                    "TableName": table,
                    "Key": _session_key(user, session),
                    "ConditionExpression": "is_active = :true AND expires_at > :now",
                    "ExpressionAttributeValues": {":true": True, ":now": now},
                }
            },
            {
                "Delete": {
                    "TableName": table,
                    "Key": _refresh_token_key(user, old),
                    "ConditionExpression": "session_id = :session AND expires_at > :now",
                    "ExpressionAttributeValues": {":session": session, ":now": now},
                }
            },
            {
                "Put": {
                    "TableName": table,
                    "Item": self._refresh_token(user, session, new, expires_at),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
        ]
        try:
            self.table.meta.client.transact_write_items(TransactItems=writes)
            return Outcome.DONE
        except ClientError as error:
            # There is one reason for each write, in the same order.
            for reason, outcome in zip(
                error.response.get("CancellationReasons", []),
                [Outcome.ENDED, Outcome.NOT_FOUND, Outcome.EXISTS],
            ):
                if reason["Code"] == "ConditionalCheckFailed":
                    return outcome
            raise

    def blacklist(self, user, jti, expires_at):
        """Denies one access token from now on; `expires_at` is that token's `exp`: DONE or EXISTS."""
        return self._create(
            {
                "pk": f"USER#{_id(user)}",
                "sk": f"BLACKLIST#{_id(jti)}",
                "user_id": user,
                "jti": jti,
                "expires_at": _time(expires_at),
                "due_key": f"delete#{self._shard()}",
                "due_at": expires_at,
                "ttl": expires_at,
            }
        )

    def access_token_claims(self, user, session, session_expires_at, issuer, audience, scope="", seconds=900):
        """Returns the claims of an access token, to be signed by a JWT library. It expires no later than its session."""
        return {
            "iss": issuer,
            "aud": audience,
            "sub": _id(user),
            "sid": _id(session),
            "jti": str(uuid.uuid4()),
            "exp": min(self.now() + seconds, _time(session_expires_at)),
            "scope": scope,
        }

    def _close(self, user, session, reason):
        now = self.now()
        return self._change(
            user,
            session,
            action="delete",
            update="is_active = :false, deactivated_at = :now, deactivation_reason = :reason",
            condition="is_active = :true",
            values={":false": False, ":now": now, ":reason": reason, ":true": True},
            due_at=lambda _: now + self.retention,
            kept=0,
        )

    def _change(self, user, session, action, update, condition, values, due_at, kept):
        key = _session_key(user, session)
        read = "pk, due_key, max_expires_at"
        found = self.table.get_item(Key=key, ConsistentRead=True, ProjectionExpression=read).get("Item")
        if found is None:
            return Outcome.NOT_FOUND
        due_at = due_at(found)
        # A record keeps its shard for life.
        shard = found.get("due_key", "").partition("#")[2] or self._shard()
        try:
            self.table.update_item(
                Key=key,
                UpdateExpression=f"SET {update}, due_key = :due_key, due_at = :due_at, #ttl = :ttl",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues={
                    **values,
                    ":due_key": f"{action}#{shard}",
                    ":due_at": due_at,
                    ":ttl": due_at + kept,
                },
            )
            return Outcome.DONE
        except ClientError as error:
            return _if_condition_failed(error, Outcome.ENDED)

    def _create(self, item):
        try:
            self.table.put_item(Item=item, ConditionExpression="attribute_not_exists(pk)")
            return Outcome.DONE
        except ClientError as error:
            return _if_condition_failed(error, Outcome.EXISTS)

    def _refresh_token(self, user, session, token, expires_at):
        return {
            **_refresh_token_key(user, token),
            "user_id": user,
            "session_id": _id(session),
            "expires_at": _time(expires_at),
            "due_key": f"delete#{self._shard()}",
            "due_at": expires_at,
            "ttl": expires_at,
        }

    def _shard(self):
        return f"{random.randrange(self.shards):02d}"


def _session_key(user, session):
    return {"pk": f"USER#{_id(user)}", "sk": f"SESSION#{_id(session)}"}


def _refresh_token_key(user, token):
    return {"pk": f"USER#{_id(user)}", "sk": f"REFRESH#{hashlib.sha256(token.encode()).hexdigest()}"}


def _id(text):
    has_valid_length = 1 <= len(text) <= 256 and len(text.encode()) <= 1000
    if not has_valid_length or any(unicodedata.category(it) == "Cc" for it in text):
        raise ValueError("an id has 1 to 256 characters in at most 1000 bytes, and no control characters")
    return text


def _until_end(expires_at, record):
    return min(expires_at, int(record.get("max_expires_at", expires_at)))


def _time(seconds):
    if type(seconds) is not int or not 0 <= seconds <= LAST_TIME:
        raise ValueError("a time is a whole number of epoch seconds")
    return seconds


def _if_condition_failed(error, outcome):
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    return outcome
