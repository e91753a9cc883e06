"""Reads all pages with dlt's REST source and writes the rows as NDJSON: base URL, key, rows of a page."""

import json
import sys
import time

from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator
from dlt.sources.rest_api import rest_api_source

base, key, size = sys.argv[1], sys.argv[2], int(sys.argv[3])


class Pages(PageNumberPaginator):
    """Affise says how many rows there are, not how many pages."""

    def update_state(self, response, data=None):
        about = response.json()["pagination"]
        self.current_value += 1
        self._has_next_page = "next_page" in about


source = rest_api_source(
    {
        "client": {"base_url": base, "headers": {"api-key": key}, "paginator": Pages(base_page=1, total_path=None, maximum_page=1 << 30)},
        "resources": [
            {
                "name": "statistics",
                "endpoint": {
                    "path": "/3.0/stats/custom",
                    "params": {"slice[]": ["affiliate", "offer"], "timezone": "UTC", "limit": size},
                    "data_selector": "stats",
                },
            }
        ],
    }
)
started = time.monotonic()
for row in source.resources["statistics"]:
    sys.stdout.write(json.dumps(row))
    sys.stdout.write("\n")
sys.stdout.flush()
print("seconds", time.monotonic() - started, file=sys.stderr)
