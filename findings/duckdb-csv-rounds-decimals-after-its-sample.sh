#!/usr/bin/env bash
# DuckDB 2.0.1 rounds decimals of a CSV file without a word, where the rows that it types a column by hold whole numbers.
#
# A column is typed by the first 20,480 rows. A text further down stops the query with a conversion error that names the
# line. A decimal further down does not: it is rounded to the whole number that the column was taken for, and the sum of
# 59,000 × 360 and 1,000 × 104.975 is 21,345,000 in place of 21,344,975.
# `sample_size = -1` or `all_varchar = true` reads the file right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import duckdb

def write(name, last):
    with open(name, "w") as file:
        file.write("id,money\n")
        file.writelines(f"{row},{'360' if row < 59_000 else last}\n" for row in range(60_000))

write("decimals.csv", "104.975")
write("texts.csv", "none of it")
guessed = duckdb.sql("SELECT DISTINCT typeof(money), sum(money) OVER () FROM 'decimals.csv'").fetchall()
print("decimals after the sample:", guessed)
assert guessed == [("BIGINT", 21_345_000)], "DuckDB no longer rounds"
[(whole,)] = duckdb.sql("SELECT sum(money) FROM read_csv('decimals.csv', sample_size = -1)").fetchall()
print("the same, typed by all rows:", whole)
assert round(whole, 3) == 21_344_975
try:
    duckdb.sql("SELECT sum(money) FROM 'texts.csv'").fetchall()
except duckdb.ConversionException as error:
    print("a text after the sample:", str(error).splitlines()[0])
else:
    raise AssertionError("DuckDB no longer complains of a text")
PYTHON
