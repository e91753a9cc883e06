"""The service behind nginx, HAProxy and Caddy, each as deploy/ configures it. Nothing here is skipped."""

import contextlib
import gzip
import http.client
import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from tests.live.service import Service
from tests.live.tracker import Tracker
from tests.proxies.proxies import NAME, Caddy, Certificate, Haproxy, Nginx

LONGEST_TOKEN = 8 * 1024
NDJSON = "application/x-ndjson"
DAY = "from=2026-09-01&to=2026-09-01"
TABLE = f"group_by=date,hour,offer&{DAY}"
# Longer than a CSV that is complete before it leaves.
ROWS, NAME_LENGTH = 20_000, 600

# From which version on a proxy shows that an answer was cut off, by protocol; docs/operations.md has the same table.
SHOWS_CUTS = {
    ("nginx", "HTTP/1.1"): (1, 0, 0),
    ("nginx", "HTTP/2"): (1, 0, 0),
    ("HAProxy", "HTTP/1.1"): (2, 0, 0),
    ("HAProxy", "HTTP/2"): (3, 0, 0),
    ("Caddy", "HTTP/1.1"): (2, 11, 0),
    ("Caddy", "HTTP/2"): (2, 11, 0),
}


def long_row(number):
    """A row that takes more than its name."""
    offer = {"id": number, "title": f"Offer {number} ".ljust(NAME_LENGTH, "x")}
    return {
        "slice": {"hour": number % 24, "offer": offer},
        "traffic": {"raw": "10", "uniq": "9"},
        "actions": {"confirmed": {"count": 1, "charge": 0.1234, "revenue": 0.1, "earning": 0.0234}},
    }


class Behind(http.client.HTTPSConnection):
    """A caller's connection to a proxy, by the name in its configuration."""

    def __init__(self, proxy, certificate):
        context = ssl.create_default_context(cafile=certificate.chain)
        super().__init__(NAME, proxy.port, context=context, timeout=30)
        self._context = context

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._context.wrap_socket(plain, server_hostname=NAME)


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        data = response.read()
        self.was_packed = response.headers["Content-Encoding"] == "gzip"
        self.text = (gzip.decompress(data) if self.was_packed else data).decode()

    def json(self):
        return json.loads(self.text)


class Stage:
    """What all tests share: the service, a tracker, and a connection to each kind of numbers."""


def setUpModule():
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    Stage.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="proxies-")))
    Stage.certificate = Certificate(Stage.folder)
    Stage.tracker = Tracker(ROWS, long_row)
    stack.callback(Stage.tracker.stop)
    Stage.service = Service()
    stack.callback(Stage.service.stop)


class Sentences:
    @classmethod
    def setUpClass(cls):
        cls.service, cls.tracker, cls.certificate = Stage.service, Stage.tracker, Stage.certificate
        cls.proxy = cls.kind(Stage.folder, Stage.certificate, Stage.service)
        cls.addClassCleanup(cls.proxy.stop)
        cls.demo = cls.service.create({"name": f"Demo behind {cls.proxy.name}", "platform": "demo"})
        cls.connection = cls.service.create(cls.tracker.connection(f"Tracker behind {cls.proxy.name}"))
        cls.stats = f"/api/v1/connections/{cls.connection}/stats?{TABLE}"

    def setUp(self):
        self.tracker.reset()
        self.caller = Behind(self.proxy, self.certificate)
        self.addCleanup(self.caller.close)

    def send(self, method, path, headers=None, body=None):
        """Asks as browsers do: with gzip."""
        sent = {"Authorization": f"Bearer {self.service.token}", "Accept-Encoding": "gzip"} | (headers or {})
        data = None if body is None else json.dumps(body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        self.caller.request(method, path, data, sent)
        return self.caller.getresponse()

    def ask(self, *asked, **more):
        return Answer(self.send(*asked, **more))

    def over_http_2(self, path, accept):
        """The same with curl, over HTTP/2."""
        command = ["curl", "--silent", "--no-buffer", "--http2", "--compressed", "--max-time", "60"]
        command += ["--cacert", self.certificate.chain, "--resolve", f"{NAME}:{self.proxy.port}:127.0.0.1"]
        command += ["--header", f"Authorization: Bearer {self.service.token}", "--header", f"Accept: {accept}"]
        return subprocess.Popen([*command, f"https://{NAME}:{self.proxy.port}{path}"], stdout=subprocess.PIPE)

    def test_rows_of_a_stream_arrive_while_the_tracker_is_still_at_it(self):
        self.tracker.waits_at = 2
        response = self.send("GET", self.stats, {"Accept": NDJSON})
        self.assertEqual(response.status, 200)
        self.assertIn("offer", json.loads(response.readline()))
        # Only now does the tracker say the rest.
        self.tracker.goes_on.set()
        last = response.read().splitlines()[-1]
        self.assertEqual(json.loads(last)["summary"]["row_count"], self.tracker.rows)

    def test_rows_of_a_stream_arrive_so_over_http_2_too(self):
        self.tracker.waits_at = 2
        with self.over_http_2(self.stats, NDJSON) as curl:
            self.assertIn("offer", json.loads(curl.stdout.readline()))
            self.tracker.goes_on.set()
            last = curl.stdout.read().splitlines()[-1]
        self.assertEqual((json.loads(last)["summary"]["row_count"], curl.returncode), (self.tracker.rows, 0))

    def test_a_stream_of_lines_that_fails_says_so_in_its_last_line(self):
        self.tracker.fails_at = 3
        lines, _ = read_to_end(self.send("GET", self.stats, {"Accept": NDJSON}))
        with self.over_http_2(self.stats, NDJSON) as curl:
            for text in (lines, curl.stdout.read().decode()):
                problem = json.loads(text.splitlines()[-1])["problem"]
                self.assertEqual(problem["code"], "upstream_protocol_error")

    def test_a_long_file_that_is_cut_off_shows_it_from_the_versions_on_that_the_documents_name(self):
        self.tracker.fails_at = self.tracker.pages - 1
        for protocol in ("HTTP/1.1", "HTTP/2"):
            with self.subTest(protocol=protocol):
                if protocol == "HTTP/2":
                    with self.over_http_2(self.stats, "text/csv") as curl:
                        text = curl.stdout.read()
                    is_whole = curl.returncode == 0
                else:
                    text, is_whole = read_to_end(self.send("GET", self.stats, {"Accept": "text/csv"}))
                self.assertGreater(len(text), 8 << 20)
                if self.proxy.version >= SHOWS_CUTS[self.proxy.name, protocol]:
                    self.assertFalse(is_whole, "a part of the file looks whole")

    def test_a_tag_comes_back_as_304_however_the_proxy_wrote_it(self):
        path = f"/api/v1/connections/{self.demo}/stats?group_by=affiliate,date&preset=last_30_days&limit=1000"
        first = self.ask("GET", path)
        self.assertEqual(first.status, 200)
        self.assertTrue(first.was_packed, "long JSON is compressed")
        again = self.ask("GET", path, {"If-None-Match": first.headers["ETag"]})
        self.assertEqual((again.status, again.text), (304, ""))
        # The connection is in order after an answer without a body.
        self.assertEqual(self.ask("GET", path).json()["rows"], first.json()["rows"])

    def test_an_edit_is_made_for_the_version_that_was_read_and_for_no_other(self):
        path = f"/api/v1/connections/{self.demo}"
        first = self.ask("GET", path).headers["ETag"]
        # As it came, and as other proxies write tags.
        for number, form in enumerate(("{}", 'W/"{}"', '"{}-gzip"', 'W/"{}-br"')):
            tag = self.ask("GET", path).headers["ETag"]
            sent = tag if form == "{}" else form.format(tag.removeprefix("W/").strip('"'))
            done = self.ask("PATCH", path, {"If-Match": sent}, body={"name": f"{self.proxy.name} {number}"})
            self.assertEqual(done.status, 200, f"{sent}: {done.text}")
        refused = self.ask("PATCH", path, {"If-Match": first}, body={"name": "Late"})
        self.assertEqual((refused.status, refused.json()["code"]), (412, "version_conflict"))

    def test_problems_pass_as_they_are(self):
        missing = self.ask("GET", "/api/v1/connections/01990000-0000-7000-8000-000000000000")
        self.assertEqual((missing.status, missing.headers["Content-Type"]), (404, "application/problem+json"))
        large = self.ask("POST", "/api/v1/connections", body={"name": "x" * 100_000})
        self.assertEqual((large.status, large.json()["code"]), (413, "payload_too_large"))

    def test_the_longest_token_passes_with_the_longest_question(self):
        # As identity providers write tokens that list every group of a user.
        groups = ["cn=group,ou=teams,dc=example"] * 150
        token = self.service.token_with(groups=groups)
        rest = LONGEST_TOKEN - len(token)
        token = self.service.token_with(groups=groups, more="x" * (rest * 3 // 4 - 16))
        self.assertLess(LONGEST_TOKEN - len(token), 16)
        self.assertLessEqual(len(token), LONGEST_TOKEN)
        ids = ",".join(str(number) for number in range(10**8, 10**8 + 500))
        path = f"/api/v1/connections/{self.demo}/stats?group_by=date&preset=yesterday&filter[affiliate]={ids}"
        answer = self.ask("GET", path, {"Authorization": f"Bearer {token}"})
        self.assertEqual((answer.status, answer.json()), (200, answer.json() | {"rows": []}))

    def test_one_connection_carries_many_requests_and_a_pause_breaks_none(self):
        self.ask("GET", "/healthz")
        before = self.caller.sock
        # A little longer than the service keeps a silent connection.
        for pause in (0, 5.2, 0):
            time.sleep(pause)
            self.assertEqual(self.ask("POST", f"/api/v1/connections/{self.demo}/verify").status, 200)
            self.assertIs(self.caller.sock, before, "the proxy hung up")


class BehindNginx(Sentences, unittest.TestCase):
    kind = Nginx


class BehindHaproxy(Sentences, unittest.TestCase):
    kind = Haproxy


class BehindCaddy(Sentences, unittest.TestCase):
    kind = Caddy


class TwoReplicas(unittest.TestCase):
    def test_a_replica_that_is_stopped_in_order_fails_no_request(self):
        variables = {"SHUTDOWN_NOTICE_S": "5"}
        one = Service(**variables)
        self.addCleanup(one.stop)
        two = Service(**variables, AUTH_JWT_SECRET=one.secret)
        self.addCleanup(two.stop)
        folder = Stage.folder / "two"
        folder.mkdir()
        proxy = Haproxy(folder, Stage.certificate, one, two)
        self.addCleanup(proxy.stop)
        headers = {"Authorization": f"Bearer {one.token}"}
        asked = 0

        def ask():
            caller = Behind(proxy, Stage.certificate)
            with contextlib.closing(caller):
                caller.request("GET", "/api/v1/usage", headers=headers)
                response = caller.getresponse()
                self.assertEqual(response.status, 200, response.read())

        for _ in range(20):
            ask()
        one.process.terminate()
        while one.process.poll() is None:
            ask()
            asked += 1
        self.assertEqual(one.process.returncode, 0)
        self.assertGreater(asked, 50, "that is no load")
        for _ in range(20):
            ask()


def read_to_end(response):
    """What came, and whether it ended as something whole."""
    parts = []
    try:
        while part := response.read1(1 << 16):
            parts.append(part)
    except (http.client.HTTPException, OSError):
        return b"".join(parts).decode(), False
    return b"".join(parts).decode(), True
