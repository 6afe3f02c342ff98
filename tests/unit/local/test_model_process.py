"""The model server's request handling, with a model of the test's own: order, refusals, hang-ups."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from voicefleet.contract.errors import ConfigError
from voicefleet.local.model_server import process as model_process
from voicefleet.local.model_server.process import RecognitionServer, load
from voicefleet.local.model_server.protocol import Message, encode, read_message
from voicefleet.local.model_server.recognition import Recognition

pytestmark = pytest.mark.unit


class GatedModel:
    """Recognises the payload's own text, once the test opens the gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.seen: list[bytes] = []

    def recognize(self, pcm: bytes, options: dict[str, Any]) -> Recognition:
        self.seen.append(pcm)
        self.started.release()
        assert self.gate.wait(10)
        if pcm == b"!!":
            raise RuntimeError("a model's own trouble")
        return Recognition(pcm.decode(), 0.5)


class Client:
    def __init__(self, path: Path) -> None:
        self.path = path

    async def send(self, header: dict[str, Any], payload: bytes = b"") -> tuple[asyncio.StreamReader, Any]:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(encode(Message(header, payload)))
        await writer.drain()
        return reader, writer

    async def ask(self, header: dict[str, Any], payload: bytes = b"") -> dict[str, Any]:
        reader, writer = await self.send(header, payload)
        try:
            return (await read_message(reader)).header
        finally:
            writer.close()
            await writer.wait_closed()


RECOGNIZE = {"op": "recognize", "model": "gated"}


@pytest.fixture
def model() -> GatedModel:
    return GatedModel()


@pytest.fixture
async def client(tmp_path: Path, model: GatedModel) -> AsyncIterator[Client]:
    path = tmp_path / "s"
    server = await asyncio.start_unix_server(RecognitionServer({"gated": model}, threads=1).handle, path)
    yield Client(path)
    model.gate.set()
    server.close()


async def started(model: GatedModel) -> None:
    assert await asyncio.to_thread(model.started.acquire, timeout=10)


async def unfinished(client: Client, count: int) -> None:
    """Wait until the server has `count` requests in hand."""
    while (await client.ask({"op": "ping"}))["unfinished"] != count:
        await asyncio.sleep(0)


async def test_a_request_is_answered_with_its_times(client: Client, model: GatedModel) -> None:
    model.gate.set()
    reply = await client.ask(RECOGNIZE, b"ab")
    assert reply["ok"]
    assert (reply["text"], reply["confidence_ratio"]) == ("ab", 0.5)
    assert reply["audio_s"] == 1 / 16000
    assert reply["waited_s"] >= 0
    assert reply["compute_s"] >= 0


async def test_requests_are_served_first_come_first_served(client: Client, model: GatedModel) -> None:
    asked = []
    for n, payload in enumerate([b"aa", b"bb", b"cc"], start=1):
        asked.append(asyncio.create_task(client.ask(RECOGNIZE, payload)))
        await unfinished(client, n)
    model.gate.set()
    assert [reply["text"] for reply in await asyncio.gather(*asked)] == ["aa", "bb", "cc"]
    assert model.seen == [b"aa", b"bb", b"cc"]


async def test_a_client_who_hangs_up_while_waiting_costs_nothing(client: Client, model: GatedModel) -> None:
    first = asyncio.create_task(client.ask(RECOGNIZE, b"aa"))
    await started(model)
    _, leaving = await client.send(RECOGNIZE, b"bb")
    await unfinished(client, 2)
    last = asyncio.create_task(client.ask(RECOGNIZE, b"cc"))
    await unfinished(client, 3)
    leaving.close()
    await leaving.wait_closed()
    await unfinished(client, 2)
    model.gate.set()
    assert [(await first)["text"], (await last)["text"]] == ["aa", "cc"]
    assert model.seen == [b"aa", b"cc"]


async def test_more_than_may_wait_are_refused_for_now(
    client: Client, model: GatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_process, "MAX_WAITING", 1)
    held = [asyncio.create_task(client.ask(RECOGNIZE, b"aa")) for _ in range(2)]
    await unfinished(client, 2)
    reply = await client.ask(RECOGNIZE, b"bb")
    assert (reply["ok"], reply["retryable"]) == (False, True)
    model.gate.set()
    assert all(r["ok"] for r in await asyncio.gather(*held))


@pytest.mark.parametrize(
    ("header", "payload"),
    [
        ({"op": "dance"}, b""),
        ({}, b""),
        ({"op": "recognize", "model": "other"}, b"aa"),
        ({"op": "recognize", "model": ["gated"]}, b"aa"),
        (RECOGNIZE, b"odd"),
        ({**RECOGNIZE, "options": [1]}, b"aa"),
    ],
)
async def test_requests_that_make_no_sense_are_refused_for_good(
    client: Client, header: dict[str, Any], payload: bytes
) -> None:
    reply = await client.ask(header, payload)
    assert (reply["ok"], reply["retryable"]) == (False, False)


async def test_a_model_that_fails_is_worth_a_retry_and_does_not_stop_the_server(
    client: Client, model: GatedModel
) -> None:
    model.gate.set()
    with structlog.testing.capture_logs() as said:
        reply = await client.ask(RECOGNIZE, b"!!")
    assert (reply["ok"], reply["retryable"]) == (False, True)
    assert "trouble" not in str(reply)
    assert [(record["event"], str(record["exc_info"])) for record in said] == [
        ("recognition failed", "a model's own trouble")
    ]
    assert (await client.ask(RECOGNIZE, b"ok"))["text"] == "ok"


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="whisper, pocketsphinx"):
        load(("parrot",), 1)
