// Verifies deliveries, one JSON object per line, with the reference implementation in JavaScript.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { Webhook } = createRequire(process.cwd() + "/")("standardwebhooks");

let count = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  const webhook = new Webhook(given.secret);
  webhook.verify(given.body, given.headers);
  let refused = false;
  try {
    webhook.verify(given.body + " ", given.headers);
  } catch {
    refused = true;
  }
  if (!refused) throw new Error("a changed body was verified");
  count += 1;
}
console.log(count);
