"""Verifies deliveries, one JSON object per line, with the reference implementation in Python."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

count = 0
for line in sys.stdin:
    given = json.loads(line)
    webhook = Webhook(given["secret"])
    assert webhook.verify(given["body"], given["headers"]) == json.loads(given["body"])
    try:
        webhook.verify(given["body"] + " ", given["headers"])
        sys.exit("a changed body was verified")
    except WebhookVerificationError:
        count += 1
print(count)
