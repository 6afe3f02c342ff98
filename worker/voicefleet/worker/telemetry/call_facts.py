"""Writes a job's share of its call's log to Redis: turns with their stages, interruptions, apologies and the like.

It never holds up a call: what happens is kept in memory, written beside the call, and tried again while Redis is away.
Of more than `MOST_KEPT` that could not be written the oldest are lost. Nothing of what was said is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import deque
from typing import Any

from voicefleet.contract.errors import UnknownStateError
from voicefleet.contract.responses import BAD_RESPONSES
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.redis.call_log_store import CallLogStore
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.telemetry import observations as seen

MOST_KEPT = 200
AGAIN_S = 1.0
LAST_WORDS_S = 1.0
"""At the job's end, for what is not written yet."""


class Note(enum.StrEnum):
    """What explains a silence and is counted nowhere."""

    VOICE_BACK = "voice_back"
    """The first audio of an agent that took the call over, so many seconds after that."""
    STALLED = "stalled"
    """This process did not run for a while."""
    RECONNECTED = "reconnected"
    """The connection to LiveKit was made anew."""


def fact_of(observation: seen.Observation) -> dict[str, Any] | None:
    """The fact that an observation is for its call's log; None: it is none."""
    match observation:
        case seen.Turn():
            stages = {timing.stage: timing.seconds for timing in observation.stages}
            fact: dict[str, Any] = {"e": "turn", "outcome": observation.outcome, "stages": stages}
            if observation.ttfa_s is not None:
                fact["ttfa_s"] = round(observation.ttfa_s, 4)
            return fact if observation.spoke_s is None else {**fact, "spoke_ms": round(observation.spoke_s * 1000)}
        case seen.Greeting(result="ok"):
            return {"e": "greeting", "seconds": observation.seconds}
        case seen.Greeting(result="apology"):
            return {"e": "greeting", "seconds": observation.seconds, "result": "apology"}
        case seen.Response(result=result) if result in BAD_RESPONSES:
            return {"e": "response", "result": result}
        case seen.TaskReported():
            told = {"e": "task", "result": observation.result}
            return {**told, "task": observation.task} if observation.task else told
        case seen.Interruption():
            return {"e": "interruption", "kind": observation.kind}
        case seen.ApologySpoken():
            waited_s = observation.waited_s
            return {
                "e": "apology",
                "reason": observation.reason,
                **({} if waited_s is None else {"waited_s": waited_s}),
            }
        case seen.TierChanged():
            change = f"{observation.instead_of} -> {observation.tier}"
            failed = ", failed" if observation.result == "failed" else ""
            why = f": {observation.why}" if observation.why else ""
            return {"e": "tier", "reason": f"{change}{failed}{why}"}
        case seen.DeadAir():
            return {"e": "silence" if observation.silent else "silence_over"}
        case seen.ProviderFailure():
            return {"e": "provider_failure", "reason": f"{observation.stage}: {observation.kind}"}
        case seen.Fallback():
            return {"e": "fallback", "reason": observation.stage}
    return None


class CallFacts:
    """The log of one job's call, as far as the job writes it."""

    def __init__(self, store: CallLogStore, *, room: str, room_sid: str, job: str, clock: Clock) -> None:
        self._store = store
        self._room = room
        self._room_sid = room_sid
        self._job = job
        self._clock = clock
        self._tier = self._language = ""
        self.trace = ""
        """Id of the call's trace."""
        self._kept: deque[tuple[float, dict[str, Any]]] = deque(maxlen=MOST_KEPT)
        self._writing: asyncio.Task[None] | None = None

    def describe(self, tier: str, language: str) -> None:
        """What the call is served with."""
        self._tier, self._language = tier, language

    def observed(self, observation: seen.Observation) -> None:
        """Take one observation; returns at once."""
        if (fact := fact_of(observation)) is not None:
            self._keep(fact)

    def note(self, what: Note, seconds: float | None = None) -> None:
        """Take something that nothing else counts; returns at once."""
        self._keep({"e": what.value} if seconds is None else {"e": what.value, "seconds": round(seconds, 4)})

    def drawn(self, tier: str, trial: str) -> None:
        """The call was drawn for this tier, in the canary with this fingerprint; returns at once."""
        self._keep({"e": "tier_drawn", "tier": tier, "trial": trial})

    def _keep(self, fact: dict[str, Any]) -> None:
        self._kept.append((self._clock.monotonic(), fact))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """The job ends: write what is left, for a moment."""
        if self._writing is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.shield(self._writing)
        await cancel_and_wait([self._writing])

    async def _write(self) -> None:
        while self._kept:
            if not await self._write_once():
                await self._clock.sleep(AGAIN_S)

    async def _write_once(self) -> bool:
        """Write all that there is. False: Redis is away, or does not know yet that the call is this job's."""
        now_s, writing = self._clock.monotonic(), list(self._kept)
        facts = [{**fact, "ago_ms": round((now_s - at_s) * 1000)} for at_s, fact in writing]
        try:
            written = await self._store.add_facts(
                self._room,
                self._room_sid,
                job=self._job,
                tier=self._tier,
                language=self._language,
                trace=self.trace,
                facts=facts,
            )
        except UnknownStateError:
            return False
        # More may have come meanwhile, and pushed the oldest out.
        for item in writing if written else ():
            if self._kept and self._kept[0] is item:
                self._kept.popleft()
        return written
