// A signed request, with nothing but Node (18 or newer).
//   BASE=… KEY_ID=<id of the key> SIGNING_SECRET=dss_… node signed-request.mjs GET /api/v1/accounts
//   … node signed-request.mjs POST /api/v1/accounts '{"name": "Acme"}'
import { createHash, createHmac, randomUUID } from "node:crypto";

const { BASE, KEY_ID, SIGNING_SECRET } = process.env;
const [method = "GET", path = "/api/v1/accounts", body = ""] = process.argv.slice(2);

const timestamp = Math.floor(Date.now() / 1000);
const nonce = randomUUID(); // new for every try
const hash = createHash("sha256").update(body).digest("hex");
const text = ["DevSignal-HMAC-SHA256", KEY_ID, timestamp, nonce, method, path, hash].join("\n");
const signature = createHmac("sha256", SIGNING_SECRET).update(text).digest("hex");

const answer = await fetch(BASE + path, {
  method,
  headers: {
    Authorization:
      `DevSignal-HMAC-SHA256 key=${KEY_ID}, timestamp=${timestamp}, nonce=${nonce}, body=${hash}, signature=${signature}`,
    ...(body ? { "Content-Type": "application/json" } : {}),
  },
  body: body || undefined,
});
console.log(answer.status, await answer.text());
