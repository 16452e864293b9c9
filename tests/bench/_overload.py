"""Overload: five times a server's capacity, and slow reads beside checkouts; refused, lost and answered calls."""

import re
import shutil
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sellertrust.client import Client
from sellertrust.errors import SellertrustCallError
from tests.bench._h2load import h2load_for, write_body
from tests.bench._processes import cpu_seconds, metrics_address
from tests.helpers.filled import SELLERS, prepare
from tests.helpers.load import SCORE, Found, Plan, load, loading, requests_of
from tests.helpers.servers import MARKET
from tests.helpers.shells import serving, shell_of

Show = Callable[[str, float], None]

TIMES = 5
PROCESSES = 4
DEADLINE_SECONDS = 0.2
AT_A_TIME = (2, 4, 8)
H2LOAD_CONNECTIONS = 8
STREAMS = 64
SLOW_CALLERS = 4
SLOW_CALLS = 50
SLOW = [
    "ReviewService/ListReviewQueue",
    "TrustScoreService/BatchGetTrustScores",
    "TrustScoreService/ExplainTrustScore",
]


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        with serving(shell_of(Path(name), metrics_address="127.0.0.1:0"), Path(name)) as address:
            yield address, metrics_address(Path(name) / "server.log")


class Watching:
    def __init__(self, ask: Callable[[], object], pause_seconds: float) -> None:
        self._ask = ask
        self._pause_seconds = pause_seconds
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.tries = 0
        self.failed: Counter[str] = Counter()
        self.slowest_seconds = 0.0

    def reset(self) -> None:
        self.tries, self.failed, self.slowest_seconds = 0, Counter(), 0.0

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._pause_seconds):
            began = time.monotonic()
            self.tries += 1
            try:
                self._ask()
            except (grpc.RpcError, SellertrustCallError) as error:
                code = error.code if isinstance(error, SellertrustCallError) else error.code()
                self.failed[code.name] += 1
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)


@contextmanager
def health_checks(address: str) -> Iterator[Watching]:
    def ask() -> None:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)

    with Watching(ask, 0.1) as watching:
        yield watching


def run(show: Show, seconds: float = 100.0, processes: int = PROCESSES) -> None:
    with server() as (address, metrics):
        with health_checks(address) as health:
            _by_h2load(show, address, metrics, seconds)
            _by_python(show, address, seconds / 2, processes)
        show("overload.health_tries", health.tries)
        show("overload.health_failed", health.failed.total())
        show("overload.health_slowest_ms", round(health.slowest_seconds * 1_000, 1))
        _slow_reads(show, address, seconds)


def _by_h2load(show: Show, address: str, metrics: str, seconds: float) -> None:
    """Return goodput over the peak, of remembered and computed scores (`.computed`)."""
    if shutil.which("h2load") is None:
        return
    for name, is_past in (("overload", False), ("overload.computed", True)):
        request = requests_of(SCORE, 1, is_past=is_past)[0]
        with tempfile.TemporaryDirectory() as folder, asking(address, request) as asked:
            body = write_body(Path(folder) / "body", request)
            rounds = [_answered(address, metrics, body, max(2.0, seconds / 20), f"-m{count}") for count in AT_A_TIME]
            peak = max(one.a_second for one in rounds)
            per_core = max(one.a_core_second for one in rounds)
            asked.reset()
            rate = round(TIMES * peak / H2LOAD_CONNECTIONS)
            open_load = (f"-m{STREAMS}", f"--rps={rate}", "-H", f"grpc-timeout: {round(DEADLINE_SECONDS * 1_000)}m")
            found = _answered(address, metrics, body, seconds, *open_load)
        show(f"{name}.peak_per_s", round(peak, 1))
        show(f"{name}.goodput", round(found.a_second / peak, 3))
        show(f"{name}.goodput_of_core", round(found.a_core_second / per_core, 3))
        show(f"{name}.beside_tries", asked.tries)
        show(f"{name}.beside_ok_share", round(1 - asked.failed.total() / max(asked.tries, 1), 3))


@contextmanager
def asking(address: str, request: bytes) -> Iterator["Watching"]:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.unary_unary(f"/sellertrust.v1.{SCORE}")
        with Watching(lambda: method(request, timeout=DEADLINE_SECONDS), 0.05) as watching:
            yield watching


def _by_python(show: Show, address: str, seconds: float, processes: int) -> None:
    plan = Plan(address, max(3.0, seconds / 10), deadline_seconds=5, sellers=SELLERS, is_past=True)
    load([replace(plan, at_a_time=2)])
    peak = _peak(plan, processes)
    plan = replace(plan, seconds=seconds, deadline_seconds=DEADLINE_SECONDS, rate=TIMES * peak / processes)
    _show_overload(show, load([plan] * processes), peak)


def _peak(plan: Plan, processes: int) -> float:
    best = 0.0
    for count in AT_A_TIME:
        found = load([replace(plan, at_a_time=count)] * processes)
        best = max(best, sum(one.ok / one.seconds for one in found))
    return best


def _show_overload(show: Show, found: list[Found], peak: float) -> None:
    tries = sum(one.tries for one in found)
    offered = sum(one.tries / one.seconds for one in found)
    name = "overload.python"
    show(f"{name}.peak_per_s", round(peak, 1))
    show(f"{name}.tries", tries)
    show(f"{name}.times", round(offered / peak, 2))
    show(f"{name}.goodput", round(sum(one.ok / one.seconds for one in found) / peak, 3))
    show(f"{name}.callers_cores", round(sum(one.cpu_seconds / one.seconds for one in found), 2))
    for code, count in sorted(sum((Counter(one.codes) for one in found), Counter()).items()):
        show(f"{name}.share.{code.lower()}", round(count / tries, 4))


class Answered(NamedTuple):
    a_second: float
    a_core_second: float


def _answered(address: str, metrics: str, body: Path, seconds: float, *arguments: str) -> Answered:
    before, cpu, began = answered_ok(metrics), cpu_seconds(metrics), time.monotonic()
    h2load_for(seconds, address, f"sellertrust.v1.{SCORE}", body, f"-c{H2LOAD_CONNECTIONS}", *arguments)
    took, count = time.monotonic() - began, answered_ok(metrics) - before
    return Answered(count / took, count / max(cpu_seconds(metrics) - cpu, 1e-3))


def answered_ok(metrics: str) -> float:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r'sellertrust_requests_total\{code="OK",method="TrustScoreService/GetTrustScore"\} (\S+)', text)
    return 0.0 if found is None else float(found[1])


def _slow_reads(show: Show, address: str, seconds: float) -> None:
    plan = Plan(address, seconds / 2, at_a_time=SLOW_CALLS, deadline_seconds=10, methods=SLOW, sellers=100)
    number = iter(range(1_000_000))
    with (
        Client(address) as client,
        loading([plan] * SLOW_CALLERS) as found,
        health_checks(address) as health,
        Watching(lambda: client.get_trust_score(MARKET, f"s{next(number) % SELLERS}"), 0.02) as checkouts,
    ):
        time.sleep(plan.seconds + 1)
    show("slow_reads.tries", sum(one.tries for one in found))
    show("slow_reads.ok", sum(one.ok for one in found))
    show("slow_reads.checkouts", checkouts.tries)
    show("slow_reads.checkouts_failed", checkouts.failed.total())
    show("slow_reads.checkout_slowest_ms", round(checkouts.slowest_seconds * 1_000, 1))
    show("slow_reads.health_failed", health.failed.total())
