"""The real Lua scripts over a real Redis, in virtual time: what a key may still live is shifted, nobody waits."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

from voicefleet.contract import claims as protocol
from voicefleet.contract import codec
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis import connection as runtime_redis
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, connect_redis

T = TypeVar("T")

REGION = "model"
KEYS = Keys(REGION)
_STRETCH = 1_000
"""A virtual millisecond is a real second of Redis, so that a slow machine lets nothing expire by itself."""
_TTLS = ("ACCEPTED_TTL_MS", "LIVE_TTL_MS", "EPOCH_TTL_MS", "HANDOFF_TTL_MS", "HANDOFF_READY_TTL_MS")
_PATIENT_S = 60.0

_SHIFT = """
for _, key in ipairs(KEYS) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    local beat = tonumber(ARGV[2])
    left = math.ceil(left / beat) * beat - tonumber(ARGV[1])
    if left <= 0 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left) end
  end
end
"""

_LOOK = """
local function fields(key)
  local flat, out = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do out[flat[i]] = flat[i + 1] end
  return out
end
local out = {ledger = fields(KEYS[1]), held = fields(KEYS[2]), claims = {}, handoffs = {}, fenced = {}}
for i, room in ipairs(ARGV) do
  out.claims[room] = redis.call('GET', KEYS[i * 3]) or ''
  out.handoffs[room] = redis.call('GET', KEYS[i * 3 + 1]) or ''
  out.fenced[room] = table.concat(redis.call('SMEMBERS', KEYS[i * 3 + 2]), ' ')
end
return cjson.encode(out)
"""


class Line(enum.Enum):
    """How a request to Redis fares."""

    UP = "up"
    AWAY = "away"
    """Redis does not get it."""
    UNHEARD = "unheard"
    """Redis obeys, and the answer is lost."""


class Wire(Scripts):
    """The way of one job, or controller, to the scripts: it may fail."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self.cut = False
        self.faults: list[Line] = []
        """How the next requests fare, before `cut` counts."""

    async def run(self, name: str, keys: list[str], args: list[str | int | float]) -> Any:
        line = self.faults.pop(0) if self.faults else Line.AWAY if self.cut else Line.UP
        if line is Line.AWAY:
            raise UnknownStateError("cut off")
        answer = await self._scripts.run(name, keys, args)
        if line is Line.UNHEARD:
            raise UnknownStateError("the answer is lost")
        return answer


@dataclass(frozen=True)
class Seen:
    """All of the protocol's state at one moment."""

    ledger: Mapping[str, int]
    held: Mapping[str, str]
    claims: Mapping[str, Claim | None]
    handoffs: Mapping[str, Handoff | None]
    fenced: Mapping[str, frozenset[str]]


class ModelRedis:
    """An empty region of the Redis behind `client`; a synchronous machine drives it through `run`."""

    def __init__(self, runner: asyncio.Runner, client: RedisClient) -> None:
        self._runner, self._client = runner, client
        self._scripts = Scripts(client)
        self.claims = ClaimStore(self._scripts, REGION)
        """The controller's."""
        self.book = CallStore(client, self._scripts, REGION, grace_ms=1_000)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def empty(self) -> None:
        await self._client.flushdb()

    def wire(self) -> Wire:
        """A way to the scripts for one job."""
        return Wire(self._scripts)

    async def close_orphans(self, rooms: tuple[str, ...]) -> None:
        """Close in the book the claims that ran out, as a controller does when their callers are gone."""
        await self._scripts.run(
            "open_claims_expire", [KEYS.callers, KEYS.open_claims, KEYS.ledger], [KEYS.claim_prefix, *rooms]
        )

    async def shift(self, rooms: tuple[str, ...], seconds: float) -> None:
        """So much time goes by for the claims and handoffs in `rooms`."""
        keys = [key for room in rooms for key in (KEYS.claim(room), KEYS.handoff(room))]
        await self._client.eval(_SHIFT, len(keys), *keys, str(round(seconds * 1000 * _STRETCH)), str(100 * _STRETCH))

    async def look(self, rooms: tuple[str, ...]) -> Seen:
        keys = [KEYS.ledger, KEYS.open_claims]
        for room in rooms:
            keys += [KEYS.claim(room), KEYS.handoff(room), KEYS.fenced(room)]
        raw = json.loads(await self._client.eval(_LOOK, len(keys), *keys, *rooms))
        return Seen(
            {name: int(count) for name, count in dict(raw["ledger"]).items()},
            dict(raw["held"]),
            {room: codec.load(Claim, text) if text else None for room, text in raw["claims"].items()},
            {room: codec.load(Handoff, text) if text else None for room, text in raw["handoffs"].items()},
            {room: frozenset(text.split()) for room, text in raw["fenced"].items()},
        )


@contextmanager
def model_redis(url: str, mutations: Mapping[str, tuple[str, str]] | None = None) -> Iterator[ModelRedis]:
    """The scripts on the Redis at `url`, in virtual time.

    Args:
        mutations: script -> (line, other line): the script is run with that one line changed.
    """
    sound = runtime_redis.script_text

    def text(name: str) -> str:
        lines = sound(name)
        if mutations and name in mutations:
            old, new = mutations[name]
            assert lines.count(old) == 1, f"{name}.lua has {lines.count(old)} times: {old}"
            assert "\n" not in old + new
            return lines.replace(old, new)
        return lines

    stretched = {name: getattr(protocol, name) * _STRETCH for name in _TTLS}
    with (
        mock.patch.multiple("voicefleet.runtime.redis.claim_store", **stretched),
        mock.patch("voicefleet.worker.job.claim_lease.FIRST_TRY_TIMEOUT_S", _PATIENT_S),
        mock.patch.object(runtime_redis, "script_text", text),
        asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner,
    ):
        client = connect_redis(url, timeout_s=_PATIENT_S)
        try:
            yield ModelRedis(runner, client)
        finally:
            runner.run(client.aclose())
