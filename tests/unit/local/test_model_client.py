"""The model server's client: what a server's answers, and its absence, mean to livekit-agents."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
from aiohttp import web
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from voicefleet.local.model_server.client import ModelClient
from voicefleet.local.model_server.models import Recognition
from voicefleet.local.model_server.protocol import MAX_PCM_BYTES, Reply
from voicefleet.local.model_server.serving import RequestServer, runner_of

pytestmark = pytest.mark.unit

LIMIT_S = 10.0


class Echo:
    """Recognises how many bytes it was given, and which options."""

    def recognize(self, pcm: bytes, options: dict[str, str]) -> Recognition:
        return Recognition(f"{len(pcm)} {options}", 0.5)


@contextlib.asynccontextmanager
async def serving(app: web.Application, path: Path) -> AsyncIterator[None]:
    runner = runner_of(app)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def recognize(path: Path, pcm: bytes = b"aa", model: str = "echo", limit_s: float = LIMIT_S) -> Reply:
    return await ModelClient(path).recognize(model, pcm, options={"beam_size": 1}, limit_s=limit_s)


def server() -> web.Application:
    return RequestServer({"echo": Echo()}, threads=1).application()


@pytest.mark.parametrize("pcm", [b"", bytes(64_000), bytes(MAX_PCM_BYTES)])
async def test_what_was_sent_is_what_the_model_gets(tmp_path: Path, pcm: bytes) -> None:
    async with serving(server(), tmp_path / "s"):
        reply = await recognize(tmp_path / "s", pcm)
    assert (reply.text, reply.confidence_ratio) == (f"{len(pcm)} {{'beam_size': '1'}}", 0.5)


@pytest.mark.parametrize(
    ("pcm", "model", "status"), [(b"odd", "echo", 400), (b"", "other", 404), (bytes(MAX_PCM_BYTES + 2), "echo", 413)]
)
async def test_what_cannot_succeed_is_not_retried(tmp_path: Path, pcm: bytes, model: str, status: int) -> None:
    async with serving(server(), tmp_path / "s"):
        with pytest.raises(APIStatusError) as caught:
            await recognize(tmp_path / "s", pcm, model)
    assert (caught.value.status_code, caught.value.retryable) == (status, False)


@pytest.mark.parametrize("status", [408, 503])
async def test_what_may_succeed_later_is_retried(tmp_path: Path, status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text="a reason")

    app = web.Application()
    app.router.add_post("/recognize/echo", refuse)
    async with serving(app, tmp_path / "s"):
        with pytest.raises(APIStatusError, match="a reason") as caught:
            await recognize(tmp_path / "s")
    assert caught.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0\0\2\0\0\0\0{}",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_server_that_ends_midway_is_a_lost_connection(tmp_path: Path, answer: bytes) -> None:
    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\naa")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(end, tmp_path / "s"):
        await _fails(recognize(tmp_path / "s"), APIConnectionError, "the connection .* failed")


@pytest.mark.parametrize("stale_socket", [False, True])
async def test_a_server_that_is_being_restarted_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stale_socket: bool
) -> None:
    if stale_socket:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "s"))
    async with contextlib.AsyncExitStack() as stack:

        async def restart(_: float) -> None:
            """In place of the client's wait until its next attempt."""
            monkeypatch.undo()
            await stack.enter_async_context(serving(server(), tmp_path / "s"))

        monkeypatch.setattr(asyncio, "sleep", restart)
        assert (await recognize(tmp_path / "s")).text.startswith("2 ")


async def test_a_path_that_can_never_be_a_socket_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    await _fails(recognize(tmp_path / "file" / "s"), APIConnectionError, "the connection .* failed")


async def _fails(asked: Awaitable[Reply], kind: type[APIError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        await asked
    assert type(caught.value) is kind
    assert caught.value.retryable


async def test_a_server_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    hung_up = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            hung_up.set()
        raise AssertionError

    app = web.Application()
    app.router.add_post("/recognize/echo", hang)
    async with serving(app, tmp_path / "s"):
        await _fails(recognize(tmp_path / "s", limit_s=0.05), APITimeoutError, "took longer")
        await hung_up.wait()
    # No server at all is another error: a connection that never was.
    await _fails(recognize(tmp_path / "s", limit_s=0.05), APIConnectionError, "no model server")
