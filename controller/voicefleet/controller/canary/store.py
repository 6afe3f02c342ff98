"""What Redis keeps of a canary: when it began, what was decided, and the figures of the calls that are over.

Each fact is written once (HSETNX): whichever replica leads, and whenever it is killed, there is one beginning and one
verdict. Every method raises `UnknownStateError` when Redis does not answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from voicefleet.contract.keys import Keys
from voicefleet.contract.tier_choice import TIER_CHOICE_TTL_MS, TierChoice
from voicefleet.controller.canary.decide import Decision, Verdict
from voicefleet.controller.canary.figures import Figures
from voicefleet.controller.settings.tier import MOST_CALLS
from voicefleet.runtime.redis.connection import RedisClient, translate_redis_errors

KEPT_MS = 90 * 86_400_000
MOST_LIVE = 200
"""Calls that go on, of one version, whose logs are looked at; beyond, the oldest ones tell enough."""


@dataclass(frozen=True, slots=True)
class Record:
    """What was kept of a canary."""

    began_ms: int
    """On Redis's clock."""
    verdict: Verdict | None = None
    decided_ms: int = 0


class CanaryStore:
    """One canary, known by the pool it is and `trial`, the fingerprint of its settings."""

    def __init__(self, redis: RedisClient, pool: str, trial: str) -> None:
        self._redis = redis
        self._key = Keys(pool).canary(trial)

    async def read(self) -> Record | None:
        """None: it has not begun."""
        with translate_redis_errors():
            found = {str(field): str(text) for field, text in (await self._redis.hgetall(self._key)).items()}
        if "began_ms" not in found:
            return None
        verdict, at_ms = None, 0
        if "verdict" in found:
            given = json.loads(found["verdict"])
            verdict, at_ms = Verdict(Decision(given["decision"]), given["reason"]), int(given["at_ms"])
        return Record(int(found["began_ms"]), verdict, at_ms)

    async def begin(self, now_ms: int) -> None:
        """It begins, if it has not."""
        await self._put("began_ms", str(now_ms))

    async def decide(self, verdict: Verdict, now_ms: int) -> bool:
        """The verdict, for good. False: there was one already."""
        return await self._put(
            "verdict",
            json.dumps({"decision": verdict.decision.value, "reason": verdict.reason, "at_ms": now_ms}),
        )

    async def _put(self, field: str, value: str) -> bool:
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hsetnx(self._key, field, value)
                pipe.pexpire(self._key, KEPT_MS)
                new, _ = await pipe.execute()
        return bool(new)


class FigureStore:
    """The figures of one version's calls while a canary is tried.

    Args:
        pool: the version's.
    """

    def __init__(self, redis: RedisClient, pool: str, trial: str) -> None:
        self._redis = redis
        self._keys = Keys(pool)
        self._key = self._keys.canary_figures(trial)

    async def add(self, figures: Figures) -> None:
        """Of a call that is over, or not this version's any more."""
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                for name, count in figures.to_counts().items():
                    pipe.hincrby(self._key, name, count)
                pipe.pexpire(self._key, KEPT_MS)
                await pipe.execute()

    async def ended(self) -> Figures:
        """Of all calls that are over."""
        with translate_redis_errors():
            found = await self._redis.hgetall(self._key)
        return Figures.of_counts({str(name): str(count) for name, count in found.items()})

    async def open_calls(self) -> list[str]:
        """Ids of the calls that are not over."""
        with translate_redis_errors():
            return [str(call) for call in await self._redis.zrange(self._keys.open_calls, 0, MOST_LIVE - 1)]


class OutcomeStore:
    """Whether each call of two tiers was a good one, while a canary of tiers is tried in `pool`."""

    def __init__(self, redis: RedisClient, pool: str, trial: str) -> None:
        self._redis = redis
        self._keys = Keys(pool)
        self._trial = trial

    async def add(self, tier: str, *, good: bool) -> None:
        """Of a call that is over."""
        key = self._keys.canary_outcomes(self._trial)
        with translate_redis_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.rpush(key, f"{int(good)}{tier}")
                pipe.ltrim(key, 0, MOST_CALLS - 1)
                pipe.pexpire(key, KEPT_MS)
                await pipe.execute()

    async def read(self) -> list[tuple[str, bool]]:
        """Each call's tier, and whether it was a good one, in the order of their ends."""
        with translate_redis_errors():
            found = [str(text) for text in await self._redis.lrange(self._keys.canary_outcomes(self._trial), 0, -1)]
        return [(text[1:], text[0] == "1") for text in found]


class ChoiceStore:
    """Which tier the calls of `pool` get that name none."""

    def __init__(self, redis: RedisClient, pool: str) -> None:
        self._redis = redis
        self._key = Keys(pool).tier_choice

    async def put(self, choice: TierChoice) -> None:
        """It holds for a minute."""
        with translate_redis_errors():
            await self._redis.set(self._key, choice.encode(), px=TIER_CHOICE_TTL_MS)
