"""The transcript of a call: bounded, encrypted when a key is given, and never the end of a call."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from support import virtual_time
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import Keys
from voicefleet.worker.conversation.transcript import (
    CallTranscript,
    Loss,
    LostTranscriptError,
    build_cipher,
    decode,
    encode,
)
from voicefleet.worker.conversation.transcript_store import TranscriptStore

pytestmark = pytest.mark.unit

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [text]}


def function(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def output(call_id: str, text: str = "") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def test_everything_comes_back() -> None:
    transcript = CallTranscript("fast", [message("one"), message("ž 你 \ud800")], {"table": 4}, "RM_1", "ann", 12.5)
    text, lost = encode(transcript, 10_000)
    assert decode(text) == transcript
    assert lost == ()


@pytest.mark.parametrize("max_bytes", range(200, 1_400, 50))
def test_the_oldest_goes_first_and_no_output_without_its_call(max_bytes: int) -> None:
    items = [message("x" * 100), function("a"), function("b"), output("a", "y" * 90), output("b"), message("new")]
    text, lost = encode(CallTranscript("", items), max_bytes)
    assert len(text) <= max_bytes
    kept = decode(text).items
    assert [i for i in items if i in kept] == kept
    calls = {i["call_id"] for i in kept if i["type"] == "function_call"}
    assert all(i["call_id"] in calls for i in kept if i["type"] == "function_call_output")
    assert lost == (() if len(kept) == len(items) else (Loss.TOO_LARGE,))


class Evil:
    def __repr__(self) -> str:
        raise RuntimeError


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"v": value}
    return value


def ring() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["me"] = value
    return value


@pytest.mark.parametrize(
    "kept", [{"agent": Evil()}, {"blob": "x" * 20_000}, {"nan": float("nan")}, {(1, 2): 3}, {"b": b"x"}, ring(), deep()]
)
def test_what_cannot_be_kept_costs_only_itself(kept: dict[str, Any]) -> None:
    text, lost = encode(CallTranscript("", [message("hello")], kept), 10_000)
    assert decode(text) == CallTranscript("", [message("hello")], {})
    assert lost == (Loss.KEPT_REFUSED,)


def test_one_item_too_large_costs_itself_and_no_more() -> None:
    text, lost = encode(CallTranscript("", [message("x" * 5_000)], {"table": 4}), 1_000)
    assert decode(text) == CallTranscript("", [], {"table": 4})
    assert lost == (Loss.TOO_LARGE,)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"v": 2, "items": [], "kept": {}}',
        '{"v": 0, "items": [], "kept": {}}',
        '{"v": 1, "items": 3, "kept": {}}',
        '{"v": 1, "items": [], "kept": []}',
        '{"v": "x", "items": [], "kept": {}}',
        '{"v": 1, "items": ' + "[" * 100_000,
    ],
)
def test_not_a_memory(text: str) -> None:
    with pytest.raises(LostTranscriptError) as caught:
        decode(text)
    assert caught.value.loss is Loss.UNREADABLE


def test_a_newer_release_s_extra_fields_are_ignored() -> None:
    raw = json.loads(encode(CallTranscript("fast", [message("one")]), 10_000)[0])
    assert decode(json.dumps({**raw, "mood": "good"})).items == [message("one")]


@pytest.mark.parametrize(
    ("sid", "caller", "now_s", "same"),
    [
        ("RM_1", "", 9_999.0, True),
        ("RM_2", "ann", 130.0, True),  # livekit-server was restarted, and she is back
        ("RM_2", "ann", 170.0, False),
        ("RM_2", "bob", 101.0, False),
        ("RM_2", "", 101.0, False),
    ],
)
def test_a_memory_is_of_one_call(sid: str, caller: str, now_s: float, same: bool) -> None:
    assert CallTranscript("", [], {}, "RM_1", "ann", 100.0).is_of(sid, caller, now_s) is same
    assert not CallTranscript("", [], {}, "RM_1", "", 100.0).is_of("RM_2", "", 100.0)


def test_keys() -> None:
    text, _ = encode(CallTranscript("", [message("secret")]), 10_000, build_cipher(OLD))
    assert "secret" not in text
    assert decode(text, build_cipher(f"{NEW}, {OLD}")).items == [message("secret")]
    for cipher in (build_cipher(NEW), None):
        with pytest.raises(LostTranscriptError) as caught:
            decode(text, cipher)
        assert caught.value.loss is Loss.UNDECRYPTABLE
    plain, _ = encode(CallTranscript("", [message("from before")]), 10_000)
    with pytest.raises(LostTranscriptError) as refused:
        decode(plain, build_cipher(NEW))
    assert refused.value.loss is Loss.PLAINTEXT
    assert decode(plain, build_cipher(NEW), plaintext=True).items == [message("from before")]


def test_a_bad_key_is_one_clear_error() -> None:
    assert build_cipher("  ") is None
    for bad in ("not-a-key", f"{NEW},short"):
        with pytest.raises(ConfigError, match="VOICEFLEET_TRANSCRIPT_KEY") as caught:
            build_cipher(bad)
        assert bad not in str(caught.value)
        assert "generate_key" in caught.value.hint


class Store:
    """A Redis of one key, and its script."""

    def __init__(self, value: str | None = None) -> None:
        self.value = value
        self.away = False
        self.taken_s = 0.0
        self.written: list[str] = []

    def register_script(self, _: str) -> Any:
        return self._put

    async def get(self, _: str) -> str | None:
        if self.away:
            raise OSError("away")
        return self.value

    async def _put(self, keys: list[str], args: list[Any]) -> int:
        await asyncio.sleep(self.taken_s)
        if self.away:
            raise OSError("away")
        text = json.loads(args[0])["transcript"]
        self.value = text or None
        self.written.append(text)
        return 1


def store(redis: Store, lost: list[Loss], key: str = "") -> TranscriptStore:
    return TranscriptStore(
        redis,  # type: ignore[arg-type]
        Keys("eu"),
        "room",
        "j",
        ttl_s=60,
        max_bytes=10_000,
        cipher=build_cipher(key),
        lost=lost.append,
    )


def test_one_write_at_a_time_and_the_newest_wins() -> None:
    async def case() -> None:
        redis, lost = Store(), list[Loss]()
        redis.taken_s = 0.3
        transcript = store(redis, lost)
        for text in ("one", "two", "three"):
            transcript.save(lambda text=text: CallTranscript("", [message(text)]))  # type: ignore[misc]
            await asyncio.sleep(0.05)
        assert not await transcript.flush(0.1)
        assert await transcript.flush(1.0)
        assert [decode(w).items[0]["content"] for w in redis.written] == [["one"], ["three"]]
        assert (await transcript.read()).items == [message("three")]  # type: ignore[union-attr]
        await transcript.close(forget=True)
        assert (redis.value, lost) == (None, [])

    virtual_time.run(case())


def test_what_redis_did_not_take_is_written_later() -> None:
    async def case() -> None:
        redis, lost = Store(), list[Loss]()
        redis.away = True
        transcript = store(redis, lost)
        assert await transcript.read() is None
        transcript.save(lambda: CallTranscript("", [message("one")]))
        assert not await transcript.flush(5.0)
        redis.away = False
        assert await transcript.flush(1.5)
        assert decode(str(redis.value)).items == [message("one")]
        assert lost == [Loss.UNREACHABLE], "counted once a call"

    virtual_time.run(case())


def test_the_end_of_a_call_does_not_wait_for_a_redis_that_is_away() -> None:
    async def case() -> None:
        redis = Store('{"v": 1}')
        redis.away = True
        for forget in (True, False):
            transcript = store(redis, [])
            transcript.save(lambda: CallTranscript("", []))
            await transcript.close(forget=forget)
        assert virtual_time.now_s() <= 1.5

    virtual_time.run(case())


def test_rubbish_is_counted_and_raises_nothing() -> None:
    async def case() -> None:
        lost: list[Loss] = []
        assert await store(Store("{rubbish"), lost).read() is None
        assert await store(Store("rubbish"), lost).read() is None
        assert lost == [Loss.UNREADABLE, Loss.UNDECRYPTABLE]

    virtual_time.run(case())


def test_an_item_that_is_no_json_costs_one_write() -> None:
    async def case() -> None:
        redis, lost = Store(), list[Loss]()
        transcript = store(redis, lost)
        transcript.save(lambda: CallTranscript("", [{"content": object()}]))
        assert await transcript.flush(1.0)
        assert (redis.written, lost) == ([], [Loss.UNREADABLE])

    virtual_time.run(case())


def test_the_trace_goes_on_and_an_older_memory_has_none() -> None:
    text, _ = encode(CallTranscript("fast", [], trace="00-aa-bb-01"), 4096)
    assert decode(text).trace == "00-aa-bb-01"
    assert decode(encode(CallTranscript("fast", []), 4096)[0]).trace == ""
    assert "trace" not in encode(CallTranscript("fast", []), 4096)[0]
