"""Reports of one region's workers, and the orders given to them, in Redis.

Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from voicefleet.contract import codec
from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import STALE_AFTER_S, WorkerOrder, WorkerReport, WorkerState
from voicefleet.controller.leader.leadership import Term
from voicefleet.runtime.redis.connection import RedisClient, Scripts, redis_now_ms, translate_redis_errors
from voicefleet.runtime.redis.scripts import Order, Reports
from voicefleet.runtime.redis.values import read_value

PROMPT_S = 3.0
"""A worker silent for longer may hang: its free slots are not counted on."""

_OVERDUE_S, _FORSAKEN_S = 2.0, 120.0

_ORDER_S = 86_400
"""A day: an order outlives any silence of its worker, and does not stay for ever once that is gone."""

PART = 300
"""So many reports are read by one command; Redis does nothing else meanwhile."""

FORGET_AFTER_S = 3_600.0
"""A worker silent for an hour is forgotten; its report has expired by then."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A worker's last report, how long ago it was sent, and the order that stands for it."""

    report: WorkerReport
    silent_s: float
    order: WorkerOrder | None
    at_ms: int = 0
    """When it was sent, on Redis's clock."""

    @property
    def prompt(self) -> bool:
        """It reported within the last few seconds."""
        return self.silent_s <= PROMPT_S

    @property
    def hanging(self) -> bool:
        """Reports are overdue, and LiveKit may still offer it calls."""
        return _OVERDUE_S < self.silent_s < _FORSAKEN_S

    @property
    def left_by_itself(self) -> bool:
        """It drains, and not because we ordered it: somebody sent it SIGTERM, and a second one would cut its calls."""
        # Redis may have lost our order; a worker that ever saw one is taken for one of those.
        ordered = self.order.cordon if self.order else self.report.order_seen > 0
        return self.report.state == WorkerState.DRAINING and not ordered

    @property
    def fresh(self) -> bool:
        return self.silent_s <= STALE_AFTER_S

    @property
    def free(self) -> int:
        """Slots that can surely take a call now."""
        return self.report.free if self.prompt else 0


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A worker's report and order: the texts, and what they hold. No report: they cannot be read."""

    texts: tuple[str, str]
    report: WorkerReport | None
    order: WorkerOrder | None


class WorkerStore:
    """The workers of `region`."""

    def __init__(self, redis: RedisClient, region: str) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._keys = Keys(region)
        self._parsed: dict[str, _Parsed] = {}

    async def read(self) -> dict[str, Reported]:
        """Every worker that reported within the last hour, by id. An unreadable report leaves its worker out."""
        found: dict[str, Reported] = {}
        parsed: dict[str, _Parsed] = {}
        cursor = ""
        while cursor != "0":
            now_ms, cursor, rows = await self._read_part(cursor or "0")
            for worker, at, text, order in rows:
                # Several readers meet the same texts: they are parsed once.
                known = self._parsed.get(worker)
                parsed[worker] = known if known and known.texts == (text, order) else _read(text, order)
                if (report := parsed[worker].report) is not None:
                    at_ms = int(float(at))
                    found[worker] = Reported(report, max(0.0, (now_ms - at_ms) / 1000), parsed[worker].order, at_ms)
        self._parsed = parsed
        return found

    async def _read_part(self, cursor: str) -> tuple[int, str, list[Any]]:
        """Redis's time, the next cursor, and some rows."""
        k = self._keys
        forget_ms = round(FORGET_AFTER_S * 1000)
        args = Reports(
            report_prefix=k.report_prefix,
            order_prefix=k.order_prefix,
            forget_after_ms=forget_ms,
            cursor=cursor,
            part=PART,
        )
        now, next_cursor, *rows = await self._scripts.run([k.workers], args)
        return int(now), str(next_cursor), rows

    async def order(
        self, worker: str, *, cordon: bool, after: int, leave: bool = False, term: Term | None = None
    ) -> None:
        """Give an order with a serial above `after`, the last one the worker may have seen.

        Args:
            term: the leader's; the order is refused when a later leader has given orders. None: anybody may give it.

        Raises:
            UnknownStateError: Redis did not answer, or another replica leads since.
        """
        serial = max(after + 1, await redis_now_ms(self._redis))
        text = codec.dump(WorkerOrder(serial=serial, cordon=cordon, leave=leave))
        if term is None:
            with translate_redis_errors():
                await self._redis.set(self._keys.order(worker), text, ex=_ORDER_S)
            return
        await self._as_leader(term, [self._keys.order(worker)], text)

    async def enter(self, term: Term) -> None:
        """Record that `term` has begun: from now on, orders of earlier leaders are refused.

        Raises:
            UnknownStateError: Redis did not answer, or another replica leads since.
        """
        await self._as_leader(term, [], "")

    async def _as_leader(self, term: Term, keys: list[str], order: str) -> None:
        args = Order(term=term.number, ttl_s=_ORDER_S, order=order)
        if not int(await self._scripts.run([self._keys.term(term.lease), *keys], args)):
            raise UnknownStateError("nothing was ordered: another replica leads since")

    async def drain(self, worker: str) -> None:
        """Request that `worker` drains and ends, by whichever controller can do it."""
        with translate_redis_errors():
            await self._redis.sadd(self._keys.drains, worker)

    async def drains(self) -> frozenset[str]:
        """Workers whose drain and end was requested."""
        with translate_redis_errors():
            return frozenset(str(worker) for worker in await self._redis.smembers(self._keys.drains))

    async def forget(self, workers: Iterable[str]) -> None:
        """Delete the reports and orders of workers that are gone for sure, so that nobody counts on their slots."""
        ids = list(workers)
        if not ids:
            return
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrem(self._keys.workers, *ids)
                pipe.srem(self._keys.drains, *ids)
                for worker in ids:
                    pipe.delete(self._keys.report(worker), self._keys.order(worker))
                await pipe.execute()


def _read(text: str, order: str) -> _Parsed:
    known = read_value(WorkerOrder, order)
    if order and known is None:
        return _Parsed((text, order), None, None)
    return _Parsed((text, order), read_value(WorkerReport, text), known)
