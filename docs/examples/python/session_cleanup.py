"""Sessions of Session Cleanup, for a login service: log in, refresh, list and close them.

All times are whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error. Only `login` and
`create` create a session, and no function makes an inactive session active.
"""

import hashlib
import hmac
import math
import random
import secrets
import time
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError

# The end of the year 9999. Current times in milliseconds are larger.
LAST_TIME = 253_402_300_799
# An attempt fails if another write to the same session was first. The next one finds its result.
MAX_ATTEMPTS = 5
# An expiry time that is never later than the session's absolute end, also if another writer sets that meanwhile.
LIVE = (
    "is_active = :true AND expires_at > :now AND "
    "(attribute_not_exists(max_expires_at) OR NOT attribute_type(max_expires_at, :number) OR max_expires_at >= :expires_at)"
)
NOT_LATE = "(attribute_not_exists(due_at) OR NOT attribute_type(due_at, :number) OR due_at <= :expires_at)"
# The attributes that `list` leaves out: keys, index, and what belongs to refresh tokens.
INTERNAL = {"pk", "sk", "due_key", "due_at", "ttl"} | {
    f"refresh_{name}" for name in ("hash", "previous_hash", "rotated_at", "salt")
}


class Outcome(str, Enum):
    DONE = "done"
    EXISTS = "exists"  # A record with this key already exists. It is unchanged.
    ENDED = "ended"  # The session is inactive or has expired. It never becomes live again.
    NOT_FOUND = "not found"  # The user has no such session, or the session no such refresh token. Nothing was changed.
    REUSED = "reused"  # The refresh token was used before, and its grace period is over. The session was closed.


@dataclass(frozen=True)
class Login:
    """A new session. The client gets the refresh token; only its hash is stored."""

    session: str
    refresh_token: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True)
class Refresh:
    """The result of a refresh. If it is DONE, the client gets the new refresh token and a new access token."""

    outcome: Outcome
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: int | None = None


class Sessions:
    """The sessions in `table`, a Table of boto3.

    `retention_days` and `shards` are SessionRetentionDays and DueShards of the stack. A used refresh token may be used again
    for `grace_seconds`, 0 to 300. Access tokens live for `access_token_seconds`, but not longer than their session.
    """

    def __init__(
        self, table, *, retention_days=30, shards=16, grace_seconds=30, access_token_seconds=900, now=lambda: int(time.time())
    ):
        if not 0 <= grace_seconds <= 300:
            raise ValueError("the grace period must be 0 to 300 seconds")
        self.table = table
        self.retention = retention_days * 86_400
        self.shards = shards
        self.grace = grace_seconds
        self.access_token_seconds = access_token_seconds
        self.now = now

    def login(self, user, expires_at, attributes=None):
        """Creates a session with a random ID and a refresh token, and with attributes such as ip_address: a Login.

        max_expires_at, if it is among them, is the session's absolute end: no refresh moves the expiry time past it.
        """
        session, token = secrets.token_hex(16), secrets.token_hex(32)
        item = self._session(user, session, expires_at, {**(attributes or {}), "refresh_hash": _sha256(token)})
        # The ID is random. If it exists, the response to an earlier attempt of the SDK was lost.
        self._create(item)
        return Login(session, token, item["expires_at"])

    def create(self, user, session, expires_at, attributes=None):
        """Creates a session with an ID of your own and without a refresh token: DONE or EXISTS."""
        return self._create(self._session(user, session, expires_at, attributes or {}))

    def refresh(self, user, session, refresh_token, expires_at):
        """Uses a refresh token: replaces it, and moves the session's expiry time, to its max_expires_at at most.

        Returns a Refresh: DONE, ENDED, NOT_FOUND or REUSED. A token may be used again within the grace period, and gets the
        same replacement: two tabs of a browser, or a client that did not get the response, stay signed in.
        """
        now, expires_at, used = self.now(), _time(expires_at), _sha256(refresh_token)

        def attempt(found):
            if not _is_live(found, now):
                return Outcome.ENDED
            is_current = found.get("refresh_hash") == used
            if not is_current:
                rotated_at = _stored_time(found, "refresh_rotated_at")
                if found.get("refresh_previous_hash") != used or rotated_at is None:
                    return Outcome.NOT_FOUND
                if now >= rotated_at + self.grace:
                    return self._deactivate(found, "refresh_reused", now) and Outcome.REUSED
                if "refresh_salt" in found:
                    token = _replacement(refresh_token, found["refresh_salt"])
                    return Refresh(Outcome.DONE, token, _stored_time(found, "expires_at"))
            salt, end = secrets.token_hex(32), _until_end(expires_at, found)
            token = _replacement(refresh_token, salt)
            update = "refresh_hash = :new, refresh_salt = :salt, last_used_at = :now, expires_at = :expires_at, #ttl = :ttl"
            condition = "refresh_previous_hash = :used AND attribute_not_exists(refresh_salt)"
            if is_current:
                update += ", refresh_previous_hash = :used, refresh_rotated_at = :now"
                condition = "refresh_hash = :used"
            if isinstance(found.get("due_at"), Decimal) and found["due_at"] > end:
                update += ", due_at = :expires_at"
            else:
                # The index is not written: this costs one unit instead of three. The cleanup moves an early entry.
                condition += f" AND {NOT_LATE}"
            values = {":new": _sha256(token), ":salt": salt, ":used": used, ":ttl": end + self.retention}
            done = self._update(found, update, f"{LIVE} AND {condition}", {**values, **_live(now, end)})
            return done and Refresh(Outcome.DONE, token, end)

        result = self._change(user, session, attempt)
        return result if isinstance(result, Refresh) else Refresh(result)

    def extend(self, user, session, expires_at):
        """Moves the expiry time of a live session without its refresh token: DONE, ENDED or NOT_FOUND."""
        now, expires_at = self.now(), _time(expires_at)

        def attempt(found):
            if not _is_live(found, now):
                return Outcome.ENDED
            end = _until_end(expires_at, found)
            due = {":due_key": self._due_key("deactivate", found), ":ttl": end + self.retention}
            update = "expires_at = :expires_at, due_at = :expires_at, due_key = :due_key, #ttl = :ttl"
            return self._update(found, update, LIVE, {**due, **_live(now, end)})

        return self._change(user, session, attempt)

    def logout(self, user, session):
        """Closes a session because its user signs out: DONE, ENDED or NOT_FOUND."""
        return self._close(user, session, "logout")

    def revoke(self, user, session):
        """Closes a session on behalf of someone else: DONE, ENDED or NOT_FOUND."""
        return self._close(user, session, "revoked")

    def revoke_others(self, user, current):
        """Closes all active sessions of a user but the current one. Returns how many it closed."""
        _id(current)
        return self._revoke(user, lambda session: session != current)

    def revoke_all(self, user):
        """Closes all active sessions of a user, whatever is written to them meanwhile. Returns how many it closed."""
        return self._revoke(user, lambda _: True)

    def list(self, user):
        """Returns a user's sessions, newest first, as dictionaries without the hashes of refresh tokens."""
        newest_first = sorted(self._sessions_of(user), key=lambda it: _stored_time(it, "created_at") or 0, reverse=True)
        return [
            {name: _plain(value) for name, value in it.items() if name not in INTERNAL} | {"session_id": _session_of(it)}
            for it in newest_first
        ]

    def add_refresh_token(self, user, session, token, expires_at):
        """Stores the SHA-256 of a refresh token in a record of its own: DONE or EXISTS."""
        return self._create(self._refresh_token(user, session, token, expires_at))

    def rotate_refresh_token(self, user, session, old, new, expires_at):
        """Replaces a refresh token that has a record of its own, in one transaction.

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
                **self._token_times(expires_at),
            }
        )

    def access_token_claims(self, user, session, expires_at, issuer, audience, scope="", auth_time=None, client_id=None):
        """Returns the claims of an access token, to be signed by a JWT library. `expires_at` is that of the session.

        The token expires with its session at the latest: the authorizer denies it from then on, and a client that reads
        `exp` should know this.
        """
        now = self.now()
        claims = {
            "iss": issuer,
            "aud": audience,
            "sub": _id(user),
            "sid": _id(session),
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": min(now + self.access_token_seconds, _time(expires_at)),
            "scope": scope,
            "auth_time": auth_time,
            "client_id": client_id,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def _close(self, user, session, reason):
        now = self.now()
        return self._change(
            user,
            session,
            lambda found: self._deactivate(found, reason, now) if found.get("is_active") is True else Outcome.ENDED,
        )

    def _revoke(self, user, is_meant):
        now, closed = self.now(), 0
        for found in self._sessions_of(user):
            session = _session_of(found)
            if found.get("is_active") is True and is_meant(session):
                outcome = self._deactivate(found, "revoked", now) or self._close(user, session, "revoked")
                closed += outcome == Outcome.DONE
        return closed

    def _deactivate(self, found, reason, now):
        due_at = now + self.retention
        values = {":false": False, ":true": True, ":now": now, ":reason": reason}
        due = {":due_key": self._due_key("delete", found), ":due_at": due_at}
        update = (
            "is_active = :false, deactivated_at = :now, deactivation_reason = :reason, "
            "due_key = :due_key, due_at = :due_at, #ttl = :due_at"
        )
        return self._update(found, update, "is_active = :true", {**values, **due})

    def _change(self, user, session, attempt):
        """Reads a session and calls `attempt` with it, again if another write was first: `attempt` then returns None."""
        key = _session_key(user, session)
        for number in range(MAX_ATTEMPTS):
            found = self.table.get_item(Key=key, ConsistentRead=True).get("Item")
            result = attempt(found) if found else Outcome.NOT_FOUND
            if result is not None:
                return result
            time.sleep(number * 0.01)
        raise RuntimeError("other writes to the session were always first")

    def _update(self, found, update, condition, values):
        """Updates a session. Returns DONE, or None if its condition fails or a transaction has locked the record."""
        try:
            self.table.update_item(
                Key={"pk": found["pk"], "sk": found["sk"]},
                UpdateExpression=f"SET {update}",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#ttl": "ttl"},
                ExpressionAttributeValues=values,
            )
            return Outcome.DONE
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ConditionalCheckFailedException", "TransactionConflictException"):
                return None
            raise

    def _create(self, item):
        try:
            self.table.put_item(Item=item, ConditionExpression="attribute_not_exists(pk)")
            return Outcome.DONE
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return Outcome.EXISTS
            raise

    def _sessions_of(self, user):
        """All sessions of a user, by ID. The read is consistent: it has each session that was created before."""
        condition = Key("pk").eq(f"USER#{_id(user)}") & Key("sk").begins_with("SESSION#")
        pages, start = [], {}
        while start is not None:
            page = self.table.query(KeyConditionExpression=condition, ConsistentRead=True, **start)
            pages += page["Items"]
            last = page.get("LastEvaluatedKey")
            start = {"ExclusiveStartKey": last} if last else None
        return pages

    def _session(self, user, session, expires_at, attributes):
        if "max_expires_at" in attributes:
            _time(attributes["max_expires_at"])
        expires_at = _until_end(_time(expires_at), attributes)
        return {
            **attributes,
            **_session_key(user, session),
            "user_id": user,
            "session_id": session,
            "is_active": True,
            "created_at": self.now(),
            "expires_at": expires_at,
            "due_key": self._due_key("deactivate"),
            "due_at": expires_at,
            "ttl": expires_at + self.retention,
        }

    def _refresh_token(self, user, session, token, expires_at):
        return {
            **_refresh_token_key(user, token),
            "user_id": user,
            "session_id": _id(session),
            **self._token_times(expires_at),
        }

    def _token_times(self, expires_at):
        end = _time(expires_at)
        return {"expires_at": end, "due_key": self._due_key("delete"), "due_at": end, "ttl": end}

    def _due_key(self, action, found=None):
        # A record keeps its shard for life.
        shard = (found or {}).get("due_key", "").partition("#")[2]
        return f"{action}#{shard or f'{random.randrange(self.shards):02d}'}"


def _session_key(user, session):
    return {"pk": f"USER#{_id(user)}", "sk": f"SESSION#{_id(session)}"}


def _session_of(item):
    return item["sk"].removeprefix("SESSION#")


def _refresh_token_key(user, token):
    return {"pk": f"USER#{_id(user)}", "sk": f"REFRESH#{_sha256(token)}"}


def _sha256(token):
    return hashlib.sha256(token.encode()).hexdigest()


def _replacement(used, salt):
    """The token that replaces a used one. All uses of a token get the same one, and none can be calculated without the salt."""
    return hmac.new(used.encode(), salt.encode(), hashlib.sha256).hexdigest()


def _live(now, expires_at):
    """The values of the condition LIVE."""
    return {":true": True, ":now": now, ":expires_at": expires_at, ":number": "N"}


def _is_live(record, now):
    expires_at = _stored_time(record, "expires_at")
    return record.get("is_active") is True and expires_at is not None and expires_at > now


def _until_end(expires_at, record):
    end = record.get("max_expires_at")
    return min(expires_at, math.floor(end)) if isinstance(end, (int, Decimal)) else expires_at


def _id(text):
    has_valid_length = 1 <= len(text) <= 256 and len(text.encode()) <= 1000
    if not has_valid_length or any(unicodedata.category(it) == "Cc" for it in text):
        raise ValueError("an id has 1 to 256 characters in at most 1000 bytes, and no control characters")
    return text


def _time(seconds):
    if type(seconds) is not int or not 0 <= seconds <= LAST_TIME:
        raise ValueError("a time is a whole number of epoch seconds")
    return seconds


def _stored_time(record, name):
    value = record.get(name)
    return math.ceil(value) if isinstance(value, Decimal) and 0 <= value <= LAST_TIME else None


def _plain(value):
    """A number of boto3 as a number of Python."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == int(value) else float(value)
