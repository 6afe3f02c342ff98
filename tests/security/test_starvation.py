"""Connections that only hold on to something: they end in time, cost little, and shut nobody else out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import cast

import aiohttp
import pytest
import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from support.controlling import controller
from support.eventually import eventually
from voicefleet.runtime.http import connections
from voicefleet.runtime.http.server import HttpServer, application, health_routes
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

SHORT_S = 0.4
ANSWER = b"x" * 4_000_000


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadlines, shortened."""
    for name in ("HEAD_S", "BODY_S", "WRITE_S", "LINGER_S"):
        monkeypatch.setattr(connections, name, SHORT_S)
    monkeypatch.setattr(connections, "SWEEP_S", 0.05)


class Served:
    """A server, and what one may do to it."""

    def __init__(self, server: HttpServer, registry: CollectorRegistry) -> None:
        self.server, self.registry = server, registry
        self.url = f"http://127.0.0.1:{server.port}"

    @property
    def open(self) -> int:
        return len(self.server._gate.connections)

    def refused(self, reason: str) -> float:
        return self.registry.get_sample_value("voicefleet_http_refused_total", {"reason": reason}) or 0.0

    @contextlib.asynccontextmanager
    async def sent(self, *parts: bytes) -> AsyncIterator[list[asyncio.StreamReader]]:
        """A connection for each of `parts`, which sends that and nothing more."""
        made = [await asyncio.open_connection("127.0.0.1", self.server.port) for _ in parts]
        for (_, writer), part in zip(made, parts, strict=True):
            writer.write(part)
        try:
            yield [reader for reader, _ in made]
        finally:
            for _, writer in made:
                writer.transport.abort()


async def ended(readers: Iterable[asyncio.StreamReader], limit_s: float = 10.0) -> list[bytes]:
    """What each connection got, once the other side has ended it."""

    async def all_of(reader: asyncio.StreamReader) -> bytes:
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""

    return list(await asyncio.wait_for(asyncio.gather(*(all_of(reader) for reader in readers)), limit_s))


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    registry, app = CollectorRegistry(), application()
    health_routes(app, registry, ready=lambda: "", alive=lambda: "")

    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await connections.read_body(request))))

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=ANSWER)

    app.router.add_post("/echo", echo)
    app.router.add_get("/large", large)
    server = HttpServer(app, registry)
    await server.start("127.0.0.1", 0, field="listen")
    try:
        yield Served(server, registry)
    finally:
        await server.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as made:
        yield made


def posted(length: int, body: bytes) -> bytes:
    return f"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n".encode() + body


@pytest.mark.usefixtures("soon")
async def test_half_a_head_and_half_a_body_are_not_waited_for(served: Served) -> None:
    halves = [b"", b"GET /livez HTT", b"GET /livez HTTP/1.1\r\nHost: h\r\n"]
    async with served.sent(*halves, posted(100, b"half")) as readers:
        *heads, body = await ended(readers)
    assert heads == [b"", b"", b""]
    assert body.startswith(b"HTTP/1.1 408 ")
    assert served.refused("slow_head") == 3
    await eventually(lambda: served.open == 0)


@pytest.mark.usefixtures("soon")
async def test_a_head_that_comes_byte_by_byte_is_not_waited_for_either(served: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    closed = asyncio.create_task(ended([reader]))
    for byte in b"GET /livez HTTP/1.1\r\nX: " + b"a" * 200:
        if closed.done():
            break
        with contextlib.suppress(ConnectionError):
            writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    assert await closed == [b""]
    writer.transport.abort()


@pytest.mark.usefixtures("soon")
async def test_who_takes_nothing_of_an_answer_is_given_up(served: Served) -> None:
    for request in (b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /large HTTP/1.0\r\n\r\n"):
        _, writer = await asyncio.open_connection("127.0.0.1", served.server.port, limit=1024)
        transport = cast(asyncio.Transport, writer.transport)
        transport.pause_reading()
        writer.write(request)
        await eventually(lambda: served.open == 1)
        await eventually(lambda: served.open == 0)
        transport.abort()
    assert served.refused("slow_reader") == 2


async def test_the_number_of_connections_is_bounded_and_the_honest_one_gets_in(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.server._gate, "_most", 20)
    async with served.sent(*[b"GET /livez HTT"] * 60):
        await eventually(lambda: served.refused("too_many_connections") == 40)
        assert served.open == 20
        async with aiohttp.ClientSession() as honest, honest.get(f"{served.url}/livez") as answer:
            assert answer.status == 200
        assert served.open <= 20


async def test_an_idle_connection_that_was_of_use_is_kept_before_one_that_never_was(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.server._gate, "_most", 5)
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as proxy:
        async with proxy.get(f"{served.url}/livez") as first:
            assert first.status == 200
        kept = next(iter(served.server._gate.connections))
        async with served.sent(*[b""] * 30):
            await eventually(lambda: served.refused("too_many_connections") == 26)
            assert kept in served.server._gate.connections
            async with proxy.get(f"{served.url}/livez") as again:
                assert again.status == 200
        assert kept in served.server._gate.connections


async def test_bodies_are_bounded(served: Served) -> None:
    most = connections.MAX_BODY_BYTES
    async with aiohttp.ClientSession() as http:
        for length, status in {most: 200, most + 1: 413, 4 * most: 413}.items():
            async with http.post(f"{served.url}/echo", data=b"a" * length) as answer:
                assert answer.status == status
    chunks = b"ffff\r\n" + b"a" * 0xFFFF + b"\r\n"
    async with served.sent(b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * chunks) as (
        one,
    ):
        assert (await one.readline()).startswith(b"HTTP/1.1 413 ")


async def test_heads_are_bounded_those_behind_a_request_too(served: Served) -> None:
    whole, long = b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n", b"GET /livez HTTP/1.1\r\n"
    long += b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(60))
    async with served.sent(long, whole + long, whole + long * 4) as readers:
        first, *others = await ended(readers)
    assert b"200 OK" not in first
    assert all(other.count(b"200 OK") <= 1 for other in others)
    assert served.refused("too_large") == 3


async def test_what_is_no_http_is_one_line_and_a_counter(
    served: Served, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = b"hush-4242"
    odd = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + planted + b"\r\n\r\n",
        b"GET /" + planted + b" HTTP/9.9\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: " + planted + b"\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nX: " + planted + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + planted + b"a" * 9_000 + b"\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + planted + b"\r\n",
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
        + planted
        + b"\r\n",
    ]
    with caplog.at_level(logging.DEBUG):
        async with served.sent(*odd) as readers:
            answers = await ended(readers)
        # Somebody hangs up in the middle of a body.
        async with served.sent(posted(100, planted)):
            await eventually(lambda: served.open == 1)
        await eventually(lambda: served.open == 0)
    assert all(answer.split(b" ", 2)[1] == b"400" for answer in answers)
    assert served.refused("malformed") >= len(odd) - 1
    said = caplog.text + "".join(capsys.readouterr())
    assert "Traceback" not in said
    assert planted.decode() not in said + b"".join(answers).decode()
    assert said.count("HTTP request given up") == 1


@pytest.mark.usefixtures("soon")
def test_on_uvloop_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Controllers run on it, and its transports are not asyncio's."""

    async def all_of_it() -> None:
        for attack in (
            test_half_a_head_and_half_a_body_are_not_waited_for,
            test_who_takes_nothing_of_an_answer_is_given_up,
            test_heads_are_bounded_those_behind_a_request_too,
            test_bodies_are_bounded,
        ):
            async with serving() as served:
                await attack(served)
        async with serving() as served:
            await test_the_number_of_connections_is_bounded_and_the_honest_one_gets_in(served, monkeypatch)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(all_of_it())


async def test_sixty_half_sent_webhooks_and_sixty_half_sent_heads(
    tmp_path: Path, livekit: LiveKit, redis_url: str
) -> None:
    """The attack as it was: 60 bodies of a megabyte, half sent and unsigned, and 60 half heads, at a controller."""
    async with controller(tmp_path, livekit, redis_url) as fleet:
        port = int(fleet.url.rpartition(":")[2])
        made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(120)]
        head = (
            b"POST /webhooks/livekit/eu HTTP/1.1\r\nHost: c\r\nAuthorization: a.b.c\r\nContent-Length: 1048576\r\n\r\n"
        )
        for number, (_, writer) in enumerate(made):
            writer.write(head + b"a" * 524_288 if number % 2 else b"GET /healthz HTTP/1.1\r\nHost: c\r\n")
        async with fleet.http.get(f"{fleet.url}/healthz") as answer:
            assert answer.status == 200
        answers = await ended([reader for reader, _ in made], 30.0)
        for _, writer in made:
            writer.transport.abort()
        assert all(answer == b"" for answer in answers[::2])
        assert all(b" 200 " not in answer for answer in answers[1::2])
        assert await fleet.metric('voicefleet_http_refused_total{reason="slow_head"}') == 60
        assert await fleet.metric('voicefleet_webhooks_total{result="bad_signature"}') == 60
