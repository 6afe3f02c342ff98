"""A real OTLP/HTTP receiver for traces: parses what arrives by OpenTelemetry's own protobuf definitions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Received:
    """What arrived so far."""

    url: str = ""
    spans: list[tuple[str, Span]] = field(default_factory=list)
    """``service.name`` and span."""
    bodies: list[bytes] = field(default_factory=list)

    def named(self, name: str) -> list[Span]:
        return [span for _, span in self.spans if span.name == name]

    async def until(self, name: str, count: int = 1, limit_s: float = 15.0) -> list[Span]:
        """Wait until `count` spans of this name are here."""
        async with asyncio.timeout(limit_s):
            while len(self.named(name)) < count:
                await asyncio.sleep(0.05)
        return self.named(name)


def attributes(span: Span) -> dict[str, object]:
    """A span's attributes as plain values."""
    return {kv.key: getattr(kv.value, str(kv.value.WhichOneof("value"))) for kv in span.attributes}


@contextlib.asynccontextmanager
async def otlp_receiver() -> AsyncIterator[Received]:
    """Listens on a free loopback port for the block."""
    received = Received()

    async def traces(request: web.Request) -> web.Response:
        body = await request.read()
        received.bodies.append(body)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {kv.key: kv.value.string_value for kv in resource_spans.resource.attributes}
            for scope in resource_spans.scope_spans:
                received.spans += [(about.get("service.name", ""), span) for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        received.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield received
    finally:
        await runner.cleanup()
