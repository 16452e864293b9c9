import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collected
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collecting
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from sellertrust.aio import AsyncClient
from sellertrust.client import Client, SellertrustCallError
from tests.helpers.filled import prepare
from tests.helpers.servers import MARKET, exposure
from tests.helpers.shells import Shell, serving, shell_of
from tests.helpers.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning:opentelemetry")]


class Collector(collecting.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.seen = b""
        self._lock = threading.Lock()

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._lock:
            for resource in request.resource_spans:
                [name] = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
                self.seen += resource.SerializeToString() if name == "sellertrust" else b""
                self.spans += [(name, span) for scope in resource.scope_spans for span in scope.spans]
        return collected.ExportTraceServiceResponse()

    def named(self, service: str, name: str) -> list[Any]:
        with self._lock:
            return [span for of, span in self.spans if (of, span.name) == (service, name)]


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    server, found = grpc.server(ThreadPoolExecutor(2)), Collector()
    collecting.add_TraceServiceServicer_to_server(found, server)
    url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=url)))
    trace.set_tracer_provider(provider)
    instrumentors = GrpcInstrumentorClient(), GrpcAioInstrumentorClient()
    for one in instrumentors:
        one.instrument()
    yield found, url
    for one in instrumentors:
        one.uninstrument()
    provider.shutdown()
    server.stop(None)


@contextmanager
def traced(folder: Path, url: str) -> Iterator[str]:
    prepare(folder)
    shell = shell_of(folder)
    collecting_at = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with serving(Shell(shell.environment | collecting_at, shell.run), folder) as address:
        yield address


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "server.log").read_text().splitlines()]


def test_a_call_is_one_trace_from_client_to_database(tmp_path: Path, collector: tuple[Collector, str]) -> None:
    found, url = collector
    method = "/sellertrust.v1.TrustScoreService/GetTrustScore"
    with traced(tmp_path, url) as address, Client(address, deadline_seconds=30) as client:
        for _ in range(2):  # the second is remembered
            assert client.get_trust_score(MARKET, "s1").points
        with pytest.raises(SellertrustCallError):
            client.get_trust_score(MARKET, "no-such-seller")
        client.append_entries(MARKET, [exposure("x-traced", "s1", 10, 3)])
        wait_until(lambda: len(found.named("sellertrust", method)) == 3)
        append = "/sellertrust.v1.LedgerService/AppendEntries"
        wait_until(lambda: found.named("sellertrust", append))
        asked = found.named("shop", method)
        answered = found.named("sellertrust", method)
        assert [span.trace_id for span in answered] == [span.trace_id for span in asked]
        assert [span.parent_span_id for span in answered] == [span.span_id for span in asked]
        codes = [{one.key: one.value.int_value for one in span.attributes} for span in answered]
        assert [one["rpc.grpc.status_code"] for one in codes] == [0, 0, 5]
        selects = {span.parent_span_id for span in found.named("sellertrust", "SELECT")}
        assert answered[0].span_id in selects
        assert answered[1].span_id not in selects
        [appended] = found.named("sellertrust", append)
        assert found.named("sellertrust", "transaction")[0].parent_span_id == appended.span_id
    logged = [line for line in lines(tmp_path) if line["event"] == "request"]
    assert [line["trace_id"] for line in logged[:3]] == [span.trace_id.hex() for span in answered]
    assert logged[0]["span_id"] == answered[0].span_id.hex()
    assert b"no-such-seller" not in found.seen
    assert b"x-traced" not in found.seen


def test_the_client_of_a_loop_keeps_its_callers_trace(tmp_path: Path, collector: tuple[Collector, str]) -> None:
    found, url = collector

    async def ask(address: str) -> int:
        async with AsyncClient(address, deadline_seconds=30) as client:
            with trace.get_tracer("checkout").start_as_current_span("checkout") as span:
                await client.get_trust_score(MARKET, "s2")
                return span.get_span_context().trace_id

    with traced(tmp_path, url) as address:
        of = asyncio.run(ask(address)).to_bytes(16)
        wait_until(lambda: {"shop", "sellertrust"} <= {name for name, span in found.spans if span.trace_id == of})


def test_a_collector_that_is_away_stops_no_call(tmp_path: Path, collector: tuple[Collector, str]) -> None:
    with traced(tmp_path, "http://127.0.0.1:9") as address, Client(address, deadline_seconds=30) as client:
        for number in range(20):
            assert client.get_trust_score(MARKET, f"s{number + 1}").message.seller
        wait_until(lambda: "traces" in [line["event"] for line in lines(tmp_path)])
    assert len([line for line in lines(tmp_path) if line["event"] == "request"]) == 20
