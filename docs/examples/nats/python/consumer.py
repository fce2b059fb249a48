"""Reads an organization's events from the broker and goes on where it was when it is started again.

    pip install nats-py
    NATS_URL=… NATS_USER=… NATS_PASSWORD=… NATS_STREAM=… NATS_CONSUMER=… python consumer.py

STOP_AFTER=n ends it after n events.
"""

import asyncio
import json
import os

import nats
from nats.errors import TimeoutError


async def main() -> None:
    env = os.environ
    stop_after = int(env.get("STOP_AFTER", "0"))
    connection = await nats.connect(
        servers=env["NATS_URL"].split(","),
        user=env["NATS_USER"],
        password=env["NATS_PASSWORD"],
        # Answers to any other inbox are not let through.
        inbox_prefix=f"_INBOX_{env['NATS_USER'].replace('-', '')}",
        max_reconnect_attempts=-1,
    )
    jetstream = connection.jetstream(domain="DEVSIGNAL")
    consumer = await jetstream.pull_subscribe_bind(consumer=env["NATS_CONSUMER"], stream=env["NATS_STREAM"])
    count = 0
    while not stop_after or count < stop_after:
        # No more than will be handled: what is in hand when a reader ends comes again half a minute later.
        wanted = min(stop_after - count, 100) if stop_after else 100
        try:
            events = await consumer.fetch(batch=wanted, timeout=5)
        except TimeoutError:
            continue
        for event in events:
            # Store the id together with what the event leads to: an event may come twice, always with the same id.
            headers = event.headers or {}
            told = {"id": headers.get("ce-id"), "type": headers.get("ce-type"), "time": headers.get("ce-time")}
            print(json.dumps({**told, "bytes": len(event.data)}), flush=True)
            await event.ack()
            count += 1
    # The last acknowledgements are on their way.
    await connection.flush()
    await connection.close()


asyncio.run(main())
