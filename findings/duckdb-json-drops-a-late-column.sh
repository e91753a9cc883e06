#!/usr/bin/env bash
# DuckDB 2.0.1 answers NULL for every value of a JSON key that is null in the first 20,480 records.
#
# The column gets the type "NULL", and the numbers that come later are dropped without an error, although
# `ignore_errors` is off.
# `sample_size = -1`, or `columns` with the types named, reads them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import json

import duckdb

with open("rows.ndjson", "w") as file:
    for row in range(30_000):
        file.write(json.dumps({"id": row, "late": row if row >= 20_480 else None}) + "\n")
guessed = duckdb.sql("SELECT DISTINCT typeof(late), count(late) OVER () FROM 'rows.ndjson'").fetchall()
print("by default:", guessed)
assert guessed == [('"NULL"', 0)], "DuckDB no longer drops the values"
strict = duckdb.sql("SELECT count(late) FROM read_json('rows.ndjson', ignore_errors = false)").fetchall()
print("with ignore_errors = false:", strict)
assert strict == [(0,)]
whole = duckdb.sql("SELECT count(late) FROM read_json('rows.ndjson', sample_size = -1)").fetchall()
print("typed by all records:", whole)
assert whole == [(9_520,)]
PYTHON
