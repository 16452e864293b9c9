import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from service.api.telemetry import metrics
from service.api.telemetry.plain_metrics import PlainCounter, PlainHistogram
from tests.helpers.limits import Limit
from tests.helpers.servers import MARKET, identity, metrics_of, running_server


@contextmanager
def half_requests(address: str, count: int, rest: bytes = b"") -> Iterator[list[socket.socket]]:
    host, port = address.split(":")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(count)]
        for one in sockets:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + rest)
        yield sockets


def ended(one: socket.socket) -> bool:
    """Wait until the server closes a connection; return False if it sends a byte."""
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.long
def test_500_half_requests_cost_no_threads(tmp_path: Path) -> None:
    with running_server(tmp_path, metrics_address="127.0.0.1:0") as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s")])
        metrics_of(running.server)
        before = threading.active_count()
        with half_requests(running.server.metrics_address, 500) as sockets:
            assert "sellertrust_requests_total" in metrics_of(running.server)
            assert client.get_trust_score(MARKET, "s").seller
            assert threading.active_count() < before + 10
            assert all(ended(one) for one in sockets[: 500 - metrics.MAX_CONNECTIONS])
        assert "sellertrust_requests_total" in metrics_of(running.server)


def test_a_half_request_is_ended_in_time(tmp_path: Path, limit: Limit) -> None:
    # a deadline that a test can wait for
    limit(metrics, REQUEST_SECONDS=0.3)
    with (
        running_server(tmp_path, metrics_address="127.0.0.1:0") as running,
        half_requests(running.server.metrics_address, 3) as sockets,
    ):
        assert all(ended(one) for one in sockets)


@pytest.mark.long
def test_what_is_no_request_for_metrics_gets_none(tmp_path: Path) -> None:
    with running_server(tmp_path, metrics_address="127.0.0.1:0") as running:
        host, port = running.server.metrics_address.split(":")
        for head, begins in (
            (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
            (b"GET /secret HTTP/1.1\r\n\r\n", b"HTTP/1.1 404"),
            (b"\xff\x00\r\n\r\n", b"HTTP/1.1 404"),
            (b"x" * 20_000, b""),
            (b"GET /metrics?a=b HTTP/1.0\r\naccept: application/openmetrics-text\r\n\r\n", b"HTTP/1.1 200"),
        ):
            with socket.create_connection((host, int(port)), timeout=60) as one:
                one.sendall(head)
                try:
                    answer = one.recv(1 << 16)
                except ConnectionResetError:
                    answer = b""
                assert answer[: len(begins)] == begins
                assert bool(answer) == bool(begins)


BOUNDS = (0.001, 0.25, 1, 10)


def test_plain_metrics_read_as_those_of_prometheus() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    calls = PlainCounter("calls", "Calls.", ("method", "code"), ours)
    seconds = PlainHistogram("seconds", "Time.", ("method",), ours, BOUNDS)
    calls_of_client = Counter("calls", "Calls.", ("method", "code"), registry=theirs)
    seconds_of_client = Histogram("seconds", "Time.", ("method",), registry=theirs, buckets=BOUNDS)

    def count(seed: int) -> None:
        chance = Random(seed)
        for _ in range(500):
            method, code = chance.choice("AB"), chance.choice(["OK", "NOT_FOUND"])
            took = chance.choice([0.0, 0.001, 0.0011, 0.25, 0.5, 1.0, 10.0, 10.5])
            calls.add(method, code)
            seconds.observe(took, method)
            calls_of_client.labels(method, code).inc()
            seconds_of_client.labels(method).observe(took)

    threads = [threading.Thread(target=count, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines_of(ours) == lines_of(theirs)


def lines_of(registry: CollectorRegistry) -> list[str]:
    text = generate_latest(registry).decode()
    lines = [line for line in text.splitlines() if "_created" not in line]
    return sorted(f"{line.rpartition(' ')[0]} {_rounded(line.rpartition(' ')[2])}" for line in lines)


def _rounded(value: str) -> str:
    try:
        return f"{float(value):.9g}"
    except ValueError:
        return value
