"""The gRPC server: listens, says how it is, and goes without losing a call.

`serve` is what the command runs; `Server` is the same without signals. Both get their parts made (`service.bootstrap`).
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from scoring.errors import ConfigurationWrong
from sellertrust.v1 import ledger_service_pb2, model_service_pb2, review_service_pb2, trust_score_service_pb2
from service.api.calls import Calls
from service.api.garbage_collection import settle
from service.api.ledger_servicer import WRITES, LedgerServicer
from service.api.logs import Log, Pseudonyms, make_log
from service.api.model_servicer import MODEL_METHODS, ModelServicer
from service.api.review_servicer import REVIEW_WRITES, ReviewServicer
from service.api.stream_threads import Streams
from service.api.tls_files import TlsFiles
from service.api.trust_score_servicer import TrustScoreServicer
from service.ledger.store import Ledger
from service.ledger.tail import Tail
from service.scores.scorer import Scorer
from service.settings import Settings, host_and_port

WRITE_THREADS = 2
"""Appends queue for the ledger's one lock anyway; with threads of their own they cannot hold up the reads."""

MODEL_THREADS = 2
"""Whoever looks at models or promotes one waits for others who do, and holds up nobody else."""

STOP_SECONDS = 10.0
"""How long calls that have begun may take to end when the server stops; appends have deadlines of that size."""

MAX_MESSAGE_BYTES = 16 << 20  # a batch of 10,000 entries; the default of 4 MB is less

OPTIONS = (
    ("grpc.so_reuseport", 0),  # on by default: a stale process would take half of the calls in silence
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),  # finds a client that has vanished; its Watch would be kept for hours
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),  # the client pings every 30 s
    ("grpc.max_connection_age_ms", 3_600_000),  # so that a renewed certificate, and a new server, are taken up
    ("grpc.max_connection_age_grace_ms", 60_000),
)


FILES = (
    ledger_service_pb2.DESCRIPTOR,
    trust_score_service_pb2.DESCRIPTOR,
    review_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
)


class Server:
    """One server on its ports. `start` takes them, `drain` ends without losing a call; a context manager does both.

    The ledger and the scorer are the caller's to close. `log` defaults to the one that the settings describe.
    """

    def __init__(self, settings: Settings, ledger: Ledger, scorer: Scorer, *, log: Log | None = None) -> None:
        self.settings = settings
        self.scorer = scorer
        self.address = ""
        """Where it listens, once started: the port is the real one if 0 was asked for."""
        self.metrics_address = ""
        """Where /metrics is, once started; empty if turned off."""
        self.log = log or make_log(settings.log_format, settings.log_level)
        self._metrics: Any = None
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._reads = ThreadPoolExecutor(settings.worker_threads, thread_name_prefix="read")
        self._writes = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="write")
        self._models = ThreadPoolExecutor(MODEL_THREADS, thread_name_prefix="model")
        self._streams = Streams(settings.stream_threads)
        self._tail = Tail(lambda: ledger.last()[0], readers=max(1, settings.worker_threads // 2))
        self._health = HealthServicer()
        self._grpc = grpc.server(self._reads, options=OPTIONS)
        key = settings.pseudonym_key
        pseudonyms = Pseudonyms(key.get_secret_value().encode() if key else None)
        calls = Calls(self.log, pseudonyms, self._registry, lambda: scorer.champion.digest)
        self._register(
            calls,
            LedgerServicer(ledger, self._tail),
            TrustScoreServicer(ledger, scorer, self._tail),
            ReviewServicer(ledger),
            ModelServicer(scorer.champion.registry, lambda: scorer.champion.digest, scorer.champion.refresh),
        )

    def _register(self, calls: Calls, *servicers: object) -> None:
        """Registers the servicers in the order of `FILES`."""
        pools = dict.fromkeys((*WRITES, *REVIEW_WRITES), self._writes) | dict.fromkeys(MODEL_METHODS, self._models)
        self._services = [OVERALL_HEALTH]
        for file, servicer in zip(FILES, servicers, strict=True):
            (service,) = file.services_by_name.values()
            handlers = calls.handlers(service, servicer, pools, self._streams)
            self._grpc.add_registered_method_handlers(service.full_name, handlers)
            self._services.append(service.full_name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)

    def start(self) -> str:
        """Listens and says SERVING; the address. ConfigurationWrong if an address or the TLS files cannot be used."""
        settings = self.settings
        try:
            if settings.metrics_address:  # first, since gRPC keeps a port that it took and never served
                self.metrics_address = self._offer_metrics(settings.metrics_address)
            self.address = self._listen(settings.address)
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        self._grpc.start()
        for service in self._services:
            self._health.set(service, HealthCheckResponse.SERVING)
        self.log.info("serving", address=self.address, metrics=self.metrics_address, tls=bool(settings.tls_certificate))
        return self.address

    def drain(self) -> None:
        """Says NOT_SERVING, gives balancers and clients `drain_seconds` to go elsewhere, lets calls end, and stops."""
        self.log.info("draining", seconds=self.settings.drain_seconds)
        self._health.enter_graceful_shutdown()
        time.sleep(self.settings.drain_seconds)  # stop() alone loses the calls that are on their way
        self.stop()
        self.log.info("stopped")

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """Takes no more calls, ends streams where they stand, and what still runs after `grace_seconds`. Safe to repeat."""
        self._tail.close()
        self._streams.close()
        self._grpc.stop(grace_seconds).wait()
        self._streams.shutdown()
        self._reads.shutdown()
        self._writes.shutdown()
        self._models.shutdown()
        if self._metrics is not None:
            server, thread = self._metrics
            server.shutdown()
            server.server_close()
            thread.join()
            self._metrics = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()

    def _listen(self, address: str) -> str:
        certificate, key = self.settings.tls_certificate, self.settings.tls_key
        try:
            if certificate is None or key is None:
                port = self._grpc.add_insecure_port(address)
            else:
                files = TlsFiles(certificate, key, self.settings.tls_client_ca, self.log)
                port = self._grpc.add_secure_port(address, files.credentials())
        except RuntimeError:
            raise _cannot_listen(address, "SELLERTRUST_ADDRESS") from None
        return f"{address.rpartition(':')[0]}:{port}"

    def _offer_metrics(self, address: str) -> str:
        host, port = host_and_port(address)
        try:
            self._metrics = start_http_server(port, host, self._registry)
        except OSError:
            raise _cannot_listen(address, "SELLERTRUST_METRICS_ADDRESS") from None
        return f"{address.rpartition(':')[0]}:{self._metrics[0].server_port}"


def serve(server: Server, ledger: Ledger, *, ready: Callable[[Server], None] | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then drains and closes the ledger; the exit code, 0. A second signal kills.

    To be called in the main thread, with a server over this ledger that was not started. `ready` is called once it is.
    ConfigurationWrong as `Server.start`, LedgerUnavailable if the ledger does not answer; it is closed then too.
    """
    try:
        ledger.ping()
        settle()
        with _signals() as wait_for_signal, server:
            if ready is not None:
                ready(server)
            wait_for_signal()
    finally:
        ledger.close()
    return 0


@contextmanager
def _signals() -> Iterator[Callable[[], object]]:
    """A function that waits for SIGTERM or SIGINT, which count from here on: before the server says that it serves.

    The kernel gives a signal to any thread, also to one of gRPC's; a main thread that waits for a lock or an event then
    sleeps on (1 in 20 signals went unheard). A byte that Python's handler writes wakes it whoever got the signal. The
    first signal gives both back their earlier meaning, so that a second one ends a process that does not drain.
    """
    before: dict[int, Any] = {}

    def give_back(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        fd_before = signal.set_wakeup_fd(writer.fileno())
        before |= {number: signal.signal(number, give_back) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield lambda: next(number for [number] in iter(lambda: reader.recv(1), b"") if number in before)
        finally:
            give_back()
            signal.set_wakeup_fd(fd_before)


def _cannot_listen(address: str, variable: str) -> ConfigurationWrong:
    """Why an address cannot be had, which gRPC does not tell: it is tried once more by hand."""
    host, port = host_and_port(address)
    reason = "another process was listening there"
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(place)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    return ConfigurationWrong(
        f"cannot listen on {address}: {reason}; stop what listens there, or set {variable} to another address"
        " (port 0: any free one)"
    )
