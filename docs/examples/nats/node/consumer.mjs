// Reads an organization's events from the broker and goes on where it was when it is started again.
//
//   npm install && NATS_URL=… NATS_USER=… NATS_PASSWORD=… NATS_STREAM=… NATS_CONSUMER=… node consumer.mjs
//
// STOP_AFTER=n ends it after n events.
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const env = process.env;
const stopAfter = Number(env.STOP_AFTER ?? Infinity);

const connection = await connect({
  servers: env.NATS_URL.split(","),
  user: env.NATS_USER,
  pass: env.NATS_PASSWORD,
  // Answers to any other inbox are not let through.
  inboxPrefix: `_INBOX_${env.NATS_USER.replaceAll("-", "")}`,
  maxReconnectAttempts: -1,
});
const consumer = await jetstream(connection, { domain: "DEVSIGNAL" }).consumers.get(env.NATS_STREAM, env.NATS_CONSUMER);

let left = stopAfter;
while (left > 0) {
  // No more than will be handled: what is in hand when a reader ends comes again half a minute later.
  const events = await consumer.fetch({ max_messages: Math.min(left, 100), expires: 5_000 });
  for await (const event of events) {
    // Store the id together with what the event leads to: an event may come twice, always with the same id.
    const header = (name) => event.headers?.get(name) ?? "";
    console.log(JSON.stringify({ id: header("ce-id"), type: header("ce-type"), time: header("ce-time"), bytes: event.data.length }));
    event.ack();
    left -= 1;
  }
}
await connection.drain();
