"""The real Lua scripts over a real Redis, in virtual time.

The scripts are given the time, what a key may still live is shifted, and nobody waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from unittest import mock

import redis
from redis.client import PubSub

from support.fake_livekit import EPOCH_MS
from support.virtual_time import VirtualLoop
from voicefleet.contract import claims as protocol
from voicefleet.contract import codec
from voicefleet.contract.claims import Claim, Handoff
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.claim_store import ClaimStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, script_text
from voicefleet.runtime.redis.scripts import OpenClaimsExpire, ScriptArguments

T = TypeVar("T")

REGION = "eu"
KEYS = Keys(REGION)
_STRETCH = 1_000
"""A virtual millisecond is a real second of Redis, so that a slow machine lets nothing expire by itself."""
_TTLS = ("ACCEPTED_TTL_MS", "LIVE_TTL_MS", "EPOCH_TTL_MS", "HANDOFF_TTL_MS", "HANDOFF_READY_TTL_MS")
_PATIENT_S = 60.0
_CLOCK = ("local t = redis.call('TIME')", "local t = {math.floor(ARGV[2] / 1000), ARGV[2] % 1000 * 1000}")

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


class InstantScripts(Scripts):
    """The scripts over a client that blocks: while an answer is on its way, virtual time stands still. What they take
    for the time of Redis's clock is virtual time.
    """

    def __init__(self, client: redis.Redis, text: Callable[[str], str], now_ms: Callable[[], int]) -> None:
        self._instant = client
        self._text = text
        self._now_ms = now_ms
        self._loaded: dict[str, Any] = {}

    async def run(self, keys: list[str], args: ScriptArguments) -> Any:
        script = self._loaded.get(args.script)
        if script is None:
            script = self._loaded[args.script] = self._instant.register_script(self._text(args.script))
        return script(keys=keys, args=[args.encode(), self._now_ms()])


class InstantClient:
    """As `InstantScripts`, for the plain commands of a `CallStore`."""

    def __init__(self, client: redis.Redis, wire: Wire) -> None:
        self._client, self._wire = client, wire

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        command = getattr(self._client, name)

        async def answer(*args: Any, **options: Any) -> Any:
            if self._wire.cut:
                raise TimeoutError("cut off")
            return command(*args, **options)

        return answer


class Wire(Scripts):
    """The way of one job, or of the controller, to the scripts: it may fail, or be slow.

    Args:
        done: told of every script that Redis ran, and its answer, whether that is heard or not.
    """

    def __init__(
        self, scripts: Scripts, done: Callable[[ScriptArguments, Any], None] = lambda args, answer: None
    ) -> None:
        self._scripts = scripts
        self._done = done
        self.cut = False
        self.faults: list[Line] = []
        """How the next requests fare, before `cut` counts."""
        self.held_up_s: dict[str, float] = {}
        """Script -> how long its next request is on its way."""

    async def run(self, keys: list[str], args: ScriptArguments) -> Any:
        if (held_up_s := self.held_up_s.pop(args.script, 0.0)) > 0:
            await asyncio.sleep(held_up_s)
        line = self.faults.pop(0) if self.faults else Line.AWAY if self.cut else Line.UP
        if line is Line.AWAY:
            raise UnknownStateError("cut off")
        answer = await self._scripts.run(keys, args)
        self._done(args, answer)
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
    """The Redis behind `client`, for one region; a synchronous machine drives all that goes on through `run`.

    Args:
        client: blocks, so that virtual time stands still while it is asked.
        text: the scripts' text by name.
    """

    def __init__(self, client: redis.Redis, text: Callable[[str], str]) -> None:
        self._client = client
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self._listening = _pubsub(client)
        self.scripts = InstantScripts(client, text, self.now_ms)
        self.claims = ClaimStore(self.scripts, REGION)
        """Of a client that never fails."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def now_s(self) -> float:
        return self._runner.get_loop().time()

    def now_ms(self) -> int:
        """Redis's clock, which is LiveKit's."""
        return EPOCH_MS + round(self.now_s() * 1000)

    def empty(self) -> None:
        """Nothing is there, and virtual time begins anew: the same moves do the same each time."""
        self.close()
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self._listening = _pubsub(self._client)
        self._client.flushdb()

    def close(self) -> None:
        self._listening.close()
        self._runner.close()

    def call_store(self, wire: Wire) -> CallStore:
        """The controller's, which has not looked yet."""
        client = cast(RedisClient, InstantClient(self._client, wire))
        return CallStore(client, wire, REGION, grace_ms=1_000)

    def listen(self, job: str, *, on: bool = True) -> None:
        """The job listens on its channel, or does not any more."""
        change = self._listening.subscribe if on else self._listening.unsubscribe
        if not on and not self._listening.subscribed:
            return
        change(KEYS.job_channel(job))
        # What came in the meantime is read too: until Redis has said that it heard this.
        kind = "subscribe" if on else "unsubscribe"
        while (message := self._listening.get_message(timeout=_PATIENT_S)) is None or message["type"] != kind:
            pass

    async def close_orphans(self, rooms: tuple[str, ...]) -> None:
        """Close in the book the claims that ran out, as a controller does when their callers are gone."""
        args = OpenClaimsExpire(claim_prefix=KEYS.claim_prefix, rooms=list(rooms))
        await self.scripts.run([KEYS.callers, KEYS.open_claims, KEYS.ledger], args)

    def shift(self, rooms: tuple[str, ...], seconds: float) -> None:
        """So much time goes by for the claims and handoffs in `rooms`."""
        keys = [key for room in rooms for key in (KEYS.claim(room), KEYS.handoff(room))]
        self._client.eval(_SHIFT, len(keys), *keys, str(round(seconds * 1000 * _STRETCH)), str(100 * _STRETCH))

    def look(self, rooms: tuple[str, ...]) -> Seen:
        keys = [KEYS.ledger, KEYS.open_claims]
        for room in rooms:
            keys += [KEYS.claim(room), KEYS.handoff(room), KEYS.fenced(room)]
        raw = json.loads(cast(str, self._client.eval(_LOOK, len(keys), *keys, *rooms)))
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

    def text(name: str) -> str:
        lines = _changed(name, script_text(name), *_CLOCK)
        return _changed(name, lines, *mutations[name]) if mutations and name in mutations else lines

    stretched = {name: getattr(protocol, name) * _STRETCH for name in _TTLS}
    with (
        mock.patch.multiple("voicefleet.runtime.redis.claim_store", **stretched),
        redis.Redis.from_url(url, decode_responses=True, socket_timeout=_PATIENT_S) as client,
        contextlib.closing(ModelRedis(client, text)) as found,
    ):
        yield found


def _pubsub(client: redis.Redis) -> PubSub:
    return client.pubsub()  # type: ignore[no-untyped-call,no-any-return]


def _changed(name: str, text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{name}.lua has {text.count(old)} times: {old}"
    assert "\n" not in old + new
    return text.replace(old, new)
