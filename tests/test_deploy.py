"""What `deploy/` holds: images, compose, Kubernetes, alerts and dashboards. No engine builds an image here."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sellertrust.client import Client
from service.access.grants import load_grants
from service.settings import VARIABLES, load
from tests.helpers.contract_services import SERVICES
from tests.helpers.filled import prepare
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of
from tests.helpers.waiting import wait_until

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
BIN = Path(sys.executable).parent
IDLE = re.compile(r"sellertrust_turned_away|unacknowledged|UNAVAILABLE")
"""Queries without an answer while nothing is wrong."""


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=str(BIN))
    if found is None:
        pytest.skip(f"no {name}: .ci/run installs it")
    return found


def run(*command: object, **options: Any) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=250, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_alert_fires_and_rests_as_its_test_says() -> None:
    promtool = tool("promtool")
    run(promtool, "check", "config", DEPLOY / "prometheus/prometheus.yml")
    run(promtool, "test", "rules", "alerts.test.yml", cwd=DEPLOY / "prometheus")
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tested = yaml.safe_load((DEPLOY / "prometheus/alerts.test.yml").read_text())["tests"]
    cases = [case for test in tested for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if "exp_alerts" in case} == alerts
    assert {case["alertname"] for case in cases if "exp_alerts" not in case} == alerts
    runbook = (ROOT / "docs/how-to/operate.md").read_text().partition("## When an alert fires")[2]
    assert [name for name in alerts if f"`{name}`" not in runbook] == []


def queries() -> list[str]:
    panels = json.loads((DEPLOY / "grafana/sellertrust.json").read_text())["panels"]
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    shown = [panel["targets"][0]["expr"].replace("$__rate_interval", "10s") for panel in panels]
    return shown + [re.split(r" (?:>|==) ", rule)[0] for rule in rules]


@contextmanager
def prometheus(folder: Path, metrics: str) -> Iterator[Callable[[str], Any]]:
    place = folder / "prometheus"
    shutil.copytree(DEPLOY / "prometheus", place)
    file = place / "prometheus.yml"
    file.write_text(file.read_text().replace("15s", "1s").replace("127.0.0.1:9464", metrics))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={place}/data"]

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://{address}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    with (folder / "prometheus.log").open("wb") as log:
        running = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            yield ask
        finally:
            running.terminate()
            running.wait(30)


@pytest.mark.long
def test_prometheus_answers_each_panel_and_each_alert(tmp_path: Path) -> None:
    prepare(tmp_path)
    with serving(shell_of(tmp_path, metrics_address="127.0.0.1:0"), tmp_path) as address:
        log = tmp_path / "server.log"  # a thread writes it
        wait_until(lambda: '"serving"' in log.read_text())
        metrics = re.search(r'"metrics": "([^"]+)"', log.read_text())
        assert metrics is not None
        with prometheus(tmp_path, metrics[1]) as ask, Client(address, deadline_seconds=30) as client:

            def unanswered() -> list[str]:
                client.get_trust_score(MARKET, "s1")
                client.append_entries(MARKET, [next(client.list_entries(MARKET))])
                time.sleep(0.5)
                try:
                    found = {query: ask(f"query?query={quote(query)}")["result"] for query in queries()}
                except OSError:  # it begins
                    return ["up"]
                return [query for query, result in found.items() if not result and not IDLE.search(query)]

            wait_until(lambda: not unanswered())
            rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
            assert {rule["health"] for rule in rules} == {"ok"}
            firing = [rule["name"] for rule in rules if rule.get("state") in {"pending", "firing"}]
            assert firing == ["ServerDown"]  # of the second server


def test_kubernetes_takes_what_kustomize_renders(tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(run(tool("kustomize"), "build", DEPLOY / "kubernetes"))
    run(tool("kubernetes-validate"), "--strict", rendered)
    found = {item["kind"]: item for item in yaml.safe_load_all(rendered.read_text())}
    for kind in ("Deployment", "Job"):
        pod = found[kind]["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        names = {one["name"].removeprefix("SELLERTRUST_").lower() for one in container["env"]}
        assert names <= set(VARIABLES)
        assert not [one for one in container["env"] if "://" in one["value"] and "@" in one["value"]], (
            "a secret in the open"
        )
    load_grants(DEPLOY / "kubernetes/grants.toml")
    assert found["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_envoy_offers_every_service() -> None:
    offered = set(re.findall(r"- (sellertrust\.v1\.\w+)", (DEPLOY / "envoy/envoy.yaml").read_text()))
    assert offered == {service.full_name for service in SERVICES}


def test_compose_names_only_what_is_there() -> None:
    stack = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services, volumes = stack["services"], stack["volumes"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        if (network := service.get("network_mode", "")).startswith("service:"):
            assert network.partition(":")[2] in services
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes
        given = {
            name: value for name, value in service.get("environment", {}).items() if name.startswith("SELLERTRUST_")
        }
        load({name: value for name, value in given.items() if not value.startswith("@")})


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_commands_of_the_dockerfile_make_a_server(tmp_path: Path) -> None:
    uv = tool("uv")
    text = (DEPLOY / "Dockerfile").read_text()
    source, target = tmp_path / "build", tmp_path / "opt"
    source.mkdir()
    run("git", "-C", ROOT, "checkout-index", "--all", f"--prefix={source}/")
    for line in re.findall(r"^RUN (.*)$", text, re.M):
        if not line.startswith("uv "):
            assert line.split()[0] in {"pip", "apt-get", "useradd"}
            continue
        command = shlex.split(line.replace("/opt/sellertrust", str(target)))
        run(uv, *command[1:], cwd=source)
    place = tmp_path / "data"
    place.mkdir()
    [probe] = re.findall(r"^HEALTHCHECK .*CMD (.*)$", text, re.M)
    [arguments] = re.findall(r"^CMD (.*)$", text, re.M)
    shell = shell_of(place)
    del shell.environment["PYTHONPATH"]
    with serving(shell, place, [target / "bin/sellertrust"], json.loads(arguments)[1:]) as address:
        [python, *rest] = json.loads(probe)
        run(target / "bin" / python, *rest, address)
