"""The HTTP server that worker and controller share: `/livez`, `/readyz`, `/metrics` and whatever the component adds."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.contract.metrics.http import HTTP_REFUSED
from voicefleet.runtime.http.connections import MAX_BODY_BYTES, RECEIVE_BYTES, Connection, Gate
from voicefleet.runtime.metrics import counter
from voicefleet.runtime.tasks import cancel_and_wait


def health_routes(
    app: web.Application,
    registry: CollectorRegistry,
    *,
    ready: Callable[[], str],
    alive: Callable[[], str],
    before_scrape: Callable[[], None] = lambda: None,
) -> None:
    """Add the probe and metrics routes.

    Args:
        ready: empty when ready, else why not, in a few words.
        alive: empty when alive, else why not; Kubernetes restarts what is not.
        before_scrape: writes what is known only now.
    """

    def probe(check: Callable[[], str]) -> Callable[[web.Request], Any]:
        async def handler(_: web.Request) -> web.Response:
            reason = check()
            return web.Response(text=(reason or "ok") + "\n", status=503 if reason else 200)

        return handler

    async def metrics(request: web.Request) -> web.Response:
        before_scrape()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app.router.add_get("/livez", probe(alive))
    app.router.add_get("/readyz", probe(ready))
    app.router.add_get("/metrics", metrics)


def parse_listen(text: str, *, field: str) -> tuple[str, int]:
    """``HOST:PORT`` -> its parts; port 0 takes a free one.

    Raises:
        ConfigError: `text` is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            "not HOST:PORT",
            field=field,
            value=text,
            hint="Give for example 127.0.0.1:8080, or port 0 for a free one.",
        )
    return host.strip("[]"), int(port)


class HttpServer:
    """One listening aiohttp application, started and closed once; see `runtime.connections` for what it bears.

    Args:
        registry: gets the counter of what was given up.
    """

    def __init__(self, app: web.Application, registry: CollectorRegistry) -> None:
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=2.0)
        refused = counter(HTTP_REFUSED, registry)
        self._gate = Gate(lambda reason: refused.labels(reason).inc())
        self._listening: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.host = ""
        self.port = 0

    async def start(self, host: str, port: int, *, field: str) -> None:
        """Listen on `host`:`port` (0: a free one; see `port` afterwards).

        Raises:
            UnreachableError: the address is taken, not this machine's, or not ours to use.
        """
        await self._runner.setup()
        server, loop = self._runner.server, asyncio.get_running_loop()
        assert server is not None
        server.request_handler = _track_requests(server.request_handler)
        try:
            self._listening = await loop.create_server(
                lambda: Connection(self._gate, server, loop), host, port, backlog=1024
            )
        except OSError as error:
            await self._runner.cleanup()
            taken = error.errno == errno.EADDRINUSE
            raise UnreachableError(
                "the port is taken" if taken else f"cannot listen there ({error.strerror})",
                field=field,
                value=f"{host}:{port}",
                hint="Stop what uses it, or choose another port (0 takes a free one).",
            ) from error
        for listening in self._listening.sockets:
            # Those that it accepts have it from here: what nobody reads stays small in the kernel too.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self._sweeping = asyncio.create_task(self._gate.sweep(), name="connections")
        self.host, self.port = host, self._listening.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()
        self._gate.end()
        if self._sweeping is not None:
            await cancel_and_wait([self._sweeping])


def application(middlewares: Iterable[Middleware] = ()) -> web.Application:
    """An application whose handlers are given no body longer than `MAX_BODY_BYTES`."""
    return web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)


def _track_requests(handler: Callable[[web.BaseRequest], Any]) -> Callable[[web.BaseRequest], Any]:
    """`handler`, with each request reported to its connection, which also ends a body that nobody reads."""

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        if isinstance(request.protocol, Connection):
            request.protocol.serving(request)
        answer: web.StreamResponse
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            answer = error
        if not request.content.is_eof():
            answer.force_close()
        if isinstance(answer, web.HTTPException):
            raise answer
        return answer

    return serve
