"""The conversation so far, in Redis: what an agent needs that takes a call over. Personal data: it has a time to live,
a size bound, and is encrypted when a key is given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.logs import get_logger
from voicefleet.runtime.redis import REDIS_FAILURES, RedisClient

VERSION = 1
_READ_LIMIT_S = 0.5

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A conversation. `items`: livekit-agents' chat items as JSON; `kept`: what the team's agent chose to keep."""

    tier: str
    items: list[dict[str, Any]]
    kept: dict[str, Any] = field(default_factory=dict)


class TooLargeError(ValueError):
    """Not even the newest item fits."""


def encode(memory: Remembered, max_bytes: int) -> tuple[bytes, tuple[str, ...]]:
    """JSON of at most `max_bytes`, and what was lost for it: any of "kept_refused", "too_large".

    The oldest items go first, a function's call together with its output.

    Raises:
        TooLargeError: nothing fits.
    """
    lost: list[str] = []
    kept: dict[str, Any] = memory.kept
    try:
        if len(json.dumps(kept, allow_nan=False).encode()) > max_bytes // 2:
            raise ValueError("too large")
    except (TypeError, ValueError, RecursionError):
        kept = {}
        lost.append("kept_refused")
    frame = len(json.dumps({"v": VERSION, "tier": memory.tier, "items": [], "kept": kept}).encode())
    sizes = [len(json.dumps(item).encode()) + 2 for item in memory.items]
    first, total = 0, frame + sum(sizes)
    while total > max_bytes and first < len(sizes):
        total -= sizes[first]
        first += 1
    while 0 < first < len(sizes) and memory.items[first].get("type") == "function_call_output":
        first += 1
    if first:
        lost.append("too_large")
    if memory.items and first >= len(memory.items):
        raise TooLargeError
    text = {"v": VERSION, "tier": memory.tier, "items": memory.items[first:], "kept": kept}
    return json.dumps(text, separators=(",", ":")).encode(), tuple(lost)


def decode(text: bytes) -> Remembered:
    """Raises ValueError: not a memory that this release reads."""
    raw = json.loads(text)
    if not isinstance(raw, dict) or not 1 <= int(raw.get("v", 0)) <= VERSION:
        raise ValueError("not a memory of a version this release reads")
    items, kept = raw.get("items"), raw.get("kept")
    if not isinstance(items, list) or not isinstance(kept, dict):
        raise ValueError("not a memory")
    return Remembered(str(raw.get("tier", "")), items, kept)


def cipher(keys: str) -> MultiFernet | None:
    """The cipher of `keys`, comma-separated, the newest first; None for no key.

    Raises:
        ConfigError: one of them is no key.
    """
    if not keys.strip():
        return None
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
    except ValueError as error:
        raise ConfigError(
            "not a key, or a list of them",
            field="VOICEFLEET_MEMORY_KEY",
            way_out="Make one with cryptography.fernet.Fernet.generate_key(), or leave it empty.",
        ) from error


class MemoryStore:
    """The memory of one call. Nothing here ever holds up or ends the call: what goes wrong is logged and counted.

    Args:
        lost: told the reason each time a part of the memory is lost.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        room: str,
        *,
        ttl_s: int,
        max_bytes: int,
        secret: MultiFernet | None,
        lost: Callable[[str], None],
    ) -> None:
        self._redis = redis
        self._key = keys.memory(room)
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._secret = secret
        self._lost = lost
        self._told: set[str] = set()
        self._next: Callable[[], Remembered] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def read(self) -> Remembered | None:
        """The memory, or None: there is none, or it cannot be read."""
        try:
            async with asyncio.timeout(_READ_LIMIT_S):
                text = await self._redis.get(self._key)
            if not text:
                return None
            raw = text if isinstance(text, bytes) else text.encode()
            return decode(self._secret.decrypt(raw) if self._secret else raw)
        except REDIS_FAILURES as error:
            self._missed("unreachable", error)
        except InvalidToken as error:
            self._missed("undecryptable", error)
        except (ValueError, TypeError) as error:
            self._missed("unreadable", error)
        return None

    def save(self, memory: Callable[[], Remembered]) -> None:
        """Store what `memory` gives, soon and in the background; the newest wins."""
        self._next = memory
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def flush(self, limit_s: float) -> None:
        """Wait until everything is stored, at most `limit_s`."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=limit_s)

    async def forget(self) -> None:
        """The call ended in good order: nobody needs it any more."""
        self._next = None
        await self.flush(1.0)
        try:
            await self._redis.delete(self._key)
        except REDIS_FAILURES:
            log.warning("memory of a call not removed, it will expire")

    async def _write(self) -> None:
        while self._next is not None:
            memory, self._next = self._next, None
            try:
                text, lost = encode(memory(), self._max_bytes)
                await self._redis.set(self._key, self._secret.encrypt(text) if self._secret else text, ex=self._ttl_s)
            except REDIS_FAILURES as error:
                self._missed("unreachable", error)
            except (ValueError, TypeError) as error:
                self._missed("too_large" if isinstance(error, TooLargeError) else "unreadable", error)
            else:
                for reason in lost:
                    self._missed(reason, None)

    def _missed(self, reason: str, error: Exception | None) -> None:
        # Every turn may lose the same part again: said once, counted once a call.
        if reason not in self._told:
            self._told.add(reason)
            log.warning("a part of the call's memory is lost", reason=reason, error=type(error).__name__)
            self._lost(reason)
