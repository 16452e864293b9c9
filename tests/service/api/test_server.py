import io
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from scoring.base.errors import ConfigurationWrong
from sellertrust import channel
from sellertrust.client import Client, SellertrustCallError
from sellertrust.v1 import entry_pb2
from service.access.limits import CLASSES
from service.access.rights import METHODS
from service.api.calls import class_of
from service.api.telemetry.logs import make_log
from service.bootstrap import build_server
from service.engine import call_pool
from service.ledger.queries.violations import ViolationQueries
from tests.helpers.callers import grant, write_grants
from tests.helpers.limits import Limit
from tests.helpers.moments import before_call
from tests.helpers.refusals import refusal
from tests.helpers.servers import (
    MARKET,
    NOT_SERVING,
    SERVING,
    Running,
    health_of,
    identity,
    metrics_of,
    running_server,
    settings_of,
)
from tests.helpers.waiting import wait_until

SERVE = """
import sys
from pathlib import Path
from service.ledger.store import Ledger
from service.bootstrap import build_server
from service.api.serving import serve
from tests.helpers.worlds import policy
from tests.helpers.servers import settings_of
settings = settings_of(data_dir=Path(sys.argv[1]), drain_seconds=0.2)
ledger = Ledger.open(settings.database_url, create=True)
def ready(server):
    print(server.address, sys.getswitchinterval(), flush=True)
sys.exit(serve(build_server(settings, ledger, policy()), ledger, ready=ready))
"""


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def test_health_is_told_of_the_server_and_of_each_service(running: Running) -> None:
    for service in ("LedgerService", "ReviewService", "TrustScoreService"):
        assert health_of(running.address, service) == SERVING
    assert health_of(running.address) == SERVING
    assert refusal(health_of, running.address, "NoService").code is grpc.StatusCode.NOT_FOUND


@pytest.mark.long
def test_a_draining_server_says_so_and_answers(tmp_path: Path) -> None:
    with running_server(tmp_path, drain_seconds=3) as running, running.client() as client:
        client.append_entries(MARKET, [identity("i", "s")])
        draining = threading.Thread(target=running.server.drain)
        draining.start()
        wait_until(lambda: health_of(running.address) == NOT_SERVING)
        with grpc.insecure_channel(running.address) as channel:
            call = channel.unary_unary("/sellertrust.v1.LedgerService/ListEntries")
            assert call(b"\x0a\x11marketplaces/acme", timeout=60)
        draining.join()
        assert [line["event"] for line in running.lines("draining") + running.lines("stopped")] == [
            "draining",
            "stopped",
        ]


IDENTITY = identity("i", "s")


@pytest.mark.long
def test_a_begun_call_is_answered_before_the_stop(tmp_path: Path) -> None:
    with running_server(tmp_path) as running, running.client() as client, ThreadPoolExecutor(1) as pool:
        client.append_entries(MARKET, [identity("i", "s")])
        begun = threading.Event()
        before_call(running.scorer, "scores", lambda: (begun.set(), time.sleep(0.5)))
        answer = pool.submit(client.get_trust_score, MARKET, "s", deadline_seconds=60)
        assert begun.wait(60)
        running.server.drain()
        assert answer.result().seller


@pytest.mark.long
def test_a_signal_drains_closes_the_ledger_and_ends_with_0(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address, interval = process.stdout.readline().split()
        assert float(interval) < 0.001
        with Client(address) as client:
            client.append_entries(MARKET, [identity("i", "s")])
            process.send_signal(signal.SIGINT)  # SIGTERM has the next test
            _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert '"event": "stopped"' in log
    assert not list(tmp_path.glob("*.db-wal"))


@pytest.mark.long
def test_a_signal_to_another_thread_is_heard(tmp_path: Path) -> None:
    """A thread of gRPC may receive it; a main thread that waits for a lock would miss it."""
    asks = "threading.Thread(target=ask).start()"
    head = (
        "import signal, threading, time\n"
        "def ask():\n"
        "    time.sleep(0.5)  # the main thread waits by now\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
    )
    script = head + SERVE.replace("print(server.address, sys.getswitchinterval(), flush=True)", asks)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"event": "stopped"' in done.stderr


def test_a_taken_port_is_named_with_its_variable(running: Running, tmp_path: Path) -> None:
    with taken_port() as other:
        for address in (other, running.address):
            with pytest.raises(ConfigurationWrong) as caught, running_server(tmp_path, address=address):
                pass
            for part in (address, "address already in use", "SELLERTRUST_ADDRESS"):
                assert part in caught.value.message


def test_a_foreign_address_and_an_unknown_name_differ(tmp_path: Path) -> None:
    tls = {"tls_certificate": certificate("server.pem"), "tls_key": certificate("server.key")}
    grants = tmp_path / "grants.toml"
    write_grants(grants, grant("dns:checkout.example", ["read_scores"]))
    tls |= {"tls_client_ca": certificate("ca.pem"), "grants": grants}
    for address, problem in (("192.0.2.1:50051", "cannot assign"), ("no-such-host.invalid:50051", "name")):
        with pytest.raises(ConfigurationWrong, match=problem), running_server(tmp_path, address=address, **tls):
            pass


@pytest.mark.long
def test_a_taken_metrics_port_stops_the_start(tmp_path: Path) -> None:
    with taken_port() as address, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        with (
            pytest.raises(ConfigurationWrong, match="SELLERTRUST_METRICS_ADDRESS") as caught,
            running_server(tmp_path, address=first, metrics_address=address),
        ):
            pass
        assert address in caught.value.message
        with running_server(tmp_path, address=first):
            pass


def test_metrics_count_calls_of_each_server(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, metrics_address="127.0.0.1:0") as running,
        running_server(tmp_path, metrics_address="127.0.0.1:0") as other,
        running.client() as client,
    ):
        client.append_entries(MARKET, [identity("i", "s")])
        for seller in ("s", "s", "nobody"):
            client.get_trust_score(MARKET, seller, on_error="unknown")
        text = metrics_of(running.server)
        method = 'method="TrustScoreService/GetTrustScore"'
        assert f'sellertrust_requests_total{{code="OK",{method}}} 2.0' in text
        assert f'sellertrust_requests_total{{code="NOT_FOUND",{method}}} 1.0' in text
        assert f'rpc_server_call_duration_seconds_count{{rpc_{method},rpc_response_status_code="OK"}} 2.0' in text
        assert "process_resident_memory_bytes" in text
        assert "GetTrustScore" not in metrics_of(other.server)


@pytest.mark.long
def test_work_that_nobody_waits_for_any_more_is_not_begun(running: Running, client: Client) -> None:
    with holding_the_lock(running.database), ThreadPoolExecutor(8) as pool:
        late = [
            pool.submit(client.append_entries, MARKET, [identity(f"i{n}", "s")], deadline_seconds=3.0) for n in range(8)
        ]
        codes = {append.exception().code for append in late}
        release(running.database)
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    wait_until(lambda: len(running.lines()) == 8)
    assert sum("turned_away" in line for line in running.lines()) == 6
    assert len(list(client.list_entries(MARKET))) == 2
    assert [line["method"] for line in running.lines()] == ["LedgerService/AppendEntries"] * 8 + [LISTING]


LISTING = "LedgerService/ListEntries"
_locks: dict[Path, sqlite3.Connection] = {}


@contextmanager
def holding_the_lock(database: Path) -> Iterator[None]:
    _locks[database] = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    _locks[database].execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        release(database)


def release(database: Path) -> None:
    if connection := _locks.pop(database, None):
        connection.execute("ROLLBACK")
        connection.close()


def certificate(name: str) -> Path:
    return Path(__file__).parents[1] / "certificates" / name


@pytest.mark.long
def test_tls_is_spoken_and_plain_text_is_not(tmp_path: Path) -> None:
    tls = {"tls_certificate": certificate("server.pem"), "tls_key": certificate("server.key")}
    with running_server(tmp_path, **tls) as running:
        with running.client(tls=certificate("ca.pem")) as client:
            assert client.append_entries(MARKET, [identity("i", "s")])
        with running.client() as plain, pytest.raises(SellertrustCallError) as caught:
            plain.get_trust_score(MARKET, "s")
        assert caught.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        with running.client(tls=grpc.ssl_channel_credentials()) as stranger, pytest.raises(SellertrustCallError):
            stranger.get_trust_score(MARKET, "s")


def name_shown(address: str) -> str:
    context = ssl.create_default_context(cafile=certificate("ca.pem"))
    context.set_alpn_protocols(["h2"])
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        subject = dict(pair[0] for pair in secured.getpeercert()["subject"])
    return subject["commonName"]


def put(source: str, target: Path) -> None:
    beside = target.with_suffix(".new")
    beside.write_bytes(certificate(source).read_bytes())
    beside.replace(target)


@pytest.mark.long
def test_renewed_certificates_are_taken_up(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    put("server.pem", chain)
    put("server.key", key)
    with running_server(tmp_path, tls_certificate=chain, tls_key=key) as running:
        with running.client(tls=certificate("ca.pem")) as client:
            client.append_entries(MARKET, [identity("i", "s")])
            assert name_shown(running.address) == "sellertrust test server"
            put("renewed.pem", chain)
            assert name_shown(running.address) == "sellertrust test server"
            put("renewed.key", key)
            assert name_shown(running.address) == "sellertrust test renewed"
            key.unlink()
            assert name_shown(running.address) == "sellertrust test renewed"
            assert client.get_trust_score(MARKET, "s").seller
        assert running.lines("tls files renewed")
        assert len(running.lines("tls files refused, the last good ones stay in use")) == 2


@pytest.mark.long
def test_a_client_goes_on_with_the_old_pair_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: Limit, caplog: pytest.LogCaptureFixture
) -> None:
    limit(channel, LOOK_SECONDS=0.0)
    chain, key = tmp_path / "caller.pem", tmp_path / "caller.key"
    put("client.pem", chain)
    put("client.key", key)
    files = {"tls_certificate": "server.pem", "tls_key": "server.key", "tls_client_ca": "ca.pem"}
    with (
        running_server(tmp_path, **{name: certificate(file) for name, file in files.items()}) as running,
        running.client(tls=certificate("ca.pem"), certificate=chain, key=key) as client,
    ):
        client.append_entries(MARKET, [identity("i", "s")])
        first = client.channel.current
        put("renewed.pem", chain)
        for _ in range(3):
            assert client.get_trust_score(MARKET, "s").seller
        assert client.channel.current is first
        assert [record.levelname for record in caplog.records if "old pair" in record.message] == ["WARNING"]
        put("renewed.key", key)
        read = Path.read_bytes

        def refuse(path: Path) -> bytes:
            if path == key:
                raise PermissionError(f"{path} is unreadable")
            return read(path)

        with monkeypatch.context() as unreadable:
            unreadable.setattr(Path, "read_bytes", refuse)
            for _ in range(3):
                assert client.get_trust_score(MARKET, "s").seller
            assert client.channel.current is first
            assert len([record for record in caplog.records if "old pair" in record.message]) == 2
        assert client.get_trust_score(MARKET, "s").seller
        assert client.channel.current is not first


def test_tls_files_that_do_not_fit_together_stop_the_start(tmp_path: Path) -> None:
    for chain, key in (("server.pem", "renewed.key"), ("README.md", "server.key")):
        tls = {"tls_certificate": certificate(chain), "tls_key": certificate(key)}
        with pytest.raises(ConfigurationWrong, match="SELLERTRUST_TLS"), running_server(tmp_path, **tls):
            pass


@pytest.mark.long
def test_a_server_without_a_ledger_that_answers_does_not_start(tmp_path: Path) -> None:
    from scoring.base.errors import LedgerUnavailable
    from service.api.serving import serve
    from service.ledger.store import Ledger
    from tests.helpers.worlds import policy

    settings = settings_of(data_dir=tmp_path)
    ledger = Ledger.open(settings.database_url, create=True)
    ledger.close()
    with pytest.raises(LedgerUnavailable):
        serve(build_server(settings, ledger, policy(), log=make_log("json", "info", io.StringIO())), ledger)


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
    with running_server(tmp_path, drain_seconds=1) as running, grpc.insecure_channel(running.address) as channel:
        watches = [HealthStub(channel).Watch(HealthCheckRequest(), timeout=60) for _ in range(50)]
        assert [next(watch).status for watch in watches] == [SERVING] * 50
        assert health_of(running.address) == SERVING
        draining = threading.Thread(target=running.server.drain)
        draining.start()
        assert {next(watch).status for watch in watches} == {NOT_SERVING}
        draining.join()
