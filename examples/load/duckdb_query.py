"""Reads all pages and has DuckDB, on one thread, write the rows as NDJSON: base URL, key, rows of a page.

DuckDB is given the types, so that it guesses nothing, and reads the pages from files.
"""

import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

base, key, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
block = "STRUCT(revenue DECIMAL(18, 4), charge DECIMAL(18, 4), count BIGINT)"
row = f"""STRUCT(
    slice STRUCT(affiliate STRUCT(id VARCHAR, title VARCHAR), offer STRUCT(id VARCHAR, title VARCHAR)),
    traffic STRUCT(raw BIGINT, uniq BIGINT),
    actions STRUCT(total {block}, confirmed {block}, pending {block}, declined {block}, hold {block}),
    views BIGINT)"""
question = f"""COPY (
    SELECT
        {{id: r.slice.affiliate.id, name: r.slice.affiliate.title}} AS affiliate,
        {{id: r.slice.offer.id, name: r.slice.offer.title}} AS offer,
        r.views AS impressions, r.traffic.raw AS clicks, r.traffic.uniq AS unique_clicks,
        r.actions.total.count AS conversions, r.actions.confirmed.count AS approved, r.actions.pending.count AS pending,
        r.actions.declined.count AS rejected, r.actions.hold.count AS hold,
        r.actions.confirmed.charge AS revenue, r.actions.confirmed.revenue AS payout, NULL AS cost,
        r.actions.confirmed.charge - r.actions.confirmed.revenue AS profit,
        round(r.actions.total.count / r.traffic.raw, 6) AS cr, round(r.actions.confirmed.charge / r.traffic.raw, 6) AS epc,
        round(r.traffic.raw / r.views, 6) AS ctr, NULL AS roi, 'EUR' AS currency
    FROM (SELECT unnest(stats) AS r FROM read_json('pages/*.json', format = 'unstructured', columns = {{stats: '{row}[]'}}))
) TO '/dev/stdout' (FORMAT json)"""

started = time.process_time()
connection = http.client.HTTPConnection(urlsplit(base).netloc)
pages = Path("pages")
pages.mkdir(exist_ok=True)
page = 1
while page:
    path = f"/3.0/stats/custom?slice%5B%5D=affiliate&slice%5B%5D=offer&timezone=UTC&limit={size}&page={page}"
    connection.request("GET", path, headers={"api-key": key})
    body = connection.getresponse().read()
    (pages / f"{page:06}.json").write_bytes(body)
    page = page + 1 if b'"next_page"' in body[-200:] else None
database = duckdb.connect(config={"threads": 1})
database.execute("SET preserve_insertion_order = true")
database.execute(question)
print("seconds", time.process_time() - started, file=sys.stderr)
