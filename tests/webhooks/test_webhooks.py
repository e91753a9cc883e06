"""Deliveries of the real program, verified by the official libraries, and the receivers of docs/service-to-service.md.

Nothing here is skipped.
"""

import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.live.service import PROGRAM, ROOT, Service, free_port, listens, wait_until

PAGE = (ROOT / "docs" / "service-to-service.md").read_text()
WORK = pathlib.Path(os.environ["WEBHOOKS_WORK"])
WEBHOOKS = "/api/v1/webhooks"


def snippet(language):
    """The only block of the page in this language."""
    (found,) = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


class Sink:
    """A receiver that takes everything and keeps it."""

    def __init__(self):
        self.deliveries = []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                sink.deliveries.append({"body": body, "headers": headers})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class OfficialLibraries(unittest.TestCase):
    """The libraries of PyPI and npm, on what the program sends."""

    def setUp(self):
        self.service, self.sink = Service(), Sink()
        self.addCleanup(self.service.stop)
        self.addCleanup(self.sink.stop)

    def ask(self, method, path, body=None):
        text = self.service.ask(method, path, body)[1]
        return json.loads(text) if text else None

    def deliveries(self, count):
        wait_until(lambda: len(self.sink.deliveries) >= count, f"{count} deliveries")
        return self.sink.deliveries

    def happen(self, name):
        connection = self.service.create({"name": name, "platform": "demo"})
        self.service.ask("DELETE", f"/api/v1/connections/{connection}")

    def test_events_and_tests_are_taken_and_whatever_is_changed_is_refused(self):
        hook = self.ask("POST", WEBHOOKS, {"url": self.sink.url})
        # Letters that need several bytes, and signs that JSON escapes.
        self.happen('Brand "Ä" \\ 日本 😀')
        self.deliveries(1)
        self.assertTrue(self.ask("POST", f"{WEBHOOKS}/{hook['id']}/test")["delivered"])
        event, test = self.deliveries(2)
        genuine = [{"secret": hook["secret"], **event}, {"secret": hook["secret"], **test}]
        other = "whsec_" + "A" * 43 + "="
        forged = [
            {**genuine[0], "secret": other},
            {**genuine[0], "body": event["body"].replace("deleted", "created")},
            {**genuine[0], "headers": test["headers"]},
            {**genuine[0], "headers": event["headers"] | {"webhook-id": "another"}},
            {**genuine[0], "headers": event["headers"] | {"webhook-timestamp": "1"}},
        ]
        expected = ["connection.deleted", "webhook.test"] + [None] * len(forged)
        self.assertEqual(by_python(genuine + forged), expected)
        self.assertEqual(by_javascript(genuine + forged), expected)
        self.assertEqual(json.loads(event["body"]), self.ask("GET", "/api/v1/events")["data"][0])

    def test_a_secret_that_is_being_changed_is_known_by_both(self):
        hook = self.ask("POST", WEBHOOKS, {"url": self.sink.url})
        new = self.ask("POST", f"{WEBHOOKS}/{hook['id']}/rotate-secret")
        self.happen("Rotated")
        (event,) = self.deliveries(1)
        both = [{"secret": hook["secret"], **event}, {"secret": new["secret"], **event}]
        self.assertNotEqual(hook["secret"], new["secret"])
        self.assertEqual(by_python(both), ["connection.deleted"] * 2)
        self.assertEqual(by_javascript(both), ["connection.deleted"] * 2)


def by_python(deliveries):
    """What the library of PyPI makes of them: the types of their events, or None."""
    outcomes = []
    for delivery in deliveries:
        try:
            event = Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
            outcomes.append(event["type"])
        except WebhookVerificationError:
            outcomes.append(None)
    return outcomes


def by_javascript(deliveries):
    """The same of that of npm."""
    ran = subprocess.run(
        ["node", WORK / "verify.mjs"], input=json.dumps(deliveries).encode(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(ran.stdout)


class Recipes(unittest.TestCase):
    """The receivers of the page: they take what is genuine, and nothing else."""

    def setUp(self):
        self.service, self.sink = Service(), Sink()
        self.addCleanup(self.service.stop)
        self.addCleanup(self.sink.stop)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def ask(self, method, path, body=None):
        return json.loads(self.service.ask(method, path, body)[1])

    def genuine(self):
        """A webhook with a delivery that was taken elsewhere."""
        hook = self.ask("POST", WEBHOOKS, {"url": self.sink.url})
        self.ask("POST", f"{WEBHOOKS}/{hook['id']}/test")
        return hook, self.sink.deliveries[-1]

    def check(self, command, **options):
        port = free_port()
        hook, delivery = self.genuine()
        environment = os.environ | {"WEBHOOK_SECRET": hook["secret"], "PORT": str(port)}
        receiver = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, **options)
        self.addCleanup(receiver.wait)
        self.addCleanup(receiver.stdout.close)
        self.addCleanup(receiver.kill)
        wait_until(lambda: listens(port), "the receiver listens")
        url = f"http://127.0.0.1:{port}/"
        self.service.ask("PATCH", f"{WEBHOOKS}/{hook['id']}", {"url": url})
        tested = self.ask("POST", f"{WEBHOOKS}/{hook['id']}/test")
        self.assertEqual((tested["delivered"], tested["status"]), (True, 204), tested)
        headers, body = delivery["headers"], delivery["body"]
        self.assertEqual(post(url, body, headers), 204)
        self.assertEqual(post(url, body, headers), 204, "twice is once")
        for changed_body, changed in [
            (body + " ", {}),
            (body, {"webhook-id": "another"}),
            (body, {"webhook-timestamp": "1"}),
            (body, {"webhook-signature": "v1,AAAA"}),
            (body, {"webhook-signature": "nonsense"}),
        ]:
            self.assertEqual(post(url, changed_body, headers | changed), 400, changed)
        receiver.kill()
        lines = receiver.stdout.read().decode().splitlines()
        self.assertEqual(len(lines), 2, lines)
        self.assertTrue(all("webhook.test" in line for line in lines), lines)

    def test_curl_adds_a_webhook_and_tries_it(self):
        environment = os.environ | {
            "AFFZERO_URL": self.service.url,
            "AFFZERO_TOKEN": self.service.token,
            "RECEIVER_URL": self.sink.url,
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", snippet("sh receiver")],
            env=environment, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        secret = ran.stdout.decode().strip()
        self.assertEqual(by_python([{"secret": secret, **self.sink.deliveries[0]}]), ["webhook.test"])

    def test_openssl_verifies_a_delivery(self):
        hook, delivery = self.genuine()
        path = pathlib.Path(self.folder.name) / "body"
        path.write_text(delivery["body"])
        named = {f"WEBHOOK_{name.upper()}": delivery["headers"][f"webhook-{name}"] for name in ("id", "timestamp", "signature")}
        environment = os.environ | named | {"WEBHOOK_SECRET": hook["secret"], "WEBHOOK_BODY": str(path)}

        def run(**changed):
            return subprocess.run(
                ["bash", "-euo", "pipefail", "-c", snippet("sh verify")],
                env=environment | changed, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip

        taken = run()
        self.assertEqual((taken.returncode, taken.stdout), (0, b"webhook.test\n"), taken.stderr)
        both = run(WEBHOOK_SIGNATURE="v1,AAAA " + environment["WEBHOOK_SIGNATURE"])
        self.assertEqual(both.returncode, 0, both.stderr)
        for changed in (
            {"WEBHOOK_ID": "another"},
            {"WEBHOOK_TIMESTAMP": "1"},
            {"WEBHOOK_SIGNATURE": "v1,AAAA"},
            {"WEBHOOK_SECRET": "whsec_" + "A" * 43 + "="},
        ):
            self.assertEqual(run(**changed).returncode, 1, changed)

    def test_typescript_receives(self):
        (WORK / "receiver.ts").write_text(snippet("ts receiver"))
        subprocess.run([WORK / "node_modules" / ".bin" / "tsc", "--project", WORK], check=True)
        self.check(["node", WORK / "built" / "receiver.js"])

    def test_python_receives(self):
        path = pathlib.Path(self.folder.name) / "receiver.py"
        path.write_text(snippet("python receiver"))
        self.check([sys.executable, path], stderr=subprocess.DEVNULL)

    def test_rust_receives(self):
        example = (ROOT / "examples" / "receiver.rs").read_text()
        self.assertEqual(example.split("\n", 1)[1], snippet("rs receiver"), "the page has the example as it is")
        self.check([PROGRAM.parent / "examples" / "receiver"])


def post(url, body, headers):
    """The status of a delivery."""
    own = {name: value for name, value in headers.items() if name.startswith(("webhook-", "content-type"))}
    request = urllib.request.Request(url, body.encode(), own, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


if __name__ == "__main__":
    unittest.main()
