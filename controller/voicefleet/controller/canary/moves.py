"""A call of one pool goes on in another: what Redis keeps of it goes with it, its history and conversation too.

Three steps, each whole and each harmless when repeated: out (no job of the old pool gets it any more), in, and done.
Whoever is killed between them leaves a call that is set aside as `moved`, and any replica goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.aside import RELEASED_TTL_MS, Why
from voicefleet.contract.call_log import CallLog
from voicefleet.contract.calls import CALL_TTL_MS, CallRecord
from voicefleet.contract.claims import EPOCH_TTL_MS
from voicefleet.contract.keys import Keys
from voicefleet.controller.calls.snapshots import read_aside
from voicefleet.runtime.redis.connection import RedisClient, Scripts, translate_redis_errors
from voicefleet.runtime.redis.scripts import MoveDone, MoveIn, MoveOut


@dataclass(frozen=True, slots=True)
class Taken:
    """What goes with a call."""

    joined_ms: float
    call: str
    log: tuple[str, ...]
    facts: tuple[str, ...]
    transcript: str
    transcript_ttl_ms: int
    transcript_of: str
    epoch: str
    fenced: tuple[str, ...]
    record: str

    @classmethod
    def read(cls, answer: list[Any]) -> Taken | None:
        """None: the call is not to be had."""
        if not answer:
            return None
        joined, call, log, facts, transcript, ttl_ms, of, epoch, fenced, record = answer
        return cls(
            float(joined), call, tuple(log), tuple(facts), transcript, int(ttl_ms), of, epoch, tuple(fenced), record
        )

    def call_log(self, region: str) -> CallLog | None:
        fields: Mapping[str, str] = dict(zip(self.log[::2], self.log[1::2], strict=True))
        return CallLog.read(self.call, region, fields, self.facts) if self.call else None


class CallMoves:
    """Moves calls from the pool `source` to `target`."""

    def __init__(self, redis: RedisClient, source: str, target: str) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._source, self._target = Keys(source), Keys(target)
        self._note = f"{source} to {target}"

    async def moved(self, room: str) -> bool:
        """Whether the call in `room` went to the other pool. Raises `UnknownStateError`."""
        with translate_redis_errors():
            aside = read_aside(await self._redis.get(self._source.aside(room)) or "")
        return aside is not None and aside.why == Why.MOVED

    async def out(self, room: str) -> Taken | None:
        """No job of the old pool gets the call from now on. None: one has it, or it is no call there."""
        k = self._source
        keys = [
            *(k.claim(room), k.aside(room), k.callers, k.changed, k.transcript(room), k.transcript_of(room)),
            *(k.epoch(room), k.fenced(room), k.call(room), k.open_claims, k.ledger),
        ]
        args = MoveOut(room=room, moved_ttl_ms=RELEASED_TTL_MS)
        return Taken.read(await self._scripts.run(keys, args))

    async def into(self, room: str, taken: Taken, record: CallRecord) -> None:
        """The call waits in the new pool, as long as it has waited already."""
        k = self._target
        keys = [
            *(k.callers, k.changed, k.transcript(room), k.transcript_of(room), k.epoch(room), k.fenced(room)),
            *(k.call(room), k.open_calls),
        ]
        await self._scripts.run(
            keys,
            MoveIn(
                room=room,
                joined_ms=taken.joined_ms,
                call=taken.call,
                log=list(taken.log),
                facts=list(taken.facts),
                transcript=taken.transcript,
                transcript_ttl_ms=taken.transcript_ttl_ms,
                transcript_of=taken.transcript_of,
                epoch=taken.epoch,
                fenced=list(taken.fenced),
                record=codec.dump(record),
                record_ttl_ms=CALL_TTL_MS,
                epoch_ttl_ms=EPOCH_TTL_MS,
                note=self._note,
            ),
        )

    async def done(self, room: str, call: str) -> None:
        """Nothing but the mark is left in the old pool."""
        k = self._source
        keys = [
            *(k.callers, k.waiting, k.inflight, k.expected, k.changed, k.call(room), k.transcript(room)),
            *(k.transcript_of(room), k.open_calls),
        ]
        await self._scripts.run(keys, MoveDone(room=room, call=call))
