"""The memory of a call: bounded, encrypted when a key is given, and never the end of a call."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import Keys
from voicefleet.worker.memory import MemoryStore, Remembered, TooLargeError, cipher, decode, encode

pytestmark = pytest.mark.unit


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [text]}


class Store:
    """A Redis of one key."""

    def __init__(self, value: bytes | None = None, error: Exception | None = None) -> None:
        self.value = value
        self.error = error
        self.written: list[bytes] = []

    async def get(self, _: str) -> str | None:
        if self.error:
            raise self.error
        return self.value.decode("utf-8", "surrogateescape") if self.value is not None else None

    async def set(self, _: str, value: bytes, *, ex: int) -> None:
        if self.error:
            raise self.error
        self.written.append(value)
        self.value = value

    async def delete(self, _: str) -> None:
        self.value = None


def store(redis: Store, lost: list[str], key: str = "") -> MemoryStore:
    return MemoryStore(
        redis,  # type: ignore[arg-type]
        Keys("eu"),
        "room",
        ttl_s=60,
        max_bytes=10_000,
        secret=cipher(key),
        lost=lost.append,
    )


def test_everything_comes_back() -> None:
    memory = Remembered("fast", [message("one"), message("two")], {"table": 4})
    text, lost = encode(memory, 10_000)
    assert decode(text) == memory
    assert lost == ()


def test_the_oldest_goes_first_and_no_function_output_is_left_alone() -> None:
    call = {"type": "function_call", "call_id": "c", "pad": "x" * 900}
    output = {"type": "function_call_output", "call_id": "c"}
    text, lost = encode(Remembered("", [message("old " * 200), call, output, message("new")]), 400)
    assert decode(text).items == [message("new")]
    assert lost == ("too_large",)


def test_what_cannot_be_kept_costs_only_itself() -> None:
    for kept in ({"agent": object()}, {"blob": "x" * 9_000}, {"nan": float("nan")}):
        text, lost = encode(Remembered("", [message("hello")], kept), 10_000)
        assert decode(text) == Remembered("", [message("hello")], {})
        assert lost == ("kept_refused",)


def test_nothing_fits() -> None:
    with pytest.raises(TooLargeError):
        encode(Remembered("", [message("x" * 5_000)]), 1_000)


@pytest.mark.parametrize(
    "text", [b"", b"null", b'{"v": 2, "items": [], "kept": {}}', b'{"v": 1, "items": 3, "kept": {}}']
)
def test_not_a_memory(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  one of several kinds, all of them mean the same
        decode(text)


async def test_the_newest_state_is_stored_and_read() -> None:
    redis, lost = Store(), list[str]()
    memory = store(redis, lost)
    for text in ("one", "two", "three"):
        memory.save(lambda text=text: Remembered("", [message(text)]))  # type: ignore[misc]
    await memory.flush(1.0)
    assert [decode(w).items for w in redis.written] == [[message("three")]]
    assert await memory.read() == Remembered("", [message("three")])
    await memory.forget()
    assert (redis.value, lost) == (None, [])


async def test_encrypted_with_a_key_and_read_with_an_older_one() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    redis, lost = Store(), list[str]()
    memory = store(redis, lost, old)
    memory.save(lambda: Remembered("", [message("secret")]))
    await memory.flush(1.0)
    assert redis.value is not None
    assert b"secret" not in redis.value
    assert await store(redis, lost, f"{new},{old}").read() == Remembered("", [message("secret")])
    assert await store(redis, lost, new).read() is None
    assert lost == ["undecryptable"]


async def test_a_failure_is_counted_once_and_raises_nothing() -> None:
    lost: list[str] = []
    memory = store(Store(error=OSError("away")), lost)
    assert await memory.read() is None
    memory.save(lambda: Remembered("", [message("x")]))
    await memory.flush(1.0)
    assert lost == ["unreachable"]
    assert await store(Store(b"rubbish"), lost).read() is None
    assert lost == ["unreachable", "unreadable"]


def test_a_bad_key_is_one_clear_error() -> None:
    assert cipher("  ") is None
    with pytest.raises(ConfigError, match="VOICEFLEET_MEMORY_KEY"):
        cipher("not-a-key")
