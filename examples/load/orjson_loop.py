"""Reads all pages in a loop by hand, with orjson, and writes the rows as NDJSON: base URL, key, rows of a page.

It does the least that such a loop can: money stays a binary float, nothing is added up, checked or looked at twice.
"""

import http.client
import sys
import time
from urllib.parse import urlsplit

import orjson

base, key, size = sys.argv[1], sys.argv[2], int(sys.argv[3])


def over(one, other):
    return round(one / other, 6) if other else None


started = time.process_time()
connection = http.client.HTTPConnection(urlsplit(base).netloc)
out = sys.stdout.buffer
page = 1
while page:
    path = f"/3.0/stats/custom?slice%5B%5D=affiliate&slice%5B%5D=offer&timezone=UTC&limit={size}&page={page}"
    connection.request("GET", path, headers={"api-key": key})
    answer = orjson.loads(connection.getresponse().read())
    for row in answer["stats"]:
        affiliate, offer, actions = row["slice"]["affiliate"], row["slice"]["offer"], row["actions"]
        confirmed, clicks, views = actions["confirmed"], int(row["traffic"]["raw"]), row["views"]
        conversions, revenue, payout = actions["total"]["count"], confirmed["charge"], confirmed["revenue"]
        written = {
            "affiliate": {"id": str(affiliate["id"]), "name": affiliate["title"]},
            "offer": {"id": str(offer["id"]), "name": offer["title"]},
            "impressions": views,
            "clicks": clicks,
            "unique_clicks": int(row["traffic"]["uniq"]),
            "conversions": conversions,
            "approved": confirmed["count"],
            "pending": actions["pending"]["count"],
            "rejected": actions["declined"]["count"],
            "hold": actions["hold"]["count"],
            "revenue": revenue,
            "payout": payout,
            "cost": None,
            "profit": revenue - payout,
            "cr": over(conversions, clicks),
            "epc": over(revenue, clicks),
            "ctr": over(clicks, views),
            "roi": None,
            "currency": "EUR",
        }
        out.write(orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE))
    page = answer["pagination"].get("next_page")
out.flush()
print("seconds", time.process_time() - started, file=sys.stderr)
