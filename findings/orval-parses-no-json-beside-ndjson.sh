#!/usr/bin/env bash
# orval 8.38.0, client "fetch": an operation that answers JSON, and NDJSON to those who ask for it, never parses JSON.
#
# The function returns `{ status, stream, headers }` with the Response itself, whatever media type came, while its type
# says that an answer of 200 with `application/json` has `data`. Code that compiles by that type finds `undefined`.
# Without NDJSON in the list of media types the same operation is parsed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund node@22.23.3 orval@8.38.0 typescript@5.9.3 >/dev/null
export PATH="$folder/node_modules/.bin:$PATH"
for kinds in '"application/json"' '"application/json" "application/x-ndjson"'; do
    content=$(for kind in $kinds; do echo "$kind: {\"schema\": {\"\$ref\": \"#/components/schemas/Table\"}},"; done)
    cat >document.json <<JSON
{ "openapi": "3.1.0", "info": { "title": "tables", "version": "1" },
  "paths": { "/table": { "get": { "operationId": "table",
    "responses": { "200": { "description": "a table", "content": { ${content%,} } } } } } },
  "components": { "schemas": { "Table": { "type": "object", "required": ["rows"],
    "properties": { "rows": { "type": "array", "items": { "type": "integer" } } } } } } }
JSON
    echo 'export default { t: { input: "document.json", output: { target: "api.ts", client: "fetch", baseUrl: "http://x" } } };' >orval.config.mjs
    orval --config orval.config.mjs >/dev/null
    cat >use.mts <<'TS'
import { table } from "./api.ts";
globalThis.fetch = async () => new Response('{"rows": [1, 2]}', { headers: { "content-type": "application/json" } });
const answer: any = await table();
console.log(answer.data === undefined ? "not parsed" : JSON.stringify(answer.data));
TS
    node --no-warnings --experimental-strip-types use.mts >>seen
done
paste -d '|' <(printf '%s\n' "JSON alone" "JSON or NDJSON") seen
grep -q 'data: Table' api.ts
diff seen <(printf '%s\n' '{"rows":[1,2]}' 'not parsed')
