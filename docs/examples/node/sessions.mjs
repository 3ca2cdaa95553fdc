// Sessions of Session Cleanup, for a login service: log in, refresh, list and close them.
//
// All times are whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error. Only `login`
// and `create` create a session, and no function makes an inactive session active.

import { createHash, createHmac, randomBytes, randomInt } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { GetCommand, PutCommand, QueryCommand, TransactWriteCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";

// The end of the year 9999. Current times in milliseconds are larger.
const LAST_TIME = 253_402_300_799;
// An attempt fails if another write to the same session was first. The next one finds its result.
const MAX_ATTEMPTS = 5;
// An expiry time that is never later than the session's absolute end, also if another writer sets that meanwhile.
const LIVE =
  "is_active = :true AND expires_at > :now AND " +
  "(attribute_not_exists(max_expires_at) OR NOT attribute_type(max_expires_at, :number) OR max_expires_at >= :expires_at)";
// The attributes that `list` leaves out: keys, index, and what belongs to refresh tokens.
const INTERNAL = new Set([
  ...["pk", "sk", "due_key", "due_at", "ttl"],
  ...["refresh_hash", "refresh_previous_hash", "refresh_rotated_at", "refresh_salt"],
]);

export const Outcome = Object.freeze({
  DONE: "done",
  EXISTS: "exists", // A record with this key already exists. It is unchanged.
  ENDED: "ended", // The session is inactive or has expired. It never becomes live again.
  NOT_FOUND: "not found", // The user has no such session, or the session no such refresh token. Nothing was changed.
  REUSED: "reused", // The refresh token was used before, and its grace period is over. The session was closed.
});

export class Sessions {
  #client;
  #table;
  #retention;
  #shards;
  #grace;
  #accessTokenSeconds;
  #now;

  // `client` is a DynamoDBDocumentClient; `retentionDays` and `shards` are SessionRetentionDays and DueShards of the stack.
  // A used refresh token may be used again for `graceSeconds`, 0 to 300. Access tokens live for `accessTokenSeconds`, but not
  // longer than their session.
  constructor(
    client,
    table,
    {
      retentionDays = 30,
      shards = 16,
      graceSeconds = 30,
      accessTokenSeconds = 900,
      now = () => Math.floor(Date.now() / 1000),
    } = {},
  ) {
    if (!(graceSeconds >= 0 && graceSeconds <= 300)) throw new RangeError("the grace period must be 0 to 300 seconds");
    this.#client = client;
    this.#table = table;
    this.#retention = retentionDays * 86_400;
    this.#shards = shards;
    this.#grace = graceSeconds;
    this.#accessTokenSeconds = accessTokenSeconds;
    this.#now = now;
  }

  // Creates a session with a random ID and a refresh token, and with attributes such as ip_address. The client gets the refresh
  // token; only its hash is stored: { session, refreshToken, expiresAt }.
  // max_expires_at, if it is among the attributes, is the session's absolute end: no refresh moves the expiry time past it.
  async login(user, expiresAt, attributes = {}) {
    const [session, refreshToken] = [randomHex(16), randomHex(32)];
    const item = this.#session(user, session, expiresAt, { ...attributes, refresh_hash: sha256(refreshToken) });
    // The ID is random. If it exists, the response to an earlier attempt of the SDK was lost.
    await this.#create(item);
    return { session, refreshToken, expiresAt: item.expires_at };
  }

  // Creates a session with an ID of your own and without a refresh token: DONE or EXISTS.
  async create(user, session, expiresAt, attributes = {}) {
    return this.#create(this.#session(user, session, expiresAt, attributes));
  }

  // Uses a refresh token: replaces it, and moves the session's expiry time, to its max_expires_at at most.
  //
  // Returns { outcome, refreshToken, expiresAt }; the outcome is DONE, ENDED, NOT_FOUND or REUSED. A token may be used again
  // within the grace period, and gets the same replacement: two tabs of a browser, or a client that did not get the response,
  // stay signed in.
  async refresh(user, session, refreshToken, expiresAt) {
    const [now, wanted, used] = [this.#now(), time(expiresAt), sha256(refreshToken)];
    const result = await this.#change(user, session, async (found) => {
      if (!isLive(found, now)) return Outcome.ENDED;
      const isCurrent = found.refresh_hash === used;
      if (!isCurrent) {
        const rotatedAt = storedTime(found.refresh_rotated_at);
        if (found.refresh_previous_hash !== used || rotatedAt === undefined) return Outcome.NOT_FOUND;
        if (now >= rotatedAt + this.#grace) {
          return (await this.#deactivate(found, "refresh_reused", now)) && Outcome.REUSED;
        }
        if (found.refresh_salt !== undefined) {
          const token = replacement(refreshToken, found.refresh_salt);
          return { outcome: Outcome.DONE, refreshToken: token, expiresAt: storedTime(found.expires_at) };
        }
      }
      const [salt, end] = [randomHex(32), untilEnd(wanted, found)];
      const token = replacement(refreshToken, salt);
      let update = "refresh_hash = :new, refresh_salt = :salt, last_used_at = :now, expires_at = :expires_at, #ttl = :ttl";
      let condition = "refresh_previous_hash = :used AND attribute_not_exists(refresh_salt)";
      if (isCurrent) {
        update += ", refresh_previous_hash = :used, refresh_rotated_at = :now";
        condition = "refresh_hash = :used";
      }
      if (typeof found.due_at === "number" && found.due_at > end) {
        update += ", due_at = :expires_at";
      } else {
        // The index is not written: this costs one unit instead of three. The cleanup moves an early entry.
        condition += " AND (attribute_not_exists(due_at) OR NOT attribute_type(due_at, :number) OR due_at <= :expires_at)";
      }
      const done = await this.#update(found, update, `${LIVE} AND ${condition}`, {
        ...live(now, end),
        ":new": sha256(token),
        ":salt": salt,
        ":used": used,
        ":ttl": end + this.#retention,
      });
      return done && { outcome: Outcome.DONE, refreshToken: token, expiresAt: end };
    });
    return typeof result === "string" ? { outcome: result } : result;
  }

  // Moves the expiry time of a live session without its refresh token: DONE, ENDED or NOT_FOUND.
  async extend(user, session, expiresAt) {
    const [now, wanted] = [this.#now(), time(expiresAt)];
    return this.#change(user, session, (found) => {
      if (!isLive(found, now)) return Outcome.ENDED;
      const end = untilEnd(wanted, found);
      const update = "expires_at = :expires_at, due_at = :expires_at, due_key = :due_key, #ttl = :ttl";
      const due = { ":due_key": this.#dueKey("deactivate", found), ":ttl": end + this.#retention };
      return this.#update(found, update, LIVE, { ...live(now, end), ...due });
    });
  }

  // Closes a session because its user signs out: DONE, ENDED or NOT_FOUND.
  async logout(user, session) {
    return this.#close(user, session, "logout");
  }

  // Closes a session on behalf of someone else: DONE, ENDED or NOT_FOUND.
  async revoke(user, session) {
    return this.#close(user, session, "revoked");
  }

  // Closes all active sessions of a user but the current one. Returns how many it closed.
  async revokeOthers(user, current) {
    id(current);
    return this.#revoke(user, (session) => session !== current);
  }

  // Closes all active sessions of a user, whatever is written to them meanwhile. Returns how many it closed.
  async revokeAll(user) {
    return this.#revoke(user, () => true);
  }

  // Returns a user's sessions, newest first, with their attributes but without the hashes of refresh tokens.
  async list(user) {
    const sessions = await this.#sessionsOf(user);
    sessions.sort((a, b) => (storedTime(b.created_at) ?? 0) - (storedTime(a.created_at) ?? 0));
    return sessions.map((it) => ({
      ...Object.fromEntries(Object.entries(it).filter(([name]) => !INTERNAL.has(name))),
      session_id: sessionOf(it),
    }));
  }

  // Stores the SHA-256 of a refresh token in a record of its own: DONE or EXISTS.
  async addRefreshToken(user, session, token, expiresAt) {
    return this.#create(this.#refreshToken(user, session, token, expiresAt));
  }

  // Replaces a refresh token that has a record of its own, in one transaction.
  //
  // Returns DONE; ENDED if the session is not live; NOT_FOUND if the old token belongs to another session, was used before
  // or has expired; EXISTS if the new token already exists.
  async rotateRefreshToken(user, session, old, new_, expiresAt) {
    const [table, now] = [this.#table, this.#now()];
    const writes = [
      {
        ConditionCheck: {
          TableName: table,
          Key: sessionKey(user, session),
          ConditionExpression: "is_active = :true AND expires_at > :now",
          ExpressionAttributeValues: { ":true": true, ":now": now },
        },
      },
      {
        Delete: {
          TableName: table,
          Key: refreshTokenKey(user, old),
          ConditionExpression: "session_id = :session AND expires_at > :now",
          ExpressionAttributeValues: { ":session": session, ":now": now },
        },
      },
      {
        Put: {
          TableName: table,
          Item: this.#refreshToken(user, session, new_, expiresAt),
          ConditionExpression: "attribute_not_exists(pk)",
        },
      },
    ];
    try {
      await this.#client.send(new TransactWriteCommand({ TransactItems: writes }));
      return Outcome.DONE;
    } catch (error) {
      // There is one reason for each write, in the same order.
      const reasons = error.CancellationReasons ?? [];
      const failed = reasons.findIndex((reason) => reason.Code === "ConditionalCheckFailed");
      if (failed < 0) throw error;
      return [Outcome.ENDED, Outcome.NOT_FOUND, Outcome.EXISTS][failed];
    }
  }

  // Denies one access token from now on; `expiresAt` is that token's `exp`: DONE or EXISTS.
  async blacklist(user, jti, expiresAt) {
    return this.#create({
      pk: `USER#${id(user)}`,
      sk: `BLACKLIST#${id(jti)}`,
      user_id: user,
      jti,
      ...this.#tokenTimes(expiresAt),
    });
  }

  // Returns the claims of an access token, to be signed by a JWT library. `expiresAt` is that of the session.
  // The token expires with its session at the latest: the authorizer denies it from then on, and a client that reads `exp`
  // should know this.
  accessTokenClaims(user, session, expiresAt, issuer, audience, scope = "", authTime = null, clientId = null) {
    const now = this.#now();
    return {
      iss: issuer,
      aud: audience,
      sub: id(user),
      sid: id(session),
      jti: randomHex(16),
      iat: now,
      exp: Math.min(now + this.#accessTokenSeconds, time(expiresAt)),
      scope,
      ...(authTime !== null && { auth_time: authTime }),
      ...(clientId !== null && { client_id: clientId }),
    };
  }

  async #close(user, session, reason) {
    const now = this.#now();
    return this.#change(user, session, (found) =>
      found.is_active === true ? this.#deactivate(found, reason, now) : Outcome.ENDED,
    );
  }

  async #revoke(user, isMeant) {
    const now = this.#now();
    let closed = 0;
    for (const found of await this.#sessionsOf(user)) {
      const session = sessionOf(found);
      if (found.is_active !== true || !isMeant(session)) continue;
      const outcome = (await this.#deactivate(found, "revoked", now)) ?? (await this.#close(user, session, "revoked"));
      if (outcome === Outcome.DONE) closed += 1;
    }
    return closed;
  }

  #deactivate(found, reason, now) {
    const update =
      "is_active = :false, deactivated_at = :now, deactivation_reason = :reason, " +
      "due_key = :due_key, due_at = :due_at, #ttl = :due_at";
    return this.#update(found, update, "is_active = :true", {
      ":false": false,
      ":true": true,
      ":now": now,
      ":reason": reason,
      ":due_key": this.#dueKey("delete", found),
      ":due_at": now + this.#retention,
    });
  }

  // Reads a session and calls `attempt` with it, again if another write was first: `attempt` then returns undefined.
  async #change(user, session, attempt) {
    const request = { TableName: this.#table, Key: sessionKey(user, session), ConsistentRead: true };
    for (let number = 0; number < MAX_ATTEMPTS; number += 1) {
      const { Item: found } = await this.#client.send(new GetCommand(request));
      const result = found ? await attempt(found) : Outcome.NOT_FOUND;
      if (result !== undefined) return result;
      await setTimeout(number * 10);
    }
    throw new Error("other writes to the session were always first");
  }

  // Updates a session. Returns DONE, or undefined if its condition fails or a transaction has locked the record.
  async #update(found, update, condition, values) {
    try {
      await this.#client.send(
        new UpdateCommand({
          TableName: this.#table,
          Key: { pk: found.pk, sk: found.sk },
          UpdateExpression: `SET ${update}`,
          ConditionExpression: condition,
          ExpressionAttributeNames: { "#ttl": "ttl" },
          ExpressionAttributeValues: values,
        }),
      );
      return Outcome.DONE;
    } catch (error) {
      if (["ConditionalCheckFailedException", "TransactionConflictException"].includes(error.name)) return undefined;
      throw error;
    }
  }

  async #create(Item) {
    try {
      await this.#client.send(
        new PutCommand({ TableName: this.#table, Item, ConditionExpression: "attribute_not_exists(pk)" }),
      );
      return Outcome.DONE;
    } catch (error) {
      if (error.name !== "ConditionalCheckFailedException") throw error;
      return Outcome.EXISTS;
    }
  }

  // All sessions of a user, by ID. The read is consistent: it has each session that was created before.
  async #sessionsOf(user) {
    const sessions = [];
    let start;
    do {
      const page = await this.#client.send(
        new QueryCommand({
          TableName: this.#table,
          KeyConditionExpression: "pk = :user AND begins_with(sk, :session)",
          ExpressionAttributeValues: { ":user": `USER#${id(user)}`, ":session": "SESSION#" },
          ConsistentRead: true,
          ExclusiveStartKey: start,
        }),
      );
      sessions.push(...page.Items);
      start = page.LastEvaluatedKey;
    } while (start);
    return sessions;
  }

  #session(user, session, expiresAt, attributes) {
    if (attributes.max_expires_at !== undefined) time(attributes.max_expires_at);
    const end = untilEnd(time(expiresAt), attributes);
    return {
      ...attributes,
      ...sessionKey(user, session),
      user_id: user,
      session_id: session,
      is_active: true,
      created_at: this.#now(),
      expires_at: end,
      due_key: this.#dueKey("deactivate"),
      due_at: end,
      ttl: end + this.#retention,
    };
  }

  #refreshToken(user, session, token, expiresAt) {
    return {
      ...refreshTokenKey(user, token),
      user_id: user,
      session_id: id(session),
      ...this.#tokenTimes(expiresAt),
    };
  }

  #tokenTimes(expiresAt) {
    const end = time(expiresAt);
    return { expires_at: end, due_key: this.#dueKey("delete"), due_at: end, ttl: end };
  }

  #dueKey(action, found) {
    // A record keeps its shard for life.
    return `${action}#${found?.due_key?.split("#")[1] || String(randomInt(this.#shards)).padStart(2, "0")}`;
  }
}

function sessionKey(user, session) {
  return { pk: `USER#${id(user)}`, sk: `SESSION#${id(session)}` };
}

function sessionOf(item) {
  return item.sk.slice("SESSION#".length);
}

function refreshTokenKey(user, token) {
  return { pk: `USER#${id(user)}`, sk: `REFRESH#${sha256(token)}` };
}

function sha256(token) {
  return createHash("sha256").update(token).digest("hex");
}

// The token that replaces a used one. All uses of a token get the same one, and none can be calculated without the salt.
function replacement(used, salt) {
  return createHmac("sha256", used).update(salt).digest("hex");
}

function randomHex(bytes) {
  return randomBytes(bytes).toString("hex");
}

// The values of the condition LIVE.
function live(now, expiresAt) {
  return { ":true": true, ":now": now, ":expires_at": expiresAt, ":number": "N" };
}

function isLive(record, now) {
  return record.is_active === true && storedTime(record.expires_at) > now;
}

function untilEnd(expiresAt, record) {
  const end = record.max_expires_at;
  return typeof end === "number" ? Math.min(expiresAt, Math.floor(end)) : expiresAt;
}

function id(text) {
  const characters = [...text].length;
  const isValid = characters >= 1 && characters <= 256 && Buffer.byteLength(text) <= 1000 && text.isWellFormed();
  if (!isValid || /\p{Cc}/u.test(text)) {
    throw new RangeError("an id has 1 to 256 characters in at most 1000 bytes, and no control characters");
  }
  return text;
}

function time(seconds) {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > LAST_TIME) {
    throw new RangeError("a time is a whole number of epoch seconds");
  }
  return seconds;
}

function storedTime(value) {
  return typeof value === "number" && value >= 0 && value <= LAST_TIME ? Math.ceil(value) : undefined;
}
