// Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB.

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
console.log("logged in: the session and the hash of its refresh token are stored");

// Rotate the token first, so that it is used only once. Then sign a new access token.
ends = now + 16 * HOUR;
const newToken = randomBytes(32).toString("base64url");
expect(await sessions.rotateRefreshToken(user, session, refreshToken, newToken, now + 30 * DAY), Outcome.DONE);
expect(await sessions.refresh(user, session, ends), Outcome.DONE);
console.log("refreshed: the session ends eight hours later, and has a new refresh token");

const again = randomBytes(32).toString("base64url");
expect(await sessions.rotateRefreshToken(user, session, refreshToken, again, now + 30 * DAY), Outcome.NOT_FOUND);
console.log("rejected: the old refresh token cannot be used a second time");

// Deny this one token while its session continues.
expect(await sessions.blacklist(user, claims.jti, claims.exp), Outcome.DONE);
console.log("blacklisted: the access token is denied until it expires");

expect(await sessions.logout(user, session), Outcome.DONE);
expect(await sessions.refresh(user, session, now + DAY), Outcome.ENDED);
expect(await sessions.rotateRefreshToken(user, session, newToken, again, now + 30 * DAY), Outcome.ENDED);
console.log("logged out: the session is inactive and stays inactive");

function expect(outcome, expected) {
  if (outcome !== expected) throw new Error(`the outcome is ${outcome}, but ${expected} was expected`);
}
