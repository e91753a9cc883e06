#!/usr/bin/env bash
# standardwebhooks (the official libraries), npm 1.1.1 beside PyPI 1.1.0: a webhook secret in URL-safe base64.
#
# The same 32 bytes are written as a secret in three forms: standard base64, the same without padding, and the URL-safe
# alphabet (`-` and `_` for `+` and `/`). Each library signs one message with each form.
#
# Seen: both agree on the first two. On the third the JavaScript library raises "Base64Coder: incorrect characters for
# decoding". The Python library raises nothing: it drops the `-`, keeps the rest, and signs with other bytes than the
# ones that were meant. A receiver in Python that was given such a secret refuses every delivery as forged, although
# secret and message are right, and nothing says why.
#
# So a sender should only hand out secrets in standard base64 with padding.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check standardwebhooks==1.1.0
npm init --yes >/dev/null
npm install --no-audit --no-fund --loglevel=error standardwebhooks@1.1.1

# 32 bytes whose standard form contains a `+`.
standard=$(printf 'x' | openssl dgst -sha256 -binary | base64)
unpadded=${standard%=}
urlsafe=$(tr '+/' '-_' <<<"$unpadded")
[ "$standard" != "$urlsafe=" ]

cat >sign.js <<'JS'
const { Webhook } = require("standardwebhooks");
try {
  console.log(new Webhook(process.argv[2]).sign("msg_1", new Date(1700000000000), "{}"));
} catch (error) {
  console.log(`raised: ${error.message}`);
}
JS
cat >sign.py <<'PY'
import sys
from datetime import datetime, timezone
from standardwebhooks.webhooks import Webhook
try:
    print(Webhook(sys.argv[1]).sign("msg_1", datetime.fromtimestamp(1700000000, timezone.utc), "{}"))
except Exception as error:
    print(f"raised: {type(error).__name__}: {error}")
PY
# What the bytes themselves sign, without either library.
key=$(base64 --decode <<<"$standard" | od -An -v -tx1 | tr -d ' \n')
meant="v1,$(printf 'msg_1.1700000000.{}' | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)"

for form in standard unpadded urlsafe; do
    printf '%-9s javascript %s\n' "$form" "$(node sign.js "whsec_${!form}")"
    printf '%-9s python     %s\n' "$form" "$(python/bin/python sign.py "whsec_${!form}")"
done | tee seen

expect() { grep -qxF -- "$1" seen || { echo "changed: expected: $1" >&2; exit 1; }; }
expect "standard  javascript $meant"
expect "standard  python     $meant"
expect "unpadded  javascript $meant"
expect "unpadded  python     $meant"
expect "urlsafe   javascript raised: Base64Coder: incorrect characters for decoding"
other=$(sed -n 's/^urlsafe   python     //p' seen)
case "$other" in
"$meant") echo "changed: Python now signs the URL-safe form with the bytes that were meant" >&2; exit 1 ;;
v1,*) echo "as stated: Python signs the URL-safe form with another key, silently" ;;
*) echo "changed: Python now says: $other" >&2; exit 1 ;;
esac
