#!/usr/bin/env bash
# The contract, held against a running service: the document is linted, its types are compiled with what they must allow
# and refuse, the snippets of docs/service-to-service.md are run as they stand there, generated clients and tools are
# built and run, libraries of forms draw the catalogue, and schemathesis tries every operation. Everything is built and
# kept in target/contract. OpenAPI Generator is left out: it needs a download of its own.
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/target/contract"
page="$root/docs/service-to-service.md"
cd "$root"

main() {
    mkdir -p "$work"
    install_tools
    step "lint" "$work/node_modules/.bin/redocly" lint --config "$here/redocly.yaml" openapi/openapi.json
    step "types" compile_types
    # With the examples: the service alone has other features, and all it depends on would be built once more.
    cargo build --quiet --locked --bins --examples
    export PATH="$root/target/debug:$PATH"
    start_service
    trap stop_service EXIT
    step "curl snippets" run_curl
    step "TypeScript snippet" node "$work/typescript/built/snippet.js"
    step "Rust snippet" run_rust
    step "generated TypeScript clients" run_typescript_clients
    step "generated Python client" run_python_client
    step "generated tools" "$work/clients-venv/bin/python" "$here/clients/tools.py" openapi/openapi.json
    step "forms" run_forms
    step "schemathesis" run_schemathesis
}

step() {
    local started=$SECONDS name=$1
    shift
    "$@" || fail "$name: failed"
    echo "contract: $name passed in $((SECONDS - started)) s"
}

# Node from the system where it is recent enough for the linter, else of a fixed version; both tool sets as pinned here.
install_tools() {
    if ! is_recent_node; then
        npm install --silent --no-audit --no-fund --no-save --prefix "$work/node" node@22.23.3
        export PATH="$work/node/node_modules/.bin:$PATH"
    fi
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    if ! cmp --silent "$here/package-lock.json" "$work/node_modules/.installed"; then
        (cd "$work" && npm ci --silent --no-audit --no-fund)
        cp "$here/package-lock.json" "$work/node_modules/.installed"
    fi
    install_python "$here/requirements.txt" "$work/venv"
    install_python "$here/clients/requirements.txt" "$work/clients-venv"
}

install_python() {
    cmp --silent "$1" "$2/installed.txt" && return
    python3 -m venv --clear "$2"
    "$2/bin/pip" install --quiet --disable-pip-version-check --requirement "$1"
    cp "$1" "$2/installed.txt"
}

# What the generators demand; on an older one npm would install older generators.
is_recent_node() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 18) ? 0 : 1)'
}

compile_types() {
    local typescript="$work/typescript"
    rm -rf "$typescript"
    mkdir -p "$typescript/src"
    cp "$here/tsconfig.json" "$here/package.json" "$typescript/"
    cp "$here/types.ts" "$typescript/src/"
    snippet ts "$typescript/src/snippet.ts"
    "$work/node_modules/.bin/openapi-typescript" openapi/openapi.json --output "$typescript/src/api.d.ts"
    "$work/node_modules/.bin/tsc" --project "$typescript"
}

# All blocks of a language, one after the other, as they stand on the page. None at all would pass in silence.
snippet() {
    awk -v start="\`\`\`$1" '$0 == start { inside = 1; next } $0 == "```" { inside = 0 } inside' "$page" >"$2"
    [ -s "$2" ] || fail "$page has no block of $1"
}

run_curl() {
    snippet sh "$work/snippet.sh"
    bash -euo pipefail "$work/snippet.sh"
}

# So would a filter that matches nothing.
run_rust() {
    cargo test --quiet --locked --doc -- --ignored ServiceToService | tee "$work/rust.log" || return
    grep -q '^test result: ok\. 1 passed' "$work/rust.log" || fail "the Rust of $page was not run"
}

# The clients of @hey-api/openapi-ts and orval, and openapi-fetch with its defaults: compiled strictly, then run.
run_typescript_clients() {
    local clients="$work/clients"
    rm -rf "$clients"
    mkdir -p "$clients/src"
    cp "$here/package.json" "$here/clients/tsconfig.json" "$here/clients/"*.mjs "$clients/"
    cp "$here/clients/"*.ts "$work/typescript/src/api.d.ts" "$clients/src/"
    cp openapi/openapi.json "$work/openapi.json"
    (cd "$clients" && ../node_modules/.bin/openapi-ts && ../node_modules/.bin/orval --config orval.config.mjs) >"$work/clients.log"
    "$work/node_modules/.bin/tsc" --project "$clients"
    local client
    for client in hey orval fetch; do
        node "$clients/built/$client.js"
    done
}

# That of openapi-python-client, which must lose nothing of the document but the forms that are no JSON.
run_python_client() {
    local folder="$work/python-client"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$here/clients/client.py" "$folder/"
    "$work/clients-venv/bin/openapi-python-client" generate --path openapi/openapi.json --meta none \
        --output-path "$folder/affzero" >"$folder/generated.log" 2>&1
    ! grep --after-context=3 'Cannot parse response' "$folder/generated.log" || return
    (cd "$folder" && "$work/clients-venv/bin/mypy" --strict client.py && "$work/clients-venv/bin/python" client.py)
}

run_forms() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $AFFZERO_TOKEN" \
        --header "X-Org-Id: contract" --output "$work/catalogue.json" "$AFFZERO_URL/api/v1/platforms"
    # Modules are looked for beside the file that names them.
    cp "$here/forms/forms.test.js" "$work/"
    CATALOGUE="$work/catalogue.json" node --test --test-reporter=dot "$work/forms.test.js"
}

# A service of its own: a port that is free, an empty database, and no gateway that answers.
start_service() {
    folder=$(mktemp -d)
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    export AFFZERO_URL="http://127.0.0.1:$port"
    local nowhere=https://127.0.0.1:9 secret
    secret=$(head -c 48 /dev/urandom | base64 -w 0)
    export AUTH_JWT_SECRET=$secret DATABASE_URL="sqlite://$folder/affzero.db" BIND_ADDR="127.0.0.1:$port"
    CREDENTIALS_KEYS="k1:$(head -c 32 /dev/urandom | base64 -w 0)" \
        RATE_LIMIT_VERIFY_FAILURES=0 RATE_LIMIT_AUTH_FAILURES=0 RUST_LOG=warn \
        VOLUUM_BASE_URL=$nowhere EVERFLOW_BASE_URL=$nowhere EVERFLOW_EU_BASE_URL=$nowhere TUNE_BASE_URL=$nowhere \
        affzero-connections serve >"$work/service.log" 2>&1 &
    service=$!
    local attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        curl --silent --fail --output /dev/null "$AFFZERO_URL/readyz" && break
        kill -0 "$service" 2>/dev/null || fail "the service did not start: $(cat "$work/service.log")"
        sleep 0.1
    done
    local scopes="connections:read connections:write stats:read org:any" token
    token=$(affzero-connections token --org any --plan business --scope "$scopes")
    export AFFZERO_TOKEN=$token
}

stop_service() {
    kill "$service" 2>/dev/null || true
    wait "$service" 2>/dev/null || true
    rm -rf "$folder"
}

run_schemathesis() {
    local kept changed deleted
    kept=$(add_demo "Kept")
    changed=$(add_demo "Changed")
    deleted=$(add_demo "Deleted")
    (cd "$here" && AFFZERO_KEPT=$kept AFFZERO_CHANGED=$changed AFFZERO_DELETED=$deleted \
        AFFZERO_WEBHOOK_KEPT=$(add_webhook) AFFZERO_WEBHOOK_CHANGED=$(add_webhook) \
        AFFZERO_WEBHOOK_DELETED=$(add_webhook) PYTHONDONTWRITEBYTECODE=1 NO_COLOR=1 "$work/venv/bin/schemathesis" --config-file schemathesis.toml \
        run "$AFFZERO_URL/api-docs/openapi.json" --checks all)
}

# One whose receiver is nowhere.
add_webhook() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $AFFZERO_TOKEN" \
        --header "X-Org-Id: contract" --json '{"url": "https://hooks.invalid/affzero"}' \
        "$AFFZERO_URL/api/v1/webhooks" | jq --raw-output .id
}

add_demo() {
    curl --silent --show-error --fail-with-body --header "Authorization: Bearer $AFFZERO_TOKEN" \
        --header "X-Org-Id: contract" --header "X-Org-Plan: business" \
        --json "{\"name\": \"$1\", \"platform\": \"demo\"}" "$AFFZERO_URL/api/v1/connections" | jq --raw-output .id
}

fail() {
    echo "error: $*" >&2
    exit 1
}

main
