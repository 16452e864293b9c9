"""Traces of calls and of their statements, sent to a collector by OpenTelemetry (extra `otel`).

OpenTelemetry's own variables state the place (`OTEL_EXPORTER_OTLP_ENDPOINT`) and the share. Spans leave out events and
texts of errors, which may name sellers.
"""

import logging
import os
import threading
from typing import Any, NamedTuple

from google.rpc import code_pb2
from grpc import RpcMethodHandler, ServerInterceptor
from sqlalchemy import Engine, event

from scoring.base.errors import ConfigurationWrong
from sellertrust.version import VERSION
from service.api.telemetry.logs import Log

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

CLOSE_SECONDS = 3.0
"""Time for the last spans; a collector that is away delays the end of a server no longer."""

_FAULTS = {
    code_pb2.UNKNOWN,
    code_pb2.DEADLINE_EXCEEDED,
    code_pb2.INTERNAL,
    code_pb2.UNAVAILABLE,
    code_pb2.DATA_LOSS,
}
_SPAN = "sellertrust.span"


class _CallDetails(NamedTuple):
    method: str
    invocation_metadata: tuple[()] = ()


def is_wanted() -> bool:
    """Return whether the environment names a collector of traces."""
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(map(os.environ.get, ENDPOINTS))


class Tracing:
    """Spans wait in a bounded queue, and a thread sends them; while the collector is away, they are dropped.

    Raises ConfigurationWrong without the extra.
    """

    def __init__(self, log: Log) -> None:
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.instrumentation.grpc import server_interceptor as make_interceptor
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import SpanLimits, TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError:
            raise ConfigurationWrong(
                "the environment names a collector of traces, and the extra that sends them is missing; install it:"
                " pip install 'sellertrust[otel]', or set OTEL_SDK_DISABLED=true"
            ) from None
        _redirect_library_log(log)
        os.environ.setdefault("OTEL_SERVICE_NAME", "sellertrust")
        self._trace = trace
        self._provider = TracerProvider(
            resource=Resource.create({"service.version": VERSION}), span_limits=SpanLimits(max_events=0)
        )
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._interceptor: ServerInterceptor = make_interceptor(self._provider)  # type: ignore[no-untyped-call]
        self._tracer = self._provider.get_tracer(__name__)

    def traced(self, method: str, handler: "RpcMethodHandler[bytes, bytes]") -> Any:
        """Return a handler's behaviour within a span of `/package.Service/Method`."""
        wrapped: Any = self._interceptor.intercept_service(lambda _: handler, _CallDetails(method))  # type: ignore[arg-type]
        return wrapped.unary_unary or wrapped.unary_stream or wrapped.stream_stream

    def end(self, number: int) -> dict[str, str]:
        """Note the code of the present call in its span; return the span's ids as fields of a log line."""
        span = self._trace.get_current_span()
        span_context = span.get_span_context()
        if not span_context.is_valid:
            return {}
        span.set_attribute("rpc.grpc.status_code", number)
        if number in _FAULTS:
            span.set_status(self._trace.StatusCode.ERROR)
        return {
            "trace_id": self._trace.format_trace_id(span_context.trace_id),
            "span_id": self._trace.format_span_id(span_context.span_id),
        }

    def watch(self, readers: Engine, writer: Engine) -> None:
        """Make a span of each statement and transaction within a call."""
        trace, system = self._trace, {"db.system.name": writer.dialect.name}

        def begin(name: str, **attributes: str) -> Any:
            if not trace.get_current_span().get_span_context().is_valid:
                return trace.INVALID_SPAN
            return self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=system | attributes)

        def begin_statement(
            _connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: Any
        ) -> None:
            context.span = begin(statement.split(maxsplit=1)[0], **{"db.query.text": statement})

        def end_statement(*arguments: Any) -> None:
            arguments[4].span.end()

        def fail(failure: Any) -> None:
            span = getattr(failure.execution_context, "span", trace.INVALID_SPAN)
            span.set_status(trace.StatusCode.ERROR)
            span.set_attribute("error.type", type(failure.original_exception).__name__)
            span.end()

        for engine in (readers, writer):
            event.listen(engine, "before_cursor_execute", begin_statement)
            event.listen(engine, "after_cursor_execute", end_statement)
            event.listen(engine, "handle_error", fail)
        event.listen(writer, "begin", lambda connection: connection.info.update({_SPAN: begin("transaction")}))
        event.listen(writer, "checkin", lambda _, record: record.info.pop(_SPAN, trace.INVALID_SPAN).end())

    def close(self) -> None:
        """Send the last spans within CLOSE_SECONDS."""
        last = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        last.start()
        last.join(CLOSE_SECONDS)
        self._exporter.shutdown()


def is_sampled(metadata: Any) -> bool:
    """Return whether its caller records the trace."""
    return any(key == "traceparent" and int(value[-2:], 16) & 1 for key, value in metadata or ())


def _redirect_library_log(log: Log) -> None:
    class Reporter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.warning("traces", problem=record.getMessage())

    theirs = logging.getLogger("opentelemetry")
    theirs.handlers, theirs.propagate = [Reporter()], False
