"""The service as it is built for tests, on a port of its own and with an empty database."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "affzero-connections"
SCOPES = "connections:read connections:write stats:read"
NOWHERE = "https://127.0.0.1:9"


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(holds, what, seconds=60):
    """Waits for something that comes about by itself."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"gave up waiting: {what}")
        time.sleep(0.05)


def listens(port):
    """Whether something takes connections at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Refused(Exception):
    """An answer that is a problem."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status


class Service:
    """A running service, and a user of it."""

    def __init__(self, **variables):
        self.folder = tempfile.TemporaryDirectory(prefix="affzero-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret = secrets.token_urlsafe(48)
        self.log = pathlib.Path(self.folder.name) / "log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AFFZERO_")}
        environment |= {
            "BIND_ADDR": f"127.0.0.1:{self.port}",
            "DATABASE_URL": f"sqlite://{self.folder.name}/affzero.db",
            "AUTH_JWT_SECRET": self.secret,
            "CREDENTIALS_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "EGRESS_ALLOW": "127.0.0.0/8",
            "RUST_LOG": "warn",
            **{f"{name}_BASE_URL": NOWHERE for name in ("VOLUUM", "EVERFLOW", "EVERFLOW_EU")},
            **variables,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve"], env=environment, cwd=self.folder.name, stdout=log, stderr=log
            )
        wait_until(self._is_ready, f"the service did not start: {self.log.read_text()}")
        self.token = self.token_with()

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the service did not start: {self.log.read_text()}")
        return listens(self.port)

    def token_with(self, **claims):
        """A token of organisation acme, with further claims."""
        head = {"alg": "HS256", "typ": "JWT"}
        body = {"sub": "user-1", "org": "acme", "plan": "business", "scope": SCOPES, "exp": int(time.time()) + 3600}
        parts = [_base64(json.dumps(part).encode()) for part in (head, body | claims)]
        signed = ".".join(parts)
        return signed + "." + _base64(hmac.digest(self.secret.encode(), signed.encode(), hashlib.sha256))

    def ask(self, method, path, body=None, headers=None):
        """Asks the service itself; an answer's headers and its body."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"} | (headers or {})
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()) from None

    def create(self, body):
        """Adds a connection; its id."""
        return json.loads(self.ask("POST", "/api/v1/connections", body)[1])["id"]

    def stop(self):
        """Ends it and forgets everything."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def _base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
