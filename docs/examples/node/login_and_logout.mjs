// From a login to a sign-out, in the table TABLE_NAME, at the endpoint AWS_ENDPOINT_URL_DYNAMODB.

import { randomBytes, randomUUID } from "node:crypto";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { Outcome, Sessions } from "./sessions.mjs";

const HOUR = 3_600;
const DAY = 24 * HOUR;

const client = DynamoDBDocumentClient.from(new DynamoDBClient());
const sessions = new Sessions(client, process.env.TABLE_NAME ?? "sessions");
const now = Math.floor(Date.now() / 1000);
const [user, session] = ["ann", randomUUID()];

let ends = now + 8 * HOUR;
expect(await sessions.login(user, session, ends, { ip_address: "192.0.2.7" }), Outcome.DONE);
const refreshToken = randomBytes(32).toString("base64url");
expect(await sessions.addRefreshToken(user, session, refreshToken, now + 30 * DAY), Outcome.DONE);
const claims = sessions.accessTokenClaims(user, session, ends, "https://id.example", "my-api", "orders:read");
console.log("logged in: the session is stored, and the refresh token's hash");

// Rotate the token first, so that it is used only once. Then sign a new access token.
ends = now + 16 * HOUR;
const newToken = randomBytes(32).toString("base64url");
expect(await sessions.rotateRefreshToken(user, session, refreshToken, newToken, now + 30 * DAY), Outcome.DONE);
expect(await sessions.refresh(user, session, ends), Outcome.DONE);
console.log("refreshed: the session ends eight hours later, the refresh token is a new one");

const again = randomBytes(32).toString("base64url");
expect(await sessions.rotateRefreshToken(user, session, refreshToken, again, now + 30 * DAY), Outcome.NOT_FOUND);
console.log("refused: the old refresh token is not taken a second time");

// If the session should continue without this token.
expect(await sessions.blacklist(user, claims.jti, claims.exp), Outcome.DONE);
console.log("blacklisted an access token, until its own end");

expect(await sessions.logout(user, session), Outcome.DONE);
expect(await sessions.refresh(user, session, now + DAY), Outcome.ENDED);
expect(await sessions.rotateRefreshToken(user, session, newToken, again, now + 30 * DAY), Outcome.ENDED);
console.log("logged out: the session is inactive for good");

function expect(outcome, expected) {
  if (outcome !== expected) throw new Error(`${outcome}, where ${expected} was expected`);
}
