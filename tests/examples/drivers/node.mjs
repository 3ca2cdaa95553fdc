// Calls an example's functions: reads one call per line of JSON, and writes one result per line.

import { createInterface } from "node:readline";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";
import { Sessions } from "./sessions.mjs";

let at = null;
const client = DynamoDBDocumentClient.from(new DynamoDBClient());
const now = () => at ?? Math.floor(Date.now() / 1000);
const sessions = new Sessions(client, process.env.TABLE_NAME, { now });
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line);
  let answer;
  try {
    if (name === "at") {
      [at] = args;
      answer = { answer: "done" };
    } else {
      const method = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
      answer = { answer: await sessions[method](...args) };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    answer = { error: error.message };
  }
  console.log(JSON.stringify(answer));
}
