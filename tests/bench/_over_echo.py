"""Remembered scores over an echo of the same sizes, in plain text and with mutual TLS and grants; what each part takes.

The echo is gRPC's own way to answer, by a thread of a pool. Remembered scores need none, so beside it stands an echo that is
answered in their way (`get_over_inline_echo`): what that saves is the dispatch's, and no merit of the book.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from sellertrust.client import Client
from sellertrust.v1 import trust_score_service_pb2 as pb
from service.api.answers_at_once import FindAtOnce
from service.api.call_pool import CallPool
from service.api.calls import Calls
from service.api.gate import Gate
from service.api.logs import Log, Pseudonyms, make_log
from service.api.pools import RULES, Pool
from service.api.server import Server, options_of
from service.api.tls_files import TlsFiles
from service.ledger.store import Ledger
from service.scores.scorer import Scorer
from service.settings import Settings
from tests.bench._h2load import h2load, require_programs, showing, write_body
from tests.callers import Authority, Shown, grant, write_grants

SERVICE = "sellertrust.v1.TrustScoreService"
METHOD = "GetTrustScore"
ROUNDS, CALLS = 7, 4_000
AT_A_TIME = (1, 32)


@dataclass
class Target:
    """A server that is loaded, and what counts the calls that it answered with OK."""

    address: str
    answered: Callable[[], float]


def measure_over_echo(settings: Settings, ledger: Ledger, scorer: Scorer, seller: str) -> dict[str, float]:
    """Figures of a seller's remembered score; `seller`: its resource name. Every success is logged to a file."""
    require_programs()
    folder = settings.data_dir
    request = pb.GetTrustScoreRequest(seller=seller).SerializeToString()
    body = write_body(folder / "single", request)
    figures: dict[str, float] = {}
    with _server(settings, ledger, scorer) as (server, log), ExitStack() as stack:
        answer = _answer_of(server, request)
        echo = stack.enter_context(_echo(settings, answer))
        inline = stack.enter_context(_inline_echo(settings, answer, log))
        figures |= _ratios(_target_of(server), {"get_over_echo": echo, "get_over_inline_echo": inline}, body)
        around = stack.enter_context(_around(settings, answer, log))
        figures |= _parts([echo, inline, around, _target_of(server)], body)
    authority = Authority(folder)
    shown = authority.certificate(dns=["checkout.example"])
    grants = folder / "grants.toml"
    marketplace = seller.split("/")[1]
    write_grants(grants, grant("dns:checkout.example", ["read_scores"], marketplaces=[marketplace]))
    secured = settings.model_copy(update={**authority.server_settings(), "grants": grants})
    with _server(secured, ledger, scorer) as (server, log), ExitStack() as stack:
        answer = _answer_of(server, request, shown)
        echo = stack.enter_context(_echo(secured, answer, log))
        ours, theirs = (
            Target(stack.enter_context(showing(target.address, shown, folder)), target.answered)
            for target in (_target_of(server), echo)
        )
        figures |= _ratios(ours, {"get_over_echo_mtls": theirs}, body)
    return figures


def _ratios(ours: Target, echoes: Mapping[str, Target], body: Path) -> dict[str, float]:
    """Calls a second over those of each echo, medians of interleaved rounds, by how many are in flight."""
    found: dict[tuple[str, int], list[float]] = {(name, at_a_time): [] for at_a_time in AT_A_TIME for name in echoes}
    for turn in range(ROUNDS):
        for at_a_time in AT_A_TIME:
            targets = [*echoes.items(), ("", ours)]
            rates = {
                name: _load(target, at_a_time, body)[0] for name, target in (targets if turn % 2 else reversed(targets))
            }
            for name in echoes:
                found[name, at_a_time].append(rates[""] / rates[name])
    return {f"{name}.c{at_a_time}": round(statistics.median(ratios), 3) for (name, at_a_time), ratios in found.items()}


def _parts(ladder: list[Target], body: Path) -> dict[str, float]:
    """Processor's time of this process in microseconds a call, at 32 in flight, of the echoes and of each part on top."""
    times: list[list[float]] = [[] for _ in ladder]
    for _ in range(ROUNDS):
        for target, into in zip(ladder, times, strict=True):
            into.append(_load(target, AT_A_TIME[-1], body)[1])
    echo, inline, around, whole = (statistics.median(found) for found in times)
    parts = {"echo": echo, "inline_echo": inline, "call_and_log": around - inline, "book": whole - around}
    return {f"get_us.{name}": round(value, 1) for name, value in parts.items()} | {"get_cpu_us": round(whole, 1)}


def _load(target: Target, at_a_time: int, body: Path) -> tuple[float, float]:
    """(calls a second, microseconds of this process's processor time a call); each call must have ended with OK."""
    before, began = target.answered(), time.process_time()
    rate = h2load(target.address, f"{SERVICE}/{METHOD}", body, count=CALLS, at_a_time=at_a_time)
    used = time.process_time() - began
    if target.answered() - before != CALLS:
        raise RuntimeError("some calls did not end with OK")
    return rate, used * 1e6 / CALLS


def _answer_of(server: Server, request: bytes, shown: Shown | None = None) -> bytes:
    """What the server answers, by a real client, which checks the status of gRPC; it is remembered then."""
    options = {} if shown is None else shown.options()
    with Client(server.address, **options) as client:
        stub = client.channel.unary_unary(f"/{SERVICE}/{METHOD}")
        for _ in range(3):
            answer: bytes = stub(request, timeout=30)
    if pb.GetTrustScoreResponse.FromString(answer).trust_score.state != pb.SCORE_STATE_RATED:
        raise RuntimeError("the seller is not rated")
    return answer


@contextmanager
def _server(settings: Settings, ledger: Ledger, scorer: Scorer) -> Iterator[tuple[Server, Log]]:
    with (settings.data_dir / "calls.log").open("a") as lines:
        log = make_log("json", "info", lines, is_deferred=True)
        with Server(settings, ledger, scorer, log=log) as server:
            yield server, log


def _target_of(server: Server) -> Target:
    labels = {"method": f"{SERVICE.rpartition('.')[2]}/{METHOD}", "code": "OK"}
    count = server._registry.get_sample_value
    return Target(server.address, lambda: count("sellertrust_requests_total", labels) or 0.0)


@contextmanager
def _echo(settings: Settings, answer: bytes, log: Log | None = None) -> Iterator[Target]:
    """A handler that returns the same bytes, with nothing around it; with a log by the TLS files of the settings."""
    count = [0]

    def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
        count[0] += 1
        return answer

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behave)
    with _listening(settings, handler, log) as address:
        yield Target(address, lambda: count[0])


@contextmanager
def _inline_echo(settings: Settings, answer: bytes, log: Log) -> Iterator[Target]:
    """The echo, answered as remembered scores are: where its request arrives, by gRPC's own thread."""
    count = [0]
    records = Calls(log, Pseudonyms(), CollectorRegistry(), lambda: "").records
    pool = CallPool("read", settings.worker_threads, RULES[Pool.READ], records)

    def at_once(data: bytes, call: object) -> bytes:
        count[0] += 1
        return answer

    def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
        raise RuntimeError("no thread is needed")

    behave.at_once = at_once  # type: ignore[attr-defined]
    behave.experimental_thread_pool = pool  # type: ignore[attr-defined]
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behave)
    with _listening(settings, handler) as address:
        yield Target(address, lambda: count[0])
    pool.shutdown()


@contextmanager
def _around(settings: Settings, answer: bytes, log: Log) -> Iterator[Target]:
    """The inline echo as a servicer: passed by the gate, counted and logged."""

    class Servicer:
        def __getattr__(self, name: str) -> Callable[[Any], bytes]:
            return lambda request: answer

        def at_once(self, name: str) -> FindAtOnce | None:
            return (lambda request: lambda: answer) if name == METHOD else None

    registry, gate = CollectorRegistry(), Gate()
    calls = Calls(log, Pseudonyms(), registry, lambda: "0" * 64, gate)
    pool = CallPool("read", settings.worker_threads, RULES[Pool.READ], calls.records, gate.turnstile)
    service = pb.DESCRIPTOR.services_by_name["TrustScoreService"]
    pools = {f"TrustScoreService/{method.name}": pool for method in service.methods}
    labels = {"method": f"TrustScoreService/{METHOD}", "code": "OK"}
    handler = calls.handlers(service, Servicer(), pools)[METHOD]
    with _listening(settings, handler) as address:
        yield Target(address, lambda: registry.get_sample_value("sellertrust_requests_total", labels) or 0.0)
    pool.shutdown()


@contextmanager
def _listening(settings: Settings, handler: Any, log: Log | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(settings.worker_threads), options=options_of(settings))
    server.add_registered_method_handlers(SERVICE, {METHOD: handler})
    certificate, key = settings.tls_certificate, settings.tls_key
    if log is None or certificate is None or key is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        files = TlsFiles(certificate, key, settings.tls_client_ca, log)
        port = server.add_secure_port("127.0.0.1:0", files.credentials())
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
