"""Connections of an HTTP server that nobody can starve.

A connection costs memory from its first byte on, whoever opened it. So each has a deadline for what it has to do next
(send a head, send a body, take the answer), their number is bounded, and at the bound the one that has waited longest
without a request makes room for the newcomer: an honest client sends its request at once, a flood of half-open
connections only pushes out itself. There is no bound for one address: behind a proxy all clients have the same.

What is not HTTP is counted and said in one line now and then, without a trace and without what was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractAccessLogger

from voicefleet.contract.api import Problem
from voicefleet.runtime.logs.setup import get_logger

HEAD_S = 5.0
"""From the first byte of a request (or from the connection's begin) to the end of its head."""
BODY_S = 5.0
WRITE_S = 10.0
"""A client that takes nothing of its answer for so long is gone."""
KEEPALIVE_S = 75.0
"""Longer than the 60 s of common proxies: they close an idle connection, and never find it closed by us."""
LINGER_S = 1.0
"""A refused body is read and dropped for so long, that its sender sees the answer."""
MAX_CONNECTIONS = 512
MAX_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 16 * 1024
RECEIVE_BYTES = 32 * 1024
"""Of a connection, before anybody reads them; Linux takes twice as many."""
SWEEP_S = 0.5

_SLICE = MAX_HEAD_BYTES
"""Parsed at once, so that what comes after a request is not mistaken for a part of it."""
_SAID_EVERY_S = 10.0

log = get_logger(__name__)


class Gate:
    """Every open connection of one server.

    Args:
        refused: told each connection or request that is given up, and why: `REASONS` of the metric.
    """

    def __init__(self, refused: Callable[[str], None], *, most: int = MAX_CONNECTIONS) -> None:
        self._refused = refused
        self._most = most
        self._said: dict[str, tuple[float, int]] = {}
        self.connections: dict[Connection, None] = {}
        """The oldest first."""

    def refused(self, reason: str) -> None:
        """Count it, and say so, at most once in `_SAID_EVERY_S` for each reason."""
        self._refused(reason)
        now = asyncio.get_running_loop().time()
        said_s, unsaid = self._said.get(reason, (-_SAID_EVERY_S, 0))
        if now - said_s < _SAID_EVERY_S:
            self._said[reason] = (said_s, unsaid + 1)
            return
        log.warning("HTTP request given up", reason=reason, more_since_the_last_line=unsaid)
        self._said[reason] = (now, 0)

    def admit(self, new: Connection) -> None:
        """Take `new` in; at the bound another one makes room, or it is refused."""
        if len(self.connections) >= self._most:
            self.refused("too_many_connections")
            waiting = (c for c in self.connections if c.waiting)
            # In a flood the very first has never been of use: no other is looked at.
            idle = next((c for c in self.connections if c.waiting and not c.served), None)
            idle = idle or min(waiting, key=lambda c: c.deadline_s, default=None)
            if idle is None:
                new.abort()
                return
            idle.abort()
        self.connections[new] = None

    async def sweep(self) -> None:
        """Give up those whose time is over, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in list(self.connections):
                if reason := connection.overdue(now):
                    if reason != "idle":
                        self.refused(reason)
                    connection.abort()

    def end(self) -> None:
        """Drop whoever is left."""
        for connection in list(self.connections):
            connection.abort()


class Connection(web.RequestHandler):
    """One connection, with a deadline for whatever comes next."""

    __slots__ = (
        "_body",
        "_closing_s",
        "_dropped",
        "_gate",
        "_unread",
        "_wire",
        "_write_by_s",
        "deadline_s",
        "served",
        "waiting",
    )

    def __init__(self, gate: Gate, manager: web.Server, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            manager,
            loop=loop,
            # Idle connections are ended here, not by aiohttp: it would wait for ever for one that takes nothing.
            keepalive_timeout=2 * KEEPALIVE_S,
            access_log_class=_Answered,
            access_log=logging.getLogger(__name__),
            max_headers=64,
            lingering_time=LINGER_S,
            read_bufsize=2**14,
            # None of our clients sends compressed bodies, and a signature is of the bytes that were sent.
            auto_decompress=False,
        )
        self._gate = gate
        self._wire: asyncio.Transport | None = None
        self._body: StreamReader | None = None
        self._unread = 0
        """Bytes received that belong to no whole head and to no body."""
        self._dropped = 0
        self._write_by_s: float | None = None
        self._closing_s: float | None = None
        self.waiting = True
        """No request is being served: it may make room for another."""
        self.served = False
        self.deadline_s = loop.time() + HEAD_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Those of uvloop are not asyncio's own, and do all the same.
        self._wire = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        self._gate.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._gate.connections.pop(self, None)
        self._wire = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.waiting and self._body is not None and not self._body.is_eof():
            # The body of a request that is answered already.
            self._dropped += len(data)
            if self._dropped > MAX_BODY_BYTES:
                return
        start = 0
        # A parser that is told to pause keeps what it has: it gets the rest in one piece, and nothing more for now.
        while start < len(data) and not self._reading_paused:
            if self._wire is None or self._wire.is_closing():
                return
            self._take(data[start : start + _SLICE])
            start += _SLICE
        if start < len(data) or not data:
            self._take(data[start:])

    def _take(self, data: bytes) -> None:
        before, loose = self._request_count, self._body is None or self._body.is_eof()
        super().data_received(data)
        now = self._loop.time()
        if self._request_count > before:
            self.waiting, self._unread, self.deadline_s = False, 0, now + BODY_S + LINGER_S
            if self._messages:
                self._body = self._messages[-1][1]
        elif loose and data:
            if self.waiting and self.served and not self._unread:
                self.deadline_s = now + HEAD_S
            self._unread += len(data)
            if self._unread > MAX_HEAD_BYTES:
                self._gate.refused("too_large")
                self.abort()

    def serving(self, request: web.BaseRequest) -> None:
        """The head of `request` is there, and its handler begins."""
        self.waiting, self.served, self._body = False, True, request.content
        # Whoever waits for the body gives up first, and says so.
        self.deadline_s = self._loop.time() + BODY_S + LINGER_S

    def answered(self) -> None:
        """An answer was written, as far as the client takes it."""
        self.waiting, self.served = True, True
        now = self._loop.time()
        if self._body is not None and not self._body.is_eof():
            self.deadline_s = now + LINGER_S + SWEEP_S
        else:
            self.deadline_s = now + (HEAD_S if self._unread else KEEPALIVE_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_by_s = self._loop.time() + WRITE_S

    def resume_writing(self) -> None:
        self._write_by_s = None
        super().resume_writing()

    def overdue(self, now: float) -> str:
        """Why the connection is to be given up; empty while it is not."""
        if self._wire is None:
            return ""
        if self._wire.is_closing():
            # Closing waits until the client has taken everything, and it may take nothing.
            self._closing_s = self._closing_s or now
            return "slow_reader" if now > self._closing_s + WRITE_S else ""
        if self._write_by_s is not None:
            return "slow_reader" if now > self._write_by_s else ""
        if now <= self.deadline_s:
            return ""
        if self.waiting:
            return "slow_head" if not self.served or self._unread else "idle"
        return "slow_body" if self._body is not None and not self._body.is_eof() else ""

    def abort(self) -> None:
        """Give it up, whatever is still to be sent."""
        self._gate.connections.pop(self, None)
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's own answer to what is not HTTP is a trace in the log, and the offending text in the answer."""
        if status >= 500 and not _of_the_client(exc):
            return super().handle_error(request, status, exc, message)
        self._gate.refused("malformed")
        answer = web.Response(
            text=Problem(error="not a valid HTTP request", hint="Correct it.").model_dump_json(),
            status=400,
            content_type="application/json",
        )
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if _of_the_client(kw.get("exc_info")):
            self._gate.refused("malformed")
        else:
            super().log_exception(*args, **kw)


class _Answered(AbstractAccessLogger):
    """aiohttp tells its access log when an answer was written, and nothing else."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        if isinstance(request.protocol, Connection):
            request.protocol.answered()


def _of_the_client(error: object) -> bool:
    """Whether a request failed by what its client sent, or stopped sending."""
    return isinstance(error, web.RequestPayloadError | ConnectionError)


async def read_body(request: web.Request, most: int = MAX_BODY_BYTES) -> bytes:
    """The body of `request`, of at most `most` bytes.

    Raises:
        web.HTTPException: 413 it is longer; 408 it is not there within `BODY_S`; 400 it ended too early, or its
            framing is wrong.
    """
    if request.content_length is not None and request.content_length > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.content.iter_any():
                body += part
                if len(body) > most:
                    raise web.HTTPRequestEntityTooLarge(most, len(body))
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise web.HTTPBadRequest(reason="the body is broken off") from error
    return bytes(body)
