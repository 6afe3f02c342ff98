"""Traces: ids, which every call has, and the way out by OTLP. Nothing here ever holds up a call; without an endpoint no
span goes anywhere, and the ids are those of the log lines."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.metrics import exports
from voicefleet.contract.spans import Attribute, SpanKind, SpanRecord, TraceContext
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.metrics import counter

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROPAGATOR = TraceContextTextMapPropagator()
_EXPORT_LIMIT_S = 3.0
_QUEUE = 4_096
_BATCH_EVERY_MS = 2_000

log = get_logger(__name__)


class Tracer(Protocol):
    """Takes spans that have ended."""

    @property
    def on(self) -> bool:
        """Whether anybody gets them."""
        ...

    def emit(self, span: SpanRecord) -> None: ...


class NoTracer:
    """For a process without an endpoint."""

    on = False

    def emit(self, span: SpanRecord) -> None:
        """Does nothing."""


def parse_traceparent(header: str) -> TraceContext | None:
    """None for what is no such header: by the standard it is ignored."""
    found = get_current_span(_PROPAGATOR.extract({"traceparent": header}, Context())).get_span_context()
    if not found.is_valid:
        return None
    return TraceContext(format_trace_id(found.trace_id), format_span_id(found.span_id), found.trace_flags.sampled)


def child_of(parent: TraceContext | None, trace: str = "") -> TraceContext:
    """The context of a new span: in the trace of `parent`; without one the first of the trace `trace`, or of one of its
    own."""
    if parent is None:
        return TraceContext(trace or secrets.token_hex(16), secrets.token_hex(8))
    return TraceContext(parent.trace, secrets.token_hex(8), parent.sampled)


def emit(
    tracer: Tracer,
    name: str,
    context: TraceContext,
    began_s: float,
    ended_s: float,
    *,
    parent: TraceContext | None = None,
    kind: SpanKind = "internal",
    attributes: Mapping[str, Attribute] | None = None,
) -> None:
    """A span from `began_s` to `ended_s`, Unix time in seconds."""
    tracer.emit(
        SpanRecord(
            name=name,
            context=context,
            start_ns=round(began_s * 1e9),
            end_ns=round(ended_s * 1e9),
            parent=parent.span if parent else "",
            kind=kind,
            attributes=attributes or {},
        )
    )


def check_endpoint(endpoint: str) -> str:
    """`endpoint` without its last slash; empty for none.

    Raises:
        ConfigError: it is no http(s) address.
    """
    if not endpoint:
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            "not an http:// or https:// address",
            field=ENDPOINT_VARIABLE,
            value=endpoint,
            hint="Give your collector's OTLP/HTTP address, for example http://127.0.0.1:4318; unset: no traces.",
        )
    return endpoint.rstrip("/")


class OtlpTracer:
    """Exports spans in the background. `close` before the process ends; it waits at most about 3 s.

    Args:
        endpoint: base address; spans go to its ``/v1/traces``. Headers and certificates come from the standard
            ``OTEL_EXPORTER_OTLP_*`` variables.
        service: ``service.name``.
        resource: more attributes of this process.
        registry: gets the counter of spans.
    """

    on = True

    def __init__(self, endpoint: str, service: str, resource: dict[str, str], registry: CollectorRegistry) -> None:
        # Only who traces pays for these imports.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # Its own words on every failed try; ours are one warning and a counter.
        for noisy in ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3.connectionpool"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._counted = counter(exports.SPANS, registry)
        exporter = OTLPSpanExporter(endpoint=f"{check_endpoint(endpoint)}/v1/traces", timeout=_EXPORT_LIMIT_S)
        self._resource = Resource.create({"service.name": service, **resource})
        self._watched = _Watched(exporter, self._counted, endpoint)
        self._processor = BatchSpanProcessor(
            self._watched,  # type: ignore[arg-type]
            max_queue_size=_QUEUE,
            schedule_delay_millis=_BATCH_EVERY_MS,
            max_export_batch_size=512,
        )

    def emit(self, span: SpanRecord) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        if not span.context.sampled:
            return
        try:
            trace, flags = int(span.context.trace, 16), TraceFlags(TraceFlags.SAMPLED)
            parent = SpanContext(trace, int(span.parent, 16), True, flags) if span.parent else None
            self._processor.on_end(
                ReadableSpan(
                    name=span.name,
                    context=SpanContext(trace, int(span.context.span, 16), False, flags),
                    parent=parent,
                    resource=self._resource,
                    attributes=dict(span.attributes),
                    kind=SpanKind[span.kind.upper()],
                    status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
                    start_time=span.start_ns,
                    end_time=max(span.start_ns, span.end_ns),
                    instrumentation_scope=InstrumentationScope("voicefleet"),
                )
            )
        except (ValueError, KeyError):
            self._counted.labels("dropped").inc()

    def close(self) -> None:
        """Send what is left, once, and end."""
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(_EXPORT_LIMIT_S)


class _Watched:
    """An exporter whose failures are counted, and said once until it works again."""

    def __init__(self, exporter: Any, counted: Any, endpoint: str) -> None:
        self._exporter = exporter
        self._counted = counted
        self._endpoint = endpoint
        self._failing = False

    def export(self, spans: Sequence[Any]) -> Any:
        result = self._exporter.export(spans)
        well = result.name == "SUCCESS"
        self._counted.labels("sent" if well else "failed").inc(len(spans))
        if not well and not self._failing:
            log.warning("traces do not reach their endpoint, calls go on", endpoint=urlsplit(self._endpoint).netloc)
        elif well and self._failing:
            log.info("traces reach their endpoint again")
        self._failing = not well
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def start_tracing(endpoint: str, service: str, resource: dict[str, str], registry: CollectorRegistry) -> Tracer:
    """The tracer of this process; `NoTracer` without an endpoint."""
    return OtlpTracer(endpoint, service, resource, registry) if endpoint else NoTracer()
