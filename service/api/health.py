"""Health of each service, answered by its own threads.

The server is SERVING while it takes calls, a service while the ledger answers or is not needed.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
from grpc_health.v1.health import OVERALL_HEALTH, SERVICE_NAME, HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scoring.base.errors import LedgerUnavailable
from service.api.telemetry.logs import Log
from service.engine.handover import run_in_pool, stream_by_callback
from service.ledger.database.database import outage_of

PROBE_SECONDS = 1.0
"""Time from an answer of the ledger to the next check."""


@dataclass(frozen=True)
class _WatchContext:
    """The context of a watch whose end is reported by a thread of `pool`.

    There it waits for the servicer's lock. If gRPC's one thread waited, a drain would not end.
    """

    _context: grpc.ServicerContext
    _pool: ThreadPoolExecutor

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` in the pool when the watch ends; return False if it has ended."""

        def submit_callback() -> None:
            with suppress(RuntimeError):  # the pool is shut down
                self._pool.submit(callback)

        return bool(self._context.add_callback(submit_callback))


class Health(Collector):
    """The health of `services`, by full name, as of the last `ask`, which raises if the ledger does not answer.

    The caller shuts down `pool`, whose threads answer. `can_answer_alone`: by service, whether it can answer without the
    ledger; others need it.
    """

    def __init__(
        self,
        services: Iterable[str],
        ask: Callable[[], object],
        log: Log,
        pool: ThreadPoolExecutor,
        can_answer_alone: Mapping[str, Callable[[], bool]] = MappingProxyType({}),
    ) -> None:
        self._services = dict.fromkeys(services, True)
        self._ask_ledger = ask
        self._log = log
        self._can_answer_alone = can_answer_alone
        self._servicer = HealthServicer()
        self._pool = pool
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._probe, name="health-probe", daemon=True)

    def add_to(self, server: grpc.Server) -> None:
        def check(request: HealthCheckRequest, context: grpc.ServicerContext) -> HealthCheckResponse:
            return self._servicer.Check(request, context)

        def watch(
            request: HealthCheckRequest, context: grpc.ServicerContext, send_response_callback: Any = None
        ) -> Any:
            return self._servicer.Watch(request, _WatchContext(context, self._pool), send_response_callback)

        run_in_pool(check, self._pool)
        run_in_pool(watch, self._pool)
        stream_by_callback(watch)
        forms = HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        handlers: dict[str, Any] = {
            "Check": grpc.unary_unary_rpc_method_handler(check, *forms),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, *forms),
        }
        server.add_registered_method_handlers(SERVICE_NAME, handlers)

    def start(self) -> None:
        """Report all services SERVING at once, and begin to check the ledger a probe's pause later."""
        for service in (OVERALL_HEALTH, *self._services):
            self._servicer.set(service, HealthCheckResponse.SERVING)
        self._thread.start()

    def drain(self) -> None:
        """Report NOT_SERVING for good."""
        self._is_ending.set()
        self._servicer.enter_graceful_shutdown()

    def stop(self) -> None:
        self._is_ending.set()

    def collect(self) -> Iterator[Metric]:
        text = "Whether a service is SERVING in this process."
        serving = GaugeMetricFamily("sellertrust_serving", text, labels=("service",))
        for service, is_serving in self._services.items():
            serving.add_metric((service,), float(is_serving and not self._is_ending.is_set()))
        yield serving

    def _probe(self) -> None:
        before = ""
        while not self._is_ending.wait(PROBE_SECONDS):
            problem = self._find_problem()
            if before and not problem:
                self._log.info("ledger answers again")
            elif problem != before:
                self._log.error("ledger does not answer", problem=problem)
            before = problem
            self._update_services(not problem)

    def _update_services(self, is_answering: bool) -> None:
        for service, was_serving in self._services.items():
            is_serving = is_answering or (service in self._can_answer_alone and self._can_answer_alone[service]())
            if is_serving != was_serving:
                self._services[service] = is_serving
                status = HealthCheckResponse.SERVING if is_serving else HealthCheckResponse.NOT_SERVING
                self._servicer.set(service, status)

    def _find_problem(self) -> str:
        try:
            self._ask_ledger()
        except Exception as error:  # noqa: BLE001 (whatever it is, the services have no ledger)
            return outage_of(error) if isinstance(error, LedgerUnavailable) else type(error).__name__
        return ""
