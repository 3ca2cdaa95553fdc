// Calls an example's functions: reads one call per line of JSON, and writes one result per line.

import { createInterface } from "node:readline";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { Sessions } from "session-cleanup";

let at = null;
const client = DynamoDBDocumentClient.from(new DynamoDBClient());
const now = () => at ?? Math.floor(Date.now() / 1000);
const connect = (options) => new Sessions(client, process.env.TABLE_NAME, { now, ...options });
let sessions = connect();

async function perform(name, ...args) {
  if (name === "at") {
    [at] = args;
    return "done";
  }
  if (name === "grace") {
    sessions = connect({ graceSeconds: args[0] });
    return "done";
  }
  if (name === "at_once") {
    const [count, ...call] = args;
    return Promise.all(Array.from({ length: count }, () => perform(...call)));
  }
  const method = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return withSnakeCase(await sessions[method](...args));
}

function withSnakeCase(result) {
  if (typeof result !== "object" || Array.isArray(result)) return result;
  const name = (it) => it.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(result).map(([key, value]) => [name(key), value]));
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { answer: await perform(...JSON.parse(line)) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
