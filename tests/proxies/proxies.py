"""nginx, HAProxy and Caddy as deploy/ configures them: only addresses, names and certificates are put in their places."""

import os
import re
import subprocess

from tests.live.service import ROOT, free_port, listens, wait_until

NAME = "connections.example.com"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Certificate:
    """A certificate for the name in the configurations."""

    def __init__(self, folder):
        self.chain, self.key, self.both = folder / "chain.pem", folder / "key.pem", folder / "both.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", "1", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
        subprocess.run([*command, "-keyout", self.key, "-out", self.chain], check=True, capture_output=True)
        self.both.write_bytes(self.chain.read_bytes() + self.key.read_bytes())


class Proxy:
    """One of them, in front of a service, or of two replicas."""

    def __init__(self, folder, certificate, *services):
        self.services, self.variables = services, {}
        self.folder = folder / self.name
        self.folder.mkdir()
        self.port = free_port()
        self.log = self.folder / "log"
        self.version = self.find_version()
        command = self.configure(certificate, services[0])
        environment = {"HOME": str(self.folder), "PATH": PATH} | self.variables
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environment)
        wait_until(self._is_ready, f"{self.name} did not start")

    def _is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} did not start: {self.log.read_text()}")
        return listens(self.port)

    def find_version(self):
        """Its version, as numbers."""
        said = subprocess.run(self.version_command, check=True, capture_output=True, text=True, env={"PATH": PATH})
        return tuple(map(int, re.search(r"(\d+)\.(\d+)\.(\d+)", said.stdout + said.stderr).groups()))

    def placed(self, file, places):
        """The text of a configuration, with everything in its place; each text to be replaced is there."""
        text = (ROOT / "deploy" / file).read_text()
        for old, new in places.items():
            assert old in text, f"deploy/{file} does not have {old!r}"
            text = text.replace(old, str(new))
        return text

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Nginx(Proxy):
    name = "nginx"
    version_command = ("nginx", "-v")

    def configure(self, certificate, service):
        site = self.placed("nginx.conf", {
            "127.0.0.1:8080": f"127.0.0.1:{service.port}",
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            f"/etc/ssl/certs/{NAME}.pem": certificate.chain,
            f"/etc/ssl/private/{NAME}.key": certificate.key,
        })  # fmt: skip
        (self.folder / "site.conf").write_text(site)
        kept = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(f"""
            {"user root;" if os.getuid() == 0 else ""} pid {self.folder}/pid; error_log stderr; daemon off; worker_processes 1;
            events {{}}
            http {{ access_log off; {kept} include {self.folder}/site.conf; }}
        """)
        return ["nginx", "-c", self.folder / "nginx.conf", "-e", "stderr"]


class Haproxy(Proxy):
    name = "HAProxy"
    version_command = ("haproxy", "-v")

    def configure(self, certificate, service):
        # As docker-compose.production.yml does.
        for name, replica in (("AFFZERO_ONE", service), ("AFFZERO_TWO", self.services[-1])):
            self.variables[name] = f"127.0.0.1:{replica.port}"
        text = self.placed("haproxy.cfg", {
            "bind :443 ": f"bind 127.0.0.1:{self.port} ",
            f"/etc/haproxy/{NAME}.pem": certificate.both,
        })  # fmt: skip
        (self.folder / "haproxy.cfg").write_text(text)
        return ["haproxy", "-db", "-f", self.folder / "haproxy.cfg"]


class Caddy(Proxy):
    name = "Caddy"
    version_command = ("caddy", "version")

    def configure(self, certificate, service):
        text = self.placed("Caddyfile", {
            "127.0.0.1:8080": f"127.0.0.1:{service.port}",
            f"{NAME} {{": f"https://{NAME}:{self.port} {{\n\tbind 127.0.0.1\n\ttls {certificate.chain} {certificate.key}",
        })  # fmt: skip
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
        (self.folder / "Caddyfile").write_text(options + text)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", self.folder / "Caddyfile"]
