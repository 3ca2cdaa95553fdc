// The writes of a login service for Session Cleanup: sessions, refresh tokens, blacklisted tokens.
//
// All times are whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error. Only `login`
// creates a session, and no function makes an inactive session active.

import { createHash, randomInt, randomUUID } from "node:crypto";
import { GetCommand, PutCommand, TransactWriteCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";

// The end of the year 9999. Current times in milliseconds are larger.
const LAST_TIME = 253_402_300_799;

export const Outcome = Object.freeze({
  DONE: "done",
  EXISTS: "exists", // A record with this key already exists. It is unchanged.
  ENDED: "ended", // The session is inactive or has expired. It never becomes live again.
  NOT_FOUND: "not found", // The user has no such session, or no such valid refresh token.
});

export class Sessions {
  #client;
  #table;
  #retention;
  #shards;
  #now;

  // `client` is a DynamoDBDocumentClient; `retentionDays` and `shards` are SessionRetentionDays and DueShards of the stack.
  constructor(client, table, { retentionDays = 30, shards = 16, now = () => Math.floor(Date.now() / 1000) } = {}) {
    this.#client = client;
    this.#table = table;
    this.#retention = retentionDays * 86_400;
    this.#shards = shards;
    this.#now = now;
  }

  // Opens a session, with additional attributes such as ip_address: DONE or EXISTS.
  // max_expires_at, if it is among them, is the session's absolute end: no refresh moves the expiry time past it.
  async login(user, session, expiresAt, attributes = {}) {
    if (attributes.max_expires_at !== undefined) time(attributes.max_expires_at);
    const end = untilEnd(time(expiresAt), attributes);
    return this.#create({
      ...attributes,
      ...sessionKey(user, session),
      user_id: user,
      session_id: session,
      is_active: true,
      created_at: this.#now(),
      expires_at: end,
      due_key: `deactivate#${this.#shard()}`,
      due_at: end,
      ttl: end + this.#retention,
    });
  }

  // Moves the expiry time of a live session, to its max_expires_at at most: DONE, ENDED or NOT_FOUND.
  async refresh(user, session, expiresAt) {
    const end = time(expiresAt);
    return this.#change(user, session, {
      action: "deactivate",
      update: "expires_at = :due_at",
      condition: "is_active = :true AND expires_at > :now",
      values: { ":now": this.#now(), ":true": true },
      dueAt: (found) => untilEnd(end, found),
      kept: this.#retention,
    });
  }

  // Deactivates a session because the user signed out: DONE, ENDED or NOT_FOUND.
  async logout(user, session) {
    return this.#close(user, session, "logout");
  }

  // Deactivates a session on behalf of someone else: DONE, ENDED or NOT_FOUND.
  async revoke(user, session) {
    return this.#close(user, session, "revoked");
  }

  // Stores the SHA-256 of a session's refresh token: DONE or EXISTS.
  async addRefreshToken(user, session, token, expiresAt) {
    return this.#create(this.#refreshToken(user, session, token, expiresAt));
  }

  // Replaces an old refresh token with a new one, in one transaction.
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
      expires_at: time(expiresAt),
      due_key: `delete#${this.#shard()}`,
      due_at: expiresAt,
      ttl: expiresAt,
    });
  }

  // Returns the claims of an access token, to be signed by a JWT library. It expires no later than its session.
  accessTokenClaims(user, session, sessionExpiresAt, issuer, audience, scope = "", seconds = 900) {
    return {
      iss: issuer,
      aud: audience,
      sub: id(user),
      sid: id(session),
      jti: randomUUID(),
      exp: Math.min(this.#now() + seconds, time(sessionExpiresAt)),
      scope,
    };
  }

  #close(user, session, reason) {
    const now = this.#now();
    return this.#change(user, session, {
      action: "delete",
      update: "is_active = :false, deactivated_at = :now, deactivation_reason = :reason",
      condition: "is_active = :true",
      values: { ":false": false, ":now": now, ":reason": reason, ":true": true },
      dueAt: () => now + this.#retention,
      kept: 0,
    });
  }

  async #change(user, session, { action, update, condition, values, dueAt, kept }) {
    const [TableName, Key] = [this.#table, sessionKey(user, session)];
    const { Item: found } = await this.#client.send(
      new GetCommand({ TableName, Key, ConsistentRead: true, ProjectionExpression: "pk, due_key, max_expires_at" }),
    );
    if (!found) return Outcome.NOT_FOUND;
    const due = dueAt(found);
    // A record keeps its shard for life.
    const shard = found.due_key?.split("#")[1] || this.#shard();
    const change = new UpdateCommand({
      TableName,
      Key,
      UpdateExpression: `SET ${update}, due_key = :due_key, due_at = :due_at, #ttl = :ttl`,
      ConditionExpression: condition,
      ExpressionAttributeNames: { "#ttl": "ttl" },
      ExpressionAttributeValues: { ...values, ":due_key": `${action}#${shard}`, ":due_at": due, ":ttl": due + kept },
    });
    return this.#unlessConditionFails(change, Outcome.ENDED);
  }

  async #create(Item) {
    const creation = new PutCommand({
      TableName: this.#table,
      Item,
      ConditionExpression: "attribute_not_exists(pk)",
    });
    return this.#unlessConditionFails(creation, Outcome.EXISTS);
  }

  async #unlessConditionFails(command, outcome) {
    try {
      await this.#client.send(command);
      return Outcome.DONE;
    } catch (error) {
      if (error.name !== "ConditionalCheckFailedException") throw error;
      return outcome;
    }
  }

  #refreshToken(user, session, token, expiresAt) {
    return {
      ...refreshTokenKey(user, token),
      user_id: user,
      session_id: id(session),
      expires_at: time(expiresAt),
      due_key: `delete#${this.#shard()}`,
      due_at: expiresAt,
      ttl: expiresAt,
    };
  }

  #shard() {
    return String(randomInt(this.#shards)).padStart(2, "0");
  }
}

function sessionKey(user, session) {
  return { pk: `USER#${id(user)}`, sk: `SESSION#${id(session)}` };
}

function refreshTokenKey(user, token) {
  return { pk: `USER#${id(user)}`, sk: `REFRESH#${createHash("sha256").update(token).digest("hex")}` };
}

function id(text) {
  const characters = [...text].length;
  const isValid = characters >= 1 && characters <= 256 && Buffer.byteLength(text) <= 1000 && text.isWellFormed();
  if (!isValid || /\p{Cc}/u.test(text)) {
    throw new RangeError("an id has 1 to 256 characters in at most 1000 bytes, and no control characters");
  }
  return text;
}

function untilEnd(expiresAt, record) {
  return Math.min(expiresAt, Math.floor(record.max_expires_at ?? expiresAt));
}

function time(seconds) {
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > LAST_TIME) {
    throw new RangeError("a time is a whole number of epoch seconds");
  }
  return seconds;
}
