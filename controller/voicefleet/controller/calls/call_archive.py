"""Past calls of one region in Redis: kept for days, bounded in number, and found again by room, by id and by time.

What a packed call is, is told in `contract.call_archive`. Every method raises `UnknownStateError` when Redis does not
answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.call_archive import PACKED_AFTER_MS, PackedCall, Place, Retention, pack, unpack
from voicefleet.contract.call_events import CallSummary
from voicefleet.contract.call_log import CallLog, summarize
from voicefleet.contract.keys import Keys
from voicefleet.runtime.redis.call_log_store import CallLogStore
from voicefleet.runtime.redis.connection import RedisClient, Scripts, translate_redis_errors
from voicefleet.runtime.redis.scripts import CallClose, CallPack, CallsToPack
from voicefleet.runtime.redis.values import read_value

AGAIN_MS = 10_000
"""A call that one replica packs is left to it for so long."""
AT_ONCE = 100


class CallArchive:
    """The past calls of `region`.

    Args:
        logs: of calls that are not packed yet.
    """

    def __init__(
        self, redis: RedisClient, scripts: Scripts, region: str, logs: CallLogStore, retention: Retention
    ) -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = Keys(region)
        self._region = region
        self._logs = logs
        self._retention = retention

    async def close(self, log: CallLog, summary: CallSummary) -> bool:
        """End the call with `call.ended`, once, and keep it. False: it had ended, or a caller is back."""
        keys, left_out = self._keys, {"timeline", "dial", "call", "region", "dead_air"}
        args = CallClose(
            id=log.call,
            claim_prefix=keys.claim_prefix,
            at_ms=log.end_ms(),
            reason=summary.reason,
            event=json.dumps(summary.model_dump(mode="json", exclude=left_out)),
            kept_ms=self._retention.kept_ms,
            most=self._retention.most,
            pack_after_ms=PACKED_AFTER_MS,
        )
        return bool(
            await self._scripts.run([keys.open_calls, keys.callers, keys.past_calls, keys.unpacked_calls], args)
        )

    async def pack_due(self) -> None:
        """Pack the calls that ended a while ago."""
        keys = [self._keys.unpacked_calls]
        for call in await self._scripts.run(keys, CallsToPack(again_ms=AGAIN_MS, most=AT_ONCE)):
            log = await self._logs.read(str(call))
            packed = "" if log is None else codec.dump(_packed(log))
            await self._scripts.run(keys, CallPack(id=str(call), packed=packed, kept_ms=self._retention.kept_ms))

    async def find(self, name: str) -> CallLog | None:
        """The newest call in the room of this name, or the call of this id; None: none is known (any more)."""
        with translate_redis_errors():
            newest = await self._redis.get(self._keys.call_of(name))
        return await self._read(str(newest)) if newest else await self._read(name)

    async def _read(self, call: str) -> CallLog | None:
        if (log := await self._logs.read(call)) is not None:
            return log
        with translate_redis_errors():
            text = await self._redis.get(self._keys.past_call(call))
        past = read_value(PackedCall, text)
        return None if past is None else unpack(past, self._region)

    async def page(self, after: Place, until_ms: int, limit: int) -> tuple[list[PackedCall], Place | None]:
        """At most `limit` past calls that started before `until_ms`, the first one behind `after` first, and where the
        next page begins; None: this is the last."""
        places: list[Place] = []
        offset, more = 0, True
        while more and len(places) <= limit:
            # Calls of one millisecond are in the order of their ids, and some of them may be on the page before.
            found = await self._between(after.opened_ms, until_ms, offset, limit + 1)
            offset, more = offset + len(found), len(found) > limit
            places += [place for place in found if place > after]
        shown = places[:limit]
        rows = [row for start in range(0, len(shown), AT_ONCE) for row in await self._rows(shown[start:][:AT_ONCE])]
        return rows, shown[-1] if len(places) > limit else None

    async def _between(self, from_ms: int, until_ms: int, offset: int, count: int) -> list[Place]:
        with translate_redis_errors():
            found: Any = await self._redis.zrange(
                self._keys.past_calls,
                from_ms,
                until_ms - 1,
                byscore=True,
                withscores=True,
                offset=offset,
                num=count,
            )
        return [Place(int(opened_ms), str(call)) for call, opened_ms in found]

    async def _rows(self, places: Sequence[Place]) -> list[PackedCall]:
        """Those of the calls that are there still."""
        with translate_redis_errors():
            texts = await self._redis.mget([self._keys.past_call(place.call) for place in places])
        rows = []
        for place, text in zip(places, texts, strict=True):
            row = read_value(PackedCall, text)
            if row is None and (log := await self._logs.read(place.call)) is not None and log.ended_ms:
                row = _packed(log)
            if row is not None:
                rows.append(row)
        return rows

    async def oldest_ms(self) -> int | None:
        """When the oldest call that is kept started; None: none is."""
        with translate_redis_errors():
            found: Any = await self._redis.zrange(self._keys.past_calls, 0, 0, withscores=True)
        return int(found[0][1]) if found else None


def _packed(log: CallLog) -> PackedCall:
    return pack(log, summarize(log, log.ended_ms))
