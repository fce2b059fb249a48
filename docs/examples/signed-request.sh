#!/usr/bin/env bash
# A signed request, with curl and openssl.
#   BASE=… KEY_ID=<id of the key> SIGNING_SECRET=dss_… ./signed-request.sh GET /api/v1/accounts
#   … ./signed-request.sh POST /api/v1/accounts '{"name": "Acme"}'
set -euo pipefail
method=${1:-GET} path=${2:-/api/v1/accounts} body=${3:-}

timestamp=$(date +%s)
nonce=$(openssl rand -hex 16) # new for every try
hash=$(printf '%s' "$body" | openssl dgst -sha256 -r | cut -d' ' -f1)
text=$(printf '%s\n' DevSignal-HMAC-SHA256 "$KEY_ID" "$timestamp" "$nonce" "$method" "$path" "$hash")
signature=$(printf '%s' "$text" | openssl dgst -sha256 -hmac "$SIGNING_SECRET" -r | cut -d' ' -f1)

set -- --header "Authorization: DevSignal-HMAC-SHA256 key=$KEY_ID, timestamp=$timestamp, nonce=$nonce, body=$hash, signature=$signature"
[ -z "$body" ] || set -- "$@" --header 'Content-Type: application/json' --data-binary "$body"
answer=$(curl --silent --show-error --globoff --request "$method" "$@" --write-out '\n%{http_code}' "$BASE$path")
printf '%s %s\n' "${answer##*$'\n'}" "${answer%$'\n'*}"
