#!/usr/bin/env bash
# A rolling upgrade from the first release to this one, under load. Builds that release once, in target/first-release.
# Needs the PostgreSQL of the tests in TEST_DATABASE_URL, and redis-server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=2e33e0b
program=$PWD/target/first-release/affzero-connections

: "${TEST_DATABASE_URL:?names the PostgreSQL of the tests}"
export TEST_REDIS_URL=${TEST_REDIS_URL:-redis://127.0.0.1:6379/15}
if [ ! -x "$program" ]; then
    sources=$(mktemp -d)
    trap 'rm -rf "$sources"' EXIT
    git archive "$release" | tar -x -C "$sources"
    # Most of what it is built of is there already.
    CARGO_TARGET_DIR=$PWD/target cargo build --quiet --locked --bins --manifest-path "$sources/Cargo.toml"
    install -D target/debug/affzero-connections "$program"
fi
FIRST_RELEASE=$program cargo test --locked --test it rolling_upgrade -- --ignored --nocapture
