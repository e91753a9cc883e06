"""The image's program: built from what the engine would be sent, by the command in the Dockerfile but for the optimisation,
and let loose on a PostgreSQL that speaks TLS only."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from tests.deploy import context
from tests.deploy.postgres import NAME, Authority, Postgres
from tests.live.service import PROGRAM, ROOT

COMMIT = "0123456789ab"


def build_command():
    """The Dockerfile's own."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return shlex.split(re.search(r"(cargo build --release .*?) &&", text).group(1))


class Stage:
    """What all tests share."""


def setUpModule():
    stack = contextlib.ExitStack()
    unittest.addModuleCleanup(stack.close)
    Stage.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image-")))
    Stage.folder.chmod(0o755)
    sources = Stage.folder / "src"
    context.copy(sources)
    command = [word for word in build_command() if word != "--release"]
    environment = os.environ | {"AFFZERO_COMMIT": COMMIT, "CARGO_TARGET_DIR": str(PROGRAM.parents[1])}
    subprocess.run([*command, "--quiet"], cwd=sources, env=environment, check=True)
    Stage.program = Stage.folder / "affzero-connections"
    shutil.copy2(PROGRAM, Stage.program)
    shutil.rmtree(sources)
    server = Stage.folder / "postgres"
    server.mkdir()
    Stage.authority, Stage.other = (Authority(Stage.folder, name) for name in ("authority", "another"))
    Stage.postgres = Postgres(server, Stage.authority)
    stack.callback(Stage.postgres.stop)


class Context(unittest.TestCase):
    def test_neither_secrets_nor_databases_nor_build_output_are_sent(self):
        of = context.rules((ROOT / ".dockerignore").read_text())
        for path in (
            ".env", ".env.production", "examples/.env", "data/credentials_keys", "data/affzero.db", "backup.db",
            "copy/affzero.db-wal", "backup.dump", "target/debug/x", "fuzz/target/x", "tests/browser/node_modules/x/y.js",
            ".git/config", "connections.pem", "docker-compose.production.yml",
        ):  # fmt: skip
            self.assertTrue(context.is_ignored(path, of), path)
        for path in ("src/main.rs", ".env.example", "build.rs", "migrations/sqlite/a/up.sql", "src/connections/keys.rs", "console/console.js"):
            self.assertFalse(context.is_ignored(path, of), path)


class Program(unittest.TestCase):
    def run_with(self, url, *arguments):
        """A command with this database, in a folder of its own."""
        with tempfile.TemporaryDirectory() as folder:
            environment = {"DATABASE_URL": url, "PATH": os.environ["PATH"], "BIND_ADDR": "127.0.0.1:0"}
            command = [Stage.program, *arguments]
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    def test_it_says_which_commit_it_was_built_from(self):
        said = self.run_with("", "--version").stdout
        self.assertRegex(said, rf"commit +{COMMIT}\n")

    def test_it_speaks_tls_where_that_is_demanded(self):
        done = self.run_with(Stage.postgres.url(NAME, sslmode="require"), "migrate")
        self.assertEqual(done.returncode, 0, done.stderr)
        plain = self.run_with(Stage.postgres.url(NAME, sslmode="disable"), "migrate")
        self.assertEqual(plain.returncode, 1, "the server lets nobody in without TLS")
        self.assertIn("no encryption", plain.stderr)

    def test_it_knows_the_server_by_its_authority_and_its_name(self):
        known = {"sslmode": "verify-full", "sslrootcert": Stage.authority.certificate}
        self.run_with(Stage.postgres.url(NAME, **known), "migrate")
        done = self.run_with(Stage.postgres.url(NAME, **known), "doctor", "--json")
        checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
        for name in ("database", "migrations", "key_ring"):
            self.assertEqual(checks[name]["status"], "ok", checks[name])

    def test_a_server_of_another_name_or_another_authority_is_refused(self):
        for host, authority, complaint in (
            ("127.0.0.1", Stage.authority, "does not match host name"),
            (NAME, Stage.other, "certificate verify failed"),
        ):
            options = {"sslmode": "verify-full", "sslrootcert": authority.certificate}
            done = self.run_with(Stage.postgres.url(host, **options), "migrate")
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(complaint, done.stderr)
