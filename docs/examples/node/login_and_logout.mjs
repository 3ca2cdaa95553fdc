// Runs from a login to a sign-out, with the table TABLE_NAME at the endpoint AWS_ENDPOINT_URL_DYNAMODB.

import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { Outcome, Sessions } from "session-cleanup";

const HOUR = 3_600;
const DAY = 24 * HOUR;

const client = DynamoDBDocumentClient.from(new DynamoDBClient());
const sessions = new Sessions(client, process.env.TABLE_NAME ?? "sessions");
const now = Math.floor(Date.now() / 1000);
const user = "ann";

const login = await sessions.login(user, now + 8 * HOUR, { ip_address: "192.0.2.7", max_expires_at: now + 30 * DAY });
const { session, refreshToken, expiresAt } = login;
const claims = sessions.accessTokenClaims(user, session, expiresAt, "https://id.example", "my-api", "orders:read");
console.log("logged in: the session is stored, with the hash of its refresh token");

const refreshed = await sessions.refresh(user, session, refreshToken, now + 16 * HOUR);
expect(refreshed.outcome, Outcome.DONE);
console.log("refreshed: the session ends eight hours later, and has a new refresh token");

// Another tab of the browser uses the same token at the same time.
const repeated = await sessions.refresh(user, session, refreshToken, now + 16 * HOUR);
expect(repeated.refreshToken, refreshed.refreshToken);
console.log("repeated: the used refresh token returned the same new one");

// Deny this one access token while its session continues.
expect(await sessions.blacklist(user, claims.jti, claims.exp), Outcome.DONE);
console.log("blacklisted: the access token is denied until it expires");

expect(await sessions.logout(user, session), Outcome.DONE);
const late = await sessions.refresh(user, session, refreshed.refreshToken, now + DAY);
expect(late.outcome, Outcome.ENDED);
console.log("logged out: the session is inactive and stays inactive");

function expect(found, expected) {
  if (found !== expected) throw new Error(`${expected} was expected, but not found`);
}
