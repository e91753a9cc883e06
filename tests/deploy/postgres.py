"""A PostgreSQL server of its own that speaks TLS only, and the authorities of its certificate."""

import os
import pathlib
import pwd
import shutil
import subprocess

from tests.live.service import free_port, wait_until

NAME = "localhost"


def programs():
    """The folder of the newest server's programs."""
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).resolve().parent
    return sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority."""

    def __init__(self, folder, name):
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 1, "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.certificate)  # fmt: skip

    def sign(self, folder, name):
        """A certificate for a name, and its key."""
        certificate, key, request, names = (folder / f"server.{end}" for end in ("pem", "key", "csr", "names"))
        names.write_text(f"subjectAltName=DNS:{name}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-days", 1, "-CA", self.certificate, "-CAkey", self.key,
                "-CAcreateserial", "-extfile", names, "-out", certificate)  # fmt: skip
        return certificate, key


class Postgres:
    """The server. Its only user needs no password, and nobody gets in without TLS."""

    def __init__(self, folder, authority):
        self.port, self.data = free_port(), folder / "data"
        # It refuses to be root's.
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        certificate, key = authority.sign(folder, NAME)
        key.chmod(0o600)
        if self.user:
            for path in (folder, certificate, key):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        self._run("initdb", "--auth", "trust", "--username", "affzero", "--no-sync", "-D", self.data).check_returncode()
        (self.data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        settings = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = ["postgres", "-h", "127.0.0.1", "-k", "", "-p", str(self.port), *options, "-D", self.data]
        self.process = self._start(command)
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run([programs() / ready[0], *ready[1:]]).returncode == 0, "PostgreSQL starts")

    def url(self, host, **options):
        """Its database, under this name of this machine."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgres://affzero@{host}:{self.port}/postgres?{query}"

    def _identity(self):
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def _run(self, program, *arguments):
        command = [programs() / program, *map(str, arguments)]
        return subprocess.run(command, cwd=self.data.parent, capture_output=True, **self._identity())

    def _start(self, command):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [programs() / command[0], *map(str, command[1:])]
        return subprocess.Popen(command, cwd=self.data.parent, **quiet, **self._identity())

    def stop(self):
        """Ends it."""
        self.process.terminate()
        self.process.wait(20)
