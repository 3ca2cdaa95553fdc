// Lets session stores for Node write their items to the DynamoDB at the first argument, and stores the scans of their tables in this
// folder. The clock is fixed and the ids are chosen, so that each run writes the same items.
import { writeFileSync } from "node:fs";

const NOW = 1_800_000_000_000;
const DAY = 86_400_000;
const endpoint = process.argv[2];
process.env.AWS_ACCESS_KEY_ID = process.env.AWS_SECRET_ACCESS_KEY = "local";
process.env.AWS_REGION = "us-east-1";

let clock = NOW;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...parts) {
    super(...(parts.length === 0 ? [clock] : parts));
  }
  static now() {
    return clock;
  }
};
let uuids = 0;
globalThis.crypto.randomUUID = () => `00000000-0000-4000-8000-${String(++uuids).padStart(12, "0")}`;

const { CreateTableCommand, DynamoDBClient, ScanCommand } = await import("@aws-sdk/client-dynamodb");
const { DynamoDBDocument } = await import("@aws-sdk/lib-dynamodb");
const { default: express } = await import("express");
const { default: session } = await import("express-session");
const { default: passport } = await import("passport");
const { Strategy } = await import("passport-custom");
const client = new DynamoDBClient({ endpoint });

const createTable = (TableName, keys) =>
  client.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: keys.map((AttributeName) => ({ AttributeName, AttributeType: "S" })),
      KeySchema: keys.slice(0, 2).map((AttributeName, at) => ({ AttributeName, KeyType: ["HASH", "RANGE"][at] })),
      GlobalSecondaryIndexes: keys[2] && [
        {
          IndexName: "GSI1",
          KeySchema: keys.slice(2).map((AttributeName, at) => ({ AttributeName, KeyType: ["HASH", "RANGE"][at] })),
          Projection: { ProjectionType: "ALL" },
        },
      ],
    }),
  );

/** Stores a scan as `aws dynamodb scan` prints it, with one item per line. */
async function save(name, TableName) {
  const { Items } = await client.send(new ScanCommand({ TableName }));
  const sorted = (_, value) =>
    value?.constructor === Object ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
  const lines = Items.map((item) => JSON.stringify(item, sorted)).sort();
  const text = `{"Items": [\n${lines.join(",\n")}\n], "Count": ${lines.length}, "ScannedCount": ${lines.length}}\n`;
  writeFileSync(new URL(`${name}.json`, import.meta.url), text);
}

/** Logs users in to an application with `express-session` and Passport. */
async function expressSessions(store, prefix) {
  const app = express();
  let id;
  app.use(
    session({
      store,
      secret: "not a secret",
      resave: false,
      saveUninitialized: true,
      genid: () => id,
      cookie: { maxAge: DAY + 123 },
    }),
  );
  const strategy = new Strategy((request, done) => done(null, JSON.parse(request.query.user)));
  passport.use("any", strategy);
  passport.serializeUser((user, done) => done(null, user));
  passport.deserializeUser((user, done) => done(null, user));
  app.use(passport.session());
  app.get("/login", (request, response, next) =>
    passport.authenticate("any", { keepSessionInfo: true })(request, response, () => {
      request.session.cart = ["book"];
      request.session.save(next);
    }),
  );
  app.use((_, response) => response.end());
  const server = await new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  const visit = (path, at, name) => {
    clock = at;
    id = `${prefix}-${name}`;
    return fetch(`http://127.0.0.1:${server.address().port}${path}`);
  };
  const login = (user) => `/login?user=${encodeURIComponent(JSON.stringify(user))}`;
  await visit(login("ann"), NOW - DAY / 2, "ann");
  await visit(login("bob"), NOW - 2 * DAY, "bob");
  await visit(login(42), NOW - 1_000, "number");
  await visit("/", NOW - 60_000, "visitor");
  server.close();
  clock = NOW;
}

const { default: connect } = await import("connect-dynamodb");
const ConnectStore = connect({ session });
const connectStore = new ConnectStore({ client, table: "connect", hashKey: "id" });
await connectStore.initialize();
await expressSessions(connectStore, "c");
await save("connect-dynamodb", "connect");

const { default: OtherStore } = await import("dynamodb-store");
const otherStore = await new Promise((resolve, reject) => {
  const dynamoConfig = { endpoint, region: "us-east-1", accessKeyId: "local", secretAccessKey: "local" };
  const store = new OtherStore({ dynamoConfig, table: { name: "other" } }, (error) =>
    error ? reject(error) : resolve(store),
  );
});
await expressSessions(otherStore, "d");
await save("dynamodb-store", "other");

await createTable("next-auth", ["pk", "sk", "GSI1PK", "GSI1SK"]);
const { DynamoDBAdapter } = await import("@auth/dynamodb-adapter");
// The options of the adapter's documentation.
const marshallOptions = { convertEmptyValues: true, removeUndefinedValues: true, convertClassInstanceToMap: true };
const authjs = DynamoDBAdapter(DynamoDBDocument.from(client, { marshallOptions }));
uuids = 0;
const ann = await authjs.createUser({ name: "Ann", email: "ann@example.com", emailVerified: new Date(NOW - 30 * DAY) });
await authjs.linkAccount({ userId: ann.id, type: "oauth", provider: "github", providerAccountId: "1", access_token: "none" });
await authjs.createSession({ sessionToken: "a-live", userId: ann.id, expires: new Date(NOW + 30 * DAY + 123) });
await authjs.createSession({ sessionToken: "a-expired", userId: ann.id, expires: new Date(NOW - DAY) });
await authjs.createSession({ sessionToken: "a-refreshed", userId: ann.id, expires: new Date(NOW - DAY) });
await authjs.updateSession({ sessionToken: "a-refreshed", expires: new Date(NOW + DAY + 999) });
await authjs.createVerificationToken({ identifier: "ann@example.com", token: "none", expires: new Date(NOW + DAY) });
await save("authjs", "next-auth");

await createTable("shopify_sessions", ["id"]);
const { Session } = await import("@shopify/shopify-api");
const { DynamoDBSessionStorage } = await import("@shopify/shopify-app-session-storage-dynamodb");
const shopify = new DynamoDBSessionStorage({ config: { endpoint } });
const shop = "one.myshopify.com";
const online = (id, expires) =>
  new Session({
    id: `${shop}_${id}`,
    shop,
    state: "1234",
    isOnline: true,
    scope: "read_products",
    accessToken: "none",
    expires,
    onlineAccessInfo: {
      expires_in: 86_399,
      associated_user_scope: "read_products",
      associated_user: {
        id,
        first_name: "Ann",
        last_name: "Lee",
        email: "ann@example.com",
        locale: "en",
        account_owner: true,
        collaborator: false,
        email_verified: true,
      },
    },
  });
await shopify.storeSession(online(902541635, new Date(NOW + DAY + 500)));
await shopify.storeSession(online(902541636, new Date(NOW - DAY)));
const offline = { shop, state: "1234", isOnline: false, scope: "read_products", accessToken: "none" };
await shopify.storeSession(new Session({ ...offline, id: `offline_${shop}` }));
const refreshed = { refreshToken: "none", refreshTokenExpires: new Date(NOW + 90 * DAY), expires: new Date(NOW + 3_600_000) };
await shopify.storeSession(new Session({ ...offline, ...refreshed, id: "offline_two.myshopify.com", shop: "two.myshopify.com" }));
await save("shopify", "shopify_sessions");
process.exit();
