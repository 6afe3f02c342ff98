"""The model server's request handling, with a model of the test's own: order, refusals, disconnecting clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from aiohttp import web

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server import serving
from voicefleet.local.model_server.models import Recognition
from voicefleet.local.model_server.process import load
from voicefleet.local.model_server.protocol import MAX_PCM_BYTES, http_session
from voicefleet.local.model_server.serving import RequestServer, runner_of

pytestmark = pytest.mark.unit


class GatedModel:
    """Recognises the payload's own text, once the test opens the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.seen: list[bytes] = []
        self.options: dict[str, Any] = {}

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition:
        self.seen.append(pcm)
        self.options = options
        self.started.release()
        assert self.gate.wait(10)
        if pcm == b"!!":
            raise RuntimeError("a model's own trouble")
        return Recognition(pcm.decode(), 0.5)


class Client:
    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, path: str = "/recognize/gated", data: Any = None, method: str = "POST") -> tuple[int, Any]:
        """The answer's status, and its JSON or its text."""
        async with http_session(self.path) as http, http.request(method, path, data=data) as answer:
            return answer.status, await (answer.json() if answer.status == 200 else answer.text())

    async def text(self, pcm: bytes) -> str:
        status, reply = await self.ask(data=pcm)
        assert status == 200
        return str(reply["text"])

    async def send(self, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(raw)
        return reader, writer

    async def unfinished(self, count: int) -> None:
        """Wait until the server has `count` requests in hand."""
        while (await self.ask("/status", method="GET"))[1]["unfinished"] != count:
            await asyncio.sleep(0)


def head(content_length: int) -> bytes:
    return b"POST /recognize/gated HTTP/1.1\r\nHost: models\r\nContent-Length: %d\r\n\r\n" % content_length


@pytest.fixture
def model() -> GatedModel:
    return GatedModel()


@pytest.fixture
async def client(tmp_path: Path, model: GatedModel) -> AsyncIterator[Client]:
    path = tmp_path / "s"
    runner = runner_of(RequestServer({"gated": model}, threads=1).application())
    await runner.setup()
    await web.UnixSite(runner, path).start()
    yield Client(path)
    model.gate.set()
    await runner.cleanup()


async def started(model: GatedModel) -> None:
    assert await asyncio.to_thread(model.started.acquire, timeout=10)


async def test_a_request_is_answered_with_its_times(client: Client, model: GatedModel) -> None:
    model.gate.set()
    status, reply = await client.ask("/recognize/gated?window_s=10&beam_size=1", b"ab")
    assert status == 200
    assert (reply["text"], reply["confidence_ratio"]) == ("ab", 0.5)
    assert reply["waited_s"] >= 0
    assert reply["compute_s"] >= 0
    assert model.options == {"window_s": "10", "beam_size": "1"}


async def test_requests_are_served_first_come_first_served(client: Client, model: GatedModel) -> None:
    asked = []
    for n, pcm in enumerate([b"aa", b"bb", b"cc"], start=1):
        asked.append(asyncio.create_task(client.text(pcm)))
        await client.unfinished(n)
    model.gate.set()
    assert await asyncio.gather(*asked) == ["aa", "bb", "cc"]
    assert model.seen == [b"aa", b"bb", b"cc"]


async def test_a_client_that_disconnects_while_waiting_costs_nothing(client: Client, model: GatedModel) -> None:
    first = asyncio.create_task(client.text(b"aa"))
    await started(model)
    _, leaving = await client.send(head(2) + b"bb")
    await client.unfinished(2)
    last = asyncio.create_task(client.text(b"cc"))
    await client.unfinished(3)
    leaving.close()
    await leaving.wait_closed()
    await client.unfinished(2)
    model.gate.set()
    assert [await first, await last] == ["aa", "cc"]
    assert model.seen == [b"aa", b"cc"]


async def test_a_body_cut_short_never_reaches_the_model(client: Client, model: GatedModel) -> None:
    _, leaving = await client.send(head(4) + b"bb")
    leaving.close()
    await leaving.wait_closed()
    model.gate.set()
    assert await client.text(b"aa") == "aa"
    assert model.seen == [b"aa"]


async def test_more_than_may_wait_are_refused_for_now(
    client: Client, model: GatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_WAITING", 1)
    held = [asyncio.create_task(client.text(b"aa")) for _ in range(2)]
    await client.unfinished(2)
    assert await client.ask(data=b"bb") == (503, "too many requests are waiting")
    model.gate.set()
    assert await asyncio.gather(*held) == ["aa", "aa"]


@pytest.mark.parametrize(
    ("method", "path", "pcm", "refused"),
    [
        ("POST", "/dance", b"", 404),
        ("POST", "/recognize/", b"aa", 404),
        ("POST", "/recognize/other", b"aa", 404),
        ("GET", "/recognize/gated", None, 405),
        ("POST", "/recognize/gated", b"odd", 400),
    ],
)
async def test_requests_that_make_no_sense_are_refused_for_good(
    client: Client, model: GatedModel, method: str, path: str, pcm: bytes | None, refused: int
) -> None:
    assert (await client.ask(path, pcm, method))[0] == refused
    assert not model.seen


async def test_audio_over_the_limit_is_refused_before_it_is_read(client: Client, model: GatedModel) -> None:
    reader, writer = await client.send(head(MAX_PCM_BYTES + 2))
    assert b" 413 " in await reader.readline()
    writer.close()
    assert not model.seen


async def test_audio_over_the_limit_is_refused_when_its_length_was_not_told(client: Client, model: GatedModel) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_PCM_BYTES // 2**16 + 2):
            yield bytes(2**16)

    assert (await client.ask(data=endless()))[0] == 413
    assert not model.seen


@pytest.mark.parametrize(("sent", "answered"), [(b"", b""), (b"POST /reco", b""), (head(4) + b"aa", b"HTTP/1.1 408")])
async def test_a_client_that_sends_too_slowly_is_disconnected(
    tmp_path: Path, model: GatedModel, monkeypatch: pytest.MonkeyPatch, sent: bytes, answered: bytes
) -> None:
    monkeypatch.setattr(serving, "_READ_LIMIT_S", 0.05)
    runner = runner_of(RequestServer({"gated": model}, threads=1).application())
    await runner.setup()
    await web.UnixSite(runner, tmp_path / "s").start()
    reader, writer = await Client(tmp_path / "s").send(sent)
    assert (await reader.readline()).startswith(answered)
    writer.close()
    await runner.cleanup()
    assert not model.seen


async def test_a_model_that_fails_is_worth_a_retry_and_does_not_stop_the_server(
    client: Client, model: GatedModel
) -> None:
    model.gate.set()
    with structlog.testing.capture_logs() as logged:
        status, reply = await client.ask(data=b"!!")
    assert status == 503
    assert "trouble" not in reply
    assert [(record["event"], str(record["exc_info"])) for record in logged] == [
        ("a model failed", "a model's own trouble")
    ]
    assert await client.text(b"ok") == "ok"


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="whisper, whisper-base, pocketsphinx"):
        load(("parrot",), 1)
