"""What operators are given to copy, held against the program and against the tools that will read it. No engine is needed."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

from tests.deploy import compose
from tests.live.service import ROOT

TOOLS = pathlib.Path(sys.executable).parent
EXAMPLE = (ROOT / ".env.example").read_text()
VARIABLES = set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE))
DOCUMENT = json.loads((ROOT / "openapi/openapi.json").read_text())
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
# How long the process may take beside notice and grace, before it is killed: docs/operations.md.
SILENT_DATABASE_S = 20


def run(*command):
    """Runs a tool and hands back all it said; it must be content."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Development(unittest.TestCase):
    def test_nothing_has_to_be_set_and_everything_can_be(self):
        file = compose.read("docker-compose.yml")
        service = file["services"]["service"]
        self.assertEqual(service["environment"]["APP_ENV"], "development")
        self.assertIn("development-only@postgres:5432", service["environment"]["DATABASE_URL"])
        other = compose.read(
            "docker-compose.yml", POSTGRES_PASSWORD="other", SERVICE_ADDRESS="127.0.0.1:9000", POSTGRES_IMAGE="postgres:18"
        )
        self.assertIn("affzero:other@", other["services"]["service"]["environment"]["DATABASE_URL"])
        self.assertEqual(other["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"], "other")
        self.assertEqual(other["services"]["postgres"]["image"], "postgres:18")
        self.assertEqual(other["services"]["service"]["ports"], ["127.0.0.1:9000:8080"])
        self.assertEqual(service["env_file"], [{"path": ".env", "required": False}])

    def test_databases_can_be_reached_by_the_service_only(self):
        for name, service in compose.read("docker-compose.yml")["services"].items():
            self.assertEqual("ports" in service, name == "service", name)

    def test_the_file_says_how_to_mint_a_token(self):
        self.assertIn("exec service affzero-connections token", (ROOT / "docker-compose.yml").read_text())


class Production(unittest.TestCase):
    SECRETS = {
        name: f"{name.lower()}-value"
        for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "CREDENTIALS_KEYS", "AUTH_JWT_SECRET", "TLS_CERTIFICATE")
    }

    def read(self, **variables):
        return compose.read("docker-compose.production.yml", **self.SECRETS, **variables)

    def test_each_secret_is_demanded(self):
        for name in self.SECRETS:
            others = {other: value for other, value in self.SECRETS.items() if other != name}
            with self.assertRaisesRegex(compose.Missing, name):
                compose.read("docker-compose.production.yml", **others)
        values = json.dumps(self.read()["services"])
        self.assertNotIn("development", values)
        for value in self.SECRETS.values():
            self.assertIn(value, values)

    def test_two_replicas_stand_behind_the_balancer_that_is_tested(self):
        services = self.read()["services"]
        self.assertEqual(services["one"], services["two"])
        haproxy = services["haproxy"]
        self.assertIn("./deploy/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro", haproxy["volumes"])
        text = (ROOT / "deploy/haproxy.cfg").read_text()
        for name, address in haproxy["environment"].items():
            self.assertIn(f'"${{{name}-127.0.0.1:', text)
            self.assertEqual(address.split(":")[1], "8080")
            self.assertIn(address.split(":")[0], services)
        certificate = haproxy["volumes"][1].split(":")[1]
        self.assertIn(f"ssl crt {certificate} ", text)

    def test_a_restart_fails_no_request(self):
        one = self.read()["services"]["one"]
        notice, grace = (one["environment"][name] for name in ("SHUTDOWN_NOTICE_S", "SHUTDOWN_GRACE_S"))
        self.assertGreaterEqual(compose.seconds(one["stop_grace_period"]), notice + grace + SILENT_DATABASE_S)
        check = re.search(r"check inter (\d)s fall (\d)", (ROOT / "deploy/haproxy.cfg").read_text())
        self.assertGreater(notice, int(check.group(1)) * int(check.group(2)))

    def test_nothing_has_more_rights_or_means_than_it_needs(self):
        file = self.read()
        for name, service in file["services"].items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertNotIn("cap_add", service, name)
            self.assertNotIn("privileged", service, name)
            self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)
            self.assertEqual(set(service["deploy"]["resources"]["limits"]), {"cpus", "memory", "pids"}, name)
            self.assertEqual("ports" in service, name == "haproxy", name)
        for name in ("postgres", "redis"):
            self.assertEqual(file["services"][name]["networks"], ["data"])
        self.assertTrue(file["networks"]["data"]["internal"])
        limits = file["services"]["one"]["deploy"]["resources"]["limits"]
        self.assertIn(f"Begin with one core and {limits['memory'].removesuffix('M')} MiB", operations())
        self.assertEqual(limits["cpus"], "1")

    def test_metrics_can_be_scraped_and_not_from_outside(self):
        file = self.read()
        self.assertEqual(file["services"]["one"]["environment"]["METRICS_ADDR"], "0.0.0.0:9090")
        self.assertIn("metrics", file["services"]["one"]["networks"])
        self.assertTrue(file["networks"]["metrics"]["internal"])


def operations():
    return (ROOT / "docs/operations.md").read_text()


class Kubernetes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = ROOT / "deploy/kubernetes/affzero-connections.yaml"
        cls.parts = {part["kind"]: part for part in yaml.safe_load_all(cls.file.read_text())}
        cls.pod = cls.parts["Deployment"]["spec"]["template"]["spec"]
        cls.container = cls.pod["containers"][0]

    def test_the_schemas_of_kubernetes_take_it(self):
        self.assertEqual(set(self.parts), {"ConfigMap", "Deployment", "Service", "PodDisruptionBudget"})
        for version in ("1.30", "1.37"):
            run(TOOLS / "kubernetes-validate", "--strict", "--kubernetes-version", version, self.file)

    def test_its_parts_find_each_other(self):
        labels = self.parts["Deployment"]["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(self.parts["Service"]["spec"]["selector"], labels)
        for kind in ("Deployment", "PodDisruptionBudget"):
            self.assertEqual(self.parts[kind]["spec"]["selector"]["matchLabels"], labels)
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        self.assertIn(self.parts["Service"]["spec"]["ports"][0]["targetPort"], ports)
        variables = self.parts["ConfigMap"]["data"]
        self.assertEqual(ports, {
            name: int(variables[variable].rsplit(":", 1)[1])
            for name, variable in (("http", "BIND_ADDR"), ("metrics", "METRICS_ADDR"))
        })  # fmt: skip
        self.assertEqual(self.container["image"].rsplit(":", 1)[1], VERSION)

    def test_probes_ask_what_is_meant_for_them(self):
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            asked = self.container[probe]["httpGet"]
            self.assertEqual((asked["path"], asked["port"]), (path, "http"))
            self.assertIn(path, DOCUMENT["paths"])

    def test_a_pod_has_the_time_to_end_in_order(self):
        variables = self.parts["ConfigMap"]["data"]
        needed = int(variables["SHUTDOWN_NOTICE_S"]) + int(variables["SHUTDOWN_GRACE_S"]) + SILENT_DATABASE_S
        self.assertGreaterEqual(self.pod["terminationGracePeriodSeconds"], needed)
        probe = self.container["readinessProbe"]
        self.assertGreater(int(variables["SHUTDOWN_NOTICE_S"]), probe["periodSeconds"] * probe["failureThreshold"])


class Systemd(unittest.TestCase):
    def test_systemd_takes_the_unit_and_finds_it_closed(self):
        text = (ROOT / "deploy/systemd/affzero-connections.service").read_text()
        program = "/usr/local/bin/affzero-connections serve"
        self.assertIn(f"ExecStart={program}\n", text)
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / "affzero-connections.service"
            # It complains of programs that are not there.
            unit.write_text(text.replace(program, "/bin/true"))
            self.assertEqual(run("systemd-analyze", "verify", unit), "")
            run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", unit)


class Image(unittest.TestCase):
    def test_hadolint_has_nothing_to_say_of_the_dockerfile(self):
        self.assertEqual(run(TOOLS / "hadolint", "--no-color", "Dockerfile"), "")


class Names(unittest.TestCase):
    def test_every_variable_that_is_set_is_one_of_the_service(self):
        parts = yaml.safe_load_all((ROOT / "deploy/kubernetes/affzero-connections.yaml").read_text())
        named = {name for part in parts if part["kind"] == "ConfigMap" for name in part["data"]}
        for file, variables in (
            ("docker-compose.yml", {}),
            ("docker-compose.production.yml", Production.SECRETS),
        ):
            for name, service in compose.read(file, **variables)["services"].items():
                if name in ("service", "one", "two"):
                    named |= set(service["environment"])
        self.assertLess({"APP_ENV", "DATABASE_URL", "SHUTDOWN_NOTICE_S", "METRICS_ADDR"}, named)
        self.assertEqual(named - VARIABLES, set())
