"""The gRPC server: listen, report health, and stop without losing a call."""

import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from scoring.base.errors import ConfigurationWrong
from service.access.audit import AuditFile
from service.access.grants_file import GrantsFile
from service.api.approvals import Approvals
from service.api.calls import Calls
from service.api.gate import CallGate
from service.api.health import Health
from service.api.reads import Reads
from service.api.servicers.answer import AnswerServicer
from service.api.servicers.audit import AuditServicer
from service.api.servicers.ledger import LedgerServicer
from service.api.servicers.measure import MeasureServicer
from service.api.servicers.model import ModelServicer
from service.api.servicers.network import NetworkServicer
from service.api.servicers.policy import PolicyServicer
from service.api.servicers.proposal import ProposalServicer
from service.api.servicers.review import ReviewServicer
from service.api.servicers.trust_score import TrustScoreServicer
from service.api.stream_threads import Streams
from service.api.telemetry.book_metrics import BookMetrics
from service.api.telemetry.call_records import CallRecords
from service.api.telemetry.logs import Log, Pseudonyms, hide_subjects, load_or_make_key, make_log
from service.api.telemetry.metrics import MetricsPort, PoolMetrics
from service.api.telemetry.tracing import Tracing
from service.api.tls_files import TlsFiles
from service.contract.letters import Redress
from service.engine.call_pool import CallPool
from service.engine.handover import require_handover
from service.engine.pools import MAX_MESSAGE_BYTES, RULES, Pool, max_calls, threads_of
from service.ledger.clock.tail import Tail
from service.ledger.store import Ledger
from service.mechanism.recorder import Recorder
from service.scores.book.book import Book, BookLimits
from service.scores.book.code_digests import core_digest
from service.scores.payouts import Payouts
from service.scores.scorer import Scorer
from service.settings import Settings, host_and_port, is_loopback

STOP_SECONDS = 10.0
"""Time for calls to end when the server stops; appends have similar deadlines."""

OWN_CALL_SECONDS = 30.0

LATE_SECONDS = 5.0

MAX_METADATA_BYTES = 16 << 10  # gRPC's own bound; it refuses some from half of it on

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES // 2),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", 60_000),  # finds vanished clients, whose Watch would be kept for hours
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.max_connection_age_ms", 3_600_000),  # so that clients adopt a renewed certificate or a new server
    ("grpc.max_connection_age_grace_ms", 60_000),
    ("grpc.server_handshake_timeout_ms", 10_000),  # so that connections which never begin TLS block others only briefly
)


def grpc_options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Return gRPC's options: those of every server, and the limits of the settings."""
    return (
        *OPTIONS,
        # On by default, which would silently give a stale process half of the calls.
        ("grpc.so_reuseport", int(settings.share_address)),
        ("grpc.max_concurrent_streams", settings.limits.connection_calls),
        # By default gRPC counts streams until their memory is free, and meanwhile refuses honest clients' streams.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_allowed_incoming_connections", settings.limits.max_connections),
    )


SCORE_SERVICE = "sellertrust.v1.TrustScoreService"
MODEL_SERVICE = "sellertrust.v1.ModelService"


class Server:
    """One server on its ports, also as a context manager. The caller closes the ledger and the scorer."""

    def __init__(
        self, settings: Settings, ledger: Ledger, scorer: Scorer, *, log: Log | None = None, is_traced: bool = False
    ) -> None:
        self.settings = settings
        self.scorer = scorer
        self.address = ""
        self.metrics_address = ""
        """Empty if turned off."""
        self.handlers: dict[str, Any] = {}
        self.unfinished: dict[str, int] = {}
        """Unended calls by method, once stopped; this process then cannot end by itself."""
        self.log = log or make_log(level=settings.log_level, is_deferred=True)
        self._metrics: MetricsPort | None = None
        self._tracing = Tracing(self.log) if is_traced else None
        if self._tracing is not None:
            self._tracing.watch(*ledger.database.engines)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        # At most half of the slow reads wait for a sequence, and a quarter of the scores; half of the scores may
        # compute.
        waiting = min(settings.limits.worker_threads // 2, settings.limits.slow_threads) // 2
        self._tail = Tail(lambda: ledger.last().sequence, readers=max(1, waiting))
        audit = AuditFile(settings.audit_file)
        pseudonyms = self._pseudonyms = Pseudonyms(load_or_make_key(settings.pseudonym_key))
        self._grants = None if settings.grants is None else self._open_grants(settings.grants)
        gate = CallGate(self._grants, has_socket=settings.socket is not None, is_mesh=settings.is_mesh, audit=audit)
        approvals = Approvals(self._grants, ledger, self.log.warning)
        records = CallRecords(self.log, pseudonyms, self._registry, lambda: scorer.champion.digest, self._tracing)
        self._calls = Calls(records, gate, approvals, self._tracing)
        self._pools = {
            pool: CallPool(pool.value, threads, RULES[pool], records, gate.turnstile)
            for pool, threads in threads_of(settings.limits).items()
        }
        self._registry.register(PoolMetrics(self._pools.values()))
        self._streams = Streams(
            settings.limits.stream_threads, settings.limits.client_streams, self._pools[Pool.STREAM]
        )
        self._grpc = grpc.server(
            self._pools[Pool.READ], options=grpc_options(settings), maximum_concurrent_rpcs=max_calls(settings.limits)
        )
        reads = Reads(ledger, self._tail)
        self.book = self._make_book(scorer)
        recorder = Recorder(ledger, scorer)
        redress = Redress(settings.laws, settings.contest_link, settings.redress_link if settings.laws else "")
        services = self._register(
            LedgerServicer(ledger, self._tail, reads, recorder),
            TrustScoreServicer(scorer, reads, self.book),
            ReviewServicer(ledger, scorer, reads),
            ModelServicer(scorer.champion.registry, lambda: scorer.champion.digest, scorer.champion.refresh),
            ProposalServicer(ledger, approvals, scorer.champion.registry, scorer.policy),
            MeasureServicer(scorer, Payouts(ledger, scorer), reads, recorder),
            PolicyServicer(scorer.policy, ledger.database, lambda: scorer.champion.digest, core_digest()),
            AuditServicer(audit),
            AnswerServicer(ledger, scorer, reads, recorder, redress),
            NetworkServicer(ledger, scorer, reads, settings.data_dir / "checkpoint-key.pem"),
        )
        health = self._pools[Pool.HEALTH]
        self._health = Health(services, ledger.database.ping, self.log, health, self._list_services_without_ledger())
        self._health.add_to(self._grpc)
        self._registry.register(self._health)

    def _make_book(self, scorer: Scorer) -> Book | None:
        limits = self.settings.limits
        if limits.book_sellers == 0:
            return None
        report: Callable[[str], None] = lambda problem: self.log.error("book", problem=problem)  # noqa: E731
        book = Book(
            scorer,
            BookLimits(
                limits.book_sellers,
                limits.book_fresh_seconds,
                limits.book_stale_hours * 3_600,
                seats=max(1, limits.worker_threads // 2),
                batch_seats=limits.slow_threads,
            ),
            self._tail.note_sequence,
            self._tail.restart_after_loss,
            report,
            self.settings.generations,
        )
        self._registry.register(BookMetrics(book))
        return book

    def _list_services_without_ledger(self) -> dict[str, Callable[[], bool]]:
        return {MODEL_SERVICE: lambda: True} | ({SCORE_SERVICE: self.book.can_answer} if self.book else {})

    def _register(self, *servicers: object) -> list[str]:
        names = []
        for servicer in servicers:
            name = type(servicer).__name__.removesuffix("r")  # LedgerServicer implements LedgerService
            service = descriptor_pool.Default().FindServiceByName(f"sellertrust.v1.{name}")
            handlers = self._calls.handlers(service, servicer, self._pools, self._streams)
            self._grpc.add_registered_method_handlers(service.full_name, handlers)
            names.append(service.full_name)
            self.handlers |= {f"{service.name}/{name}": handler for name, handler in handlers.items()}
        return names

    def start(self) -> str:
        """Open the ports, start all threads, report SERVING; return the address.

        Raises ConfigurationWrong if an address or the TLS files cannot be used.
        """
        settings = self.settings
        try:
            if self._grants is not None:
                self._require_identifiable_callers(self._grants)
                self._grants.start()
            if settings.metrics_address:  # first, since gRPC keeps a port that it took and never served
                self.metrics_address = self._open_metrics_port(settings.metrics_address)
            self.address = self._listen(settings.address)
            if settings.socket is not None:
                self._listen_on_socket(settings.socket)
            with tempfile.TemporaryDirectory() as folder:
                own_socket = f"unix:{folder}/own"
                self._grpc.add_insecure_port(own_socket)
                self._grpc.start()
                self._require_handover(own_socket)
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        if self.book is not None:
            self.book.start()
        self._health.start()
        self.log.info("serving", address=self.address, metrics=self.metrics_address, tls=isinstance(settings.tls, Path))
        return self.address

    def _require_handover(self, target: str) -> None:
        with grpc.insecure_channel(target) as channel, suppress(grpc.RpcError):
            HealthStub(channel).Check(HealthCheckRequest(), timeout=OWN_CALL_SECONDS)
        require_handover(self._pools[Pool.HEALTH])

    def add_metrics(self, collector: Collector) -> None:
        self._registry.register(collector)

    def metrics(self) -> bytes:
        return generate_latest(self._registry)

    def drain(self) -> None:
        """Report NOT_SERVING, wait `drain_seconds`, let calls end, stop; no call is lost.

        Meanwhile balancers and clients move elsewhere. Blocks until done; unended calls are in `unfinished`.
        """
        self.log.info("draining", seconds=self.settings.limits.drain_seconds)
        self._health.drain()
        time.sleep(self.settings.limits.drain_seconds)  # stop() alone loses calls in transit
        self.stop(STOP_SECONDS)
        if not self.unfinished:
            self.log.info("stopped")
        self.log.flush()

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        """Refuse new calls, end streams, and end running calls after `grace_seconds`. Idempotent.

        Takes at most `grace_seconds` and twice `LATE_SECONDS`. Then unended calls are given up and are in `unfinished`.
        """
        self._tail.close(LATE_SECONDS)
        self._streams.close()
        self._grpc.stop(grace_seconds).wait()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self.unfinished = self._calls.wait_until_idle(LATE_SECONDS)
        if self.unfinished:
            self.log.error("calls did not end, and their threads are given up", calls=self.unfinished)
        for pool in self._pools.values():
            pool.shutdown(wait=not self.unfinished)
        self._streams.shutdown(wait=not self.unfinished)
        self._health.stop()
        if self.book is not None:
            self.book.close(LATE_SECONDS)
        if self._grants is not None:
            self._grants.stop()
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if self._tracing is not None:
            self._tracing.close()
            self._tracing = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drain()

    def _listen(self, address: str) -> str:
        folder = self.settings.tls
        try:
            if not isinstance(folder, Path):
                port = self._grpc.add_insecure_port(address)
            else:
                files = TlsFiles(folder, self.log)
                port = self._grpc.add_secure_port(address, files.credentials())
        except RuntimeError:
            raise _probe_listening_error(address, "SELLERTRUST_ADDRESS") from None
        return f"{address.rpartition(':')[0]}:{port}"

    def _listen_on_socket(self, path: Path) -> None:
        umask_before = os.umask(0o077)
        try:
            self._grpc.add_insecure_port(f"unix:{path}")
        except RuntimeError:
            raise ConfigurationWrong(f"cannot listen on {path}; name another path by SELLERTRUST_SOCKET") from None
        finally:
            os.umask(umask_before)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigurationWrong(
                f"{path} has the mode {mode:o}, by which others can open it; it needs a folder of Unix"
            )

    def _require_identifiable_callers(self, grants: GrantsFile) -> None:
        settings = self.settings
        has_own_socket = settings.socket is not None and is_loopback(settings.address)
        if not settings.server_file("client-ca.crt") and not grants.rules.has_issuers and not has_own_socket:
            raise ConfigurationWrong(
                "SELLERTRUST_GRANTS is set, and nobody can show who calls; ask for client certificates: add"
                " client-ca.crt to the folder SELLERTRUST_TLS, or name issuers of tokens in the grants file"
            )

    def _open_grants(self, path: Path) -> GrantsFile:
        """Raises ConfigurationWrong without subjects of tokens, since the error may be logged."""
        try:
            return GrantsFile(path, self._report_grants)
        except ConfigurationWrong as error:
            raise ConfigurationWrong(hide_subjects(error.message, self._pseudonyms)) from None

    def _report_grants(self, event: str, problem: str) -> None:
        if problem:
            self.log.error(event, problem=hide_subjects(problem, self._pseudonyms))
        else:
            self.log.info(event)

    def _open_metrics_port(self, address: str) -> str:
        host, port = host_and_port(address)
        try:
            self._metrics = MetricsPort(host, port, self._registry)
        except OSError:
            raise _probe_listening_error(address, "SELLERTRUST_METRICS_ADDRESS") from None
        return f"{address.rpartition(':')[0]}:{self._metrics.port}"


def _probe_listening_error(address: str, variable: str) -> ConfigurationWrong:
    """Return why HOST:PORT cannot be opened, by opening it again. `variable`: the setting of the address."""
    host, port = host_and_port(address)
    reason = "another process was listening there"
    try:
        family, kind, protocol, _, address_info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address_info)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    return ConfigurationWrong(
        f"cannot listen on {address}: {reason}; stop what listens there, or set {variable} to another address"
        " (port 0: any free one)"
    )
