"""A signed request, with nothing but Python (3.8 or newer).

BASE=… KEY_ID=<id of the key> SIGNING_SECRET=dss_… python3 signed_request.py GET /api/v1/accounts
… python3 signed_request.py POST /api/v1/accounts '{"name": "Acme"}'
"""
import hashlib
import hmac
import os
import secrets
import sys
import time
import urllib.error
import urllib.request

base, key, secret = os.environ["BASE"], os.environ["KEY_ID"], os.environ["SIGNING_SECRET"]
method, path, body = (sys.argv[1:] + ["GET", "/api/v1/accounts", ""][len(sys.argv) - 1 :])[:3]

timestamp = int(time.time())
nonce = secrets.token_urlsafe(18)  # new for every try
digest = hashlib.sha256(body.encode()).hexdigest()
text = "\n".join(["DevSignal-HMAC-SHA256", key, str(timestamp), nonce, method, path, digest])
signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()

request = urllib.request.Request(base + path, method=method, data=body.encode() or None)
request.add_header(
    "Authorization",
    f"DevSignal-HMAC-SHA256 key={key}, timestamp={timestamp}, nonce={nonce}, body={digest}, signature={signature}",
)
if body:
    request.add_header("Content-Type", "application/json")
try:
    with urllib.request.urlopen(request) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
