import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from scoring.base.errors import ConfigurationWrong
from sellertrust.client import Client
from sellertrust.v1 import entry_pb2
from service.access.limits import CLASSES
from service.access.rights import METHODS
from service.api.calls import class_of
from service.engine import call_pool
from service.ledger.queries.violations import ViolationQueries
from tests.helpers.servers import MARKET, NOT_SERVING, SERVING, health_of, identity, running_server

STUCK = """
import sys, threading
from pathlib import Path
from service.ledger.store import Ledger
from service.bootstrap import build_server
from service.api import server as servers
from service.api.serving import serve
from tests.helpers.worlds import policy
from tests.helpers.servers import settings_of
servers.STOP_SECONDS = servers.LATE_SECONDS = 0.3
settings = settings_of(data_dir=Path(sys.argv[1]), drain_seconds=0)
ledger = Ledger.open(settings.database_url, create=True)
server = build_server(settings, ledger, policy())
def ready(server):
    server.scorer.scores = lambda *_: print("begun", flush=True) or threading.Event().wait()
    print(server.address, flush=True)
sys.exit(serve(server, ledger, ready=ready))
"""


def test_bulk_decisions_hold_up_no_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, release = threading.Semaphore(0), threading.Event()
    select = ViolationQueries.select

    def wait(*arguments: Any) -> Any:
        begun.release()
        release.wait(30)
        return select(*arguments)

    # a bulk decision that lasts as long as the test says
    monkeypatch.setattr(ViolationQueries, "select", wait)
    with (
        running_server(tmp_path) as running,
        running.client(service_config={}) as client,
        ThreadPoolExecutor(12) as pool,
        ExitStack() as stack,
    ):
        stack.callback(release.set)
        decide = client.decide_violations
        asked: Any = {"actor": "a", "reason": "r", "seller": "s", "deadline_seconds": 25}
        for _ in range(12):
            pool.submit(decide, MARKET, entry_pb2.ACTION_DISMISS, **asked)
        assert begun.acquire(timeout=30)
        assert begun.acquire(timeout=30)
        assert client.append_entries(MARKET, [identity("i", "s")], deadline_seconds=10)


@pytest.mark.long
def test_a_call_that_does_not_end_does_not_hold_the_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        with Client(address, service_config={}) as client, ThreadPoolExecutor(1) as pool:
            client.append_entries(MARKET, [identity("i", "s")])
            pool.submit(client.get_trust_score, MARKET, "s", deadline_seconds=60)
            assert process.stdout.readline() == "begun\n"
            process.terminate()
            try:
                _, log = process.communicate(timeout=30)
            finally:
                process.kill()
    assert process.returncode == 1
    assert "calls did not end" in log
    assert "TrustScoreService/GetTrustScore" in log
    assert '"event": "stopped"' not in log


def test_a_grpc_that_hands_no_call_over_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a changed gRPC, calls would run beside the pools."""
    # a release of grpcio with another inside
    monkeypatch.setattr(call_pool, "is_handed_over", lambda _: False)
    with pytest.raises(ConfigurationWrong, match="does not hand calls over"), running_server(tmp_path):
        pass


def test_every_method_is_of_a_class_that_limits_count() -> None:
    """Otherwise limits of the grants file would not count its calls."""
    assert {class_of(method) for method in METHODS} == {*CLASSES}


def test_a_watch_of_health_holds_no_thread(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, grpc.insecure_channel(running.address) as channel:
        watches = [HealthStub(channel).Watch(HealthCheckRequest(), timeout=60) for _ in range(50)]
        assert [next(watch).status for watch in watches] == [SERVING] * 50
        assert health_of(running.address) == SERVING
        running.server._health.drain()
        assert {next(watch).status for watch in watches} == {NOT_SERVING}
