"""A tracker that waits or fails in the middle of a report, as it is asked to.

It speaks as much of Affise as a pull of one day needs. The strict simulator of Affise, which holds
requests against the vendor's reference, is in tests/support; this one is about time and size.
"""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
ROWS_OF_PAGE = 500


class Tracker:
    """A network with so many rows of statistics, each of which is as `row_of` says of its number."""

    def __init__(self, rows, row_of):
        self.rows = rows
        self.row_of = row_of
        self.fails_at = None
        self.waits_at = None
        self.goes_on = threading.Event()
        self.calls = 0
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                status, body = tracker.answer(urllib.parse.urlsplit(self.path))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def pages(self):
        return -(-self.rows // ROWS_OF_PAGE)

    def connection(self, name):
        """The body of a connection to it."""
        return {
            "name": name,
            "platform": "affise",
            "connection_type": "admin",
            "settings": {"base_url": self.url, "currency": "USD"},
            "credentials": {"api_key": KEY},
        }

    def reset(self):
        """Everything is answered, at once."""
        self.fails_at = self.waits_at = None
        self.goes_on = threading.Event()
        self.calls = 0

    def answer(self, url):
        self.calls += 1
        match url.path:
            case "/3.1/user/me":
                return 200, {"status": 1, "user": {"id": "65aa00112233445566778899", "type": "common_manager"}}
            case "/3.0/admin/currency_extended" | "/3.0/admin/currency":
                return 200, {"status": 1, "quotes": [{"code": "USD", "default": True, "active": True, "rate": 1}]}
            case "/3.0/stats/custom":
                return self.report(urllib.parse.parse_qs(url.query))
            case _:
                return 404, {"status": 2, "message": "Resource Not Found"}

    def report(self, asked):
        page, limit = int(asked["page"][0]), int(asked["limit"][0])
        if limit < ROWS_OF_PAGE:
            return 200, _page([], 1, limit, 0)
        if self.waits_at is not None and page >= self.waits_at:
            self.goes_on.wait(60)
        if self.fails_at is not None and page >= self.fails_at:
            return 200, b'{"status": 1, "stats": ['
        year, month, day = map(int, asked["filter[date_from]"][0].split("-"))
        time = {"year": year, "month": month, "day": day}
        numbers = range((page - 1) * ROWS_OF_PAGE, min(page * ROWS_OF_PAGE, self.rows))
        rows = [self.row_of(number) for number in numbers]
        return 200, _page([row | {"slice": row["slice"] | time} for row in rows], page, ROWS_OF_PAGE, self.rows)

    def stop(self):
        self.goes_on.set()
        self.server.shutdown()
        self.server.server_close()


def _page(rows, page, size, total):
    pagination = {"per_page": size, "total_count": total, "page": page}
    if page * size < total:
        pagination["next_page"] = page + 1
    return {"status": 1, "stats": rows, "pagination": pagination}
