import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sellertrust.client import Client
from tests.helpers.badge_sites import fill
from tests.helpers.callers import Authority, grant, write_grants
from tests.helpers.processes import COMMAND
from tests.helpers.servers import MARKET, running_server
from tests.helpers.shells import SECONDS, Shell, bare_shell, shell_of
from tests.helpers.worlds import artifact


def get(address: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        return found.status, found.read().decode()
    finally:
        connection.close()


@contextmanager
def badges(shell: Shell, folder: Path, *options: str) -> Iterator[str]:
    ready, log = folder / "badges", folder / "badges.log"
    command = [*COMMAND, "badge", "serve", "--address", "127.0.0.1:0", "--ready-file", str(ready), *options]
    with log.open("wb") as output, subprocess.Popen(command, env=shell.environment, stderr=output) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not ready.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield ready.read_text().strip()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=SECONDS) == 0, log.read_text()
        finally:
            process.kill()


@pytest.mark.long
def test_it_shows_its_certificate_and_granted_badges_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    shown = authority.certificate(dns=["badges.example"])
    write_grants(tmp_path / "grants.toml", grant("dns:badges.example", ["read_scores"], sellers=["good", "low"]))
    settings = authority.server_settings() | {"grants": tmp_path / "grants.toml", "socket": tmp_path / "s"}
    with running_server(tmp_path, artifact=artifact(), **settings) as running:
        with Client(f"unix:{tmp_path / 's'}") as client:
            fill(client)
        target = f"localhost:{running.address.rpartition(':')[2]}"
        shell = shell_of(
            tmp_path / "data",
            target=target,
            target_ca=shown.tls,
            target_certificate=shown.certificate,
            target_key=shown.key,
        )
        with badges(shell, tmp_path, "--metrics-address", "127.0.0.1:0") as address:
            deadline = time.monotonic() + SECONDS
            while json.loads(get(address, "/health")[1])["server"] == "away":
                assert time.monotonic() < deadline
            listed = json.loads(get(address, f"/badge/{MARKET}.json?seller=good&seller=best&seller=low")[1])["badges"]
            assert {seller: found["badge"] for seller, found in listed.items()} == {"good": "trusted"}
            metrics = (tmp_path / "badges.log").read_text().partition("metrics on http://")[2].split("/")[0]
            counted = get(metrics, "/metrics")[1].splitlines()
            assert 'sellertrust_badge_requests_total{found="asked"} 3.0' in counted
            assert "sellertrust_badge_kept_sellers 3.0" in counted
            assert "sellertrust_badge_server_away 0.0" in counted
        log = (tmp_path / "badges.log").read_text()
        assert "Traceback" not in log


@pytest.mark.long
def test_without_a_server_it_serves_badges_of_nothing(tmp_path: Path) -> None:
    with badges(bare_shell(tmp_path), tmp_path) as address:
        assert json.loads(get(address, f"/badge/{MARKET}.json?seller=good")[1])["badges"] == {}
        assert get(address, "/demo")[0] == 404


@pytest.mark.parametrize(
    ("code", "options", "problem"),
    [
        (2, ("--words", "nowhere.toml"), "'nowhere.toml' does not exist"),
        (2, ("--sellers", "nowhere"), "'nowhere' does not exist"),
        (2, ("--desk", "127.0.0.1:0", "--evidence", "nowhere"), "--evidence: there is no folder nowhere"),
        (2, ("--desk", "127.0.0.1:0", "--evidence", "what://x"), "--evidence: what://x cannot be used"),
        (2, ("--address", "8080"), "--address: must be host:port"),
        (6, ("--address", "192.0.2.1:80"), "of this machine by --address"),
        (2, ("--address", "127.0.0.1:0", "--metrics-address", "nowhere"), "--metrics-address: nowhere cannot be used"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(
    tmp_path: Path, code: int, options: tuple[str, ...], problem: str
) -> None:
    assert problem in bare_shell(tmp_path).error(code, "badge", "serve", *options)


def test_a_taken_address_names_its_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        desk = f"127.0.0.1:{taken.getsockname()[1]}"
        error = bare_shell(tmp_path).error(6, "badge", "serve", "--address", "127.0.0.1:0", "--desk", desk)
    assert "of this machine by --desk" in error


@pytest.mark.long
def test_missing_packages_are_named_with_their_remedy(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ModuleNotFoundError('gone', name='starlette')")
    shell = bare_shell(tmp_path)
    shell.environment["PYTHONPATH"] = f"{tmp_path}:{shell.environment['PYTHONPATH']}"
    done = subprocess.run(
        [*COMMAND, "badge", "serve"],
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 6
    assert "pip install 'sellertrust[web]'" in done.stderr
