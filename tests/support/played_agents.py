"""Agents with no intelligence that answer after a known delay, many in one process of the Go engine: a yardstick.

What they say and when is known to the frame: `said` tells at which moment the first sample is spoken, and the packet
with a sample is due at the end of its frame, as with any agent. Each answer's onset is therefore known to a few ms.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Self

import numpy as np

from support.echo_agent import token
from voicefleet.callers.caller import OnEvent
from voicefleet.callers.dense.engine import DenseEngine
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.port import CallerClient, ClientSettings
from voicefleet.callers.swarm import SwarmSettings, script
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import SystemClock
from voicefleet.speech.clips import Utterance
from voicefleet.speech.opus import FRAME_S
from voicefleet.stack.servers import LiveKit

LOOKAHEAD_S = 0.0065
"""Of the Opus encoder."""
AGENT = "agent"
"""Its identity."""
GREETS_AFTER_S = 0.5
DELAYS_S = (0.2, 0.65, 1.1, 1.55, 2.0)
"""From the end of a question to the answer, in turn."""
_JOINS_AT_ONCE = 8


def joined(first: Utterance, second: Utterance) -> Utterance:
    """Two clips as one utterance, without a pause that an ear would take for an end."""
    samples = np.concatenate((first.samples, second.samples))
    end = first.samples.size + second.speech_end_sample
    return replace(first, file=f"{first.file}+{second.file}", samples=samples, speech_end_sample=end)


class PlayedAgents:
    """An agent in each of `rooms`; use it as an async context manager, around the calls.

    Attributes:
        tickets: of the callers.
        truths_s: room number -> the monotonic times at which its agent's utterances can be heard at the earliest.
    """

    def __init__(self, livekit: LiveKit, rooms: Sequence[str], *, says: Utterance, dtx: bool = True) -> None:
        self._livekit = livekit
        self._rooms = rooms
        self._says = says
        self._engine = DenseEngine(dtx=dtx)
        self._clock = SystemClock()
        self._agents: list[CallerClient] = []
        self._chores: set[asyncio.Task[None]] = set()
        self.tickets = [self.ticket(room, "caller") for room in rooms]
        self.truths_s: dict[int, list[float]] = {i: [] for i in range(len(rooms))}

    def ticket(self, room: str, who: str, *, agent: bool = False) -> CallTicket:
        jwt = token(self._livekit.api_key, self._livekit.api_secret, room, who, agent=agent)
        return CallTicket(url=self._livekit.url, token=jwt, room=room, region="test")

    async def __aenter__(self) -> Self:
        await self._engine.__aenter__()
        gate = asyncio.Semaphore(_JOINS_AT_ONCE)

        async def enter(agent: CallerClient) -> None:
            async with gate:
                if error := await agent.join():
                    raise RuntimeError(f"an agent could not join: {error}")

        self._agents = [
            self._engine.client(room, self.ticket(room, AGENT, agent=True), Deaf(), ClientSettings(10.0), self._clock)
            for room in self._rooms
        ]
        try:
            await asyncio.gather(*map(enter, self._agents))
        except BaseException:
            await self._engine.__aexit__()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await asyncio.gather(*(agent.leave() for agent in self._agents))
        await self._engine.__aexit__()

    def on_event(self, settings: SwarmSettings, clips: Sequence[Utterance]) -> OnEvent:
        """Greets and answers the callers of a swarm with these settings and clips."""
        joined_s: dict[int, float] = {}
        asked = {i: count() for i in range(len(self._rooms))}

        def told(call_id: str, kind: str, t_s: float, _data: Mapping[str, Any]) -> None:
            number = int(call_id.rpartition("-")[2])
            if kind == "joined":
                joined_s[number] = self._clock.monotonic()
                self._do(self._say(number, joined_s[number] + GREETS_AFTER_S))
            elif kind == "asked":
                nth = next(asked[number])
                question = script(number, settings, clips)[nth]
                voiced_s = (question.speech_end_sample - question.speech_start_sample) / question.sample_rate
                delay_s = DELAYS_S[(number + nth) % len(DELAYS_S)]
                self._do(self._say(number, joined_s[number] + t_s + voiced_s + delay_s))

        return told

    def errors_s(self, outcome: CallOutcome) -> list[float]:
        """What each of the call's TTFAs is off by, against what its agent did."""
        number = int(outcome.call_id.rpartition("-")[2])
        truths = np.array(self.truths_s[number])
        zero_s = outcome.joined_at_s or 0.0
        found = []
        for turn in outcome.turns:
            if turn.ttfa_s is not None and truths.size:
                off = zero_s + turn.t0_s + turn.ttfa_s - truths
                found.append(float(off[np.abs(off).argmin()]))
        return found

    async def _say(self, number: int, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self._clock.monotonic()))
        # An agent whose caller has gone says nothing more.
        with contextlib.suppress(RuntimeError):
            first_s = await self._agents[number].say(self._says)
            start_s = self._says.speech_start_sample / self._says.sample_rate
            self.truths_s[number].append(first_s + start_s + FRAME_S + LOOKAHEAD_S)

    def _do(self, work: Any) -> None:
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)


class Deaf:
    """A `RoomListener` that keeps when agents' voices began, and cares for nothing else."""

    def __init__(self) -> None:
        self.began_s: list[float] = []

    def entered(self, t_s: float) -> None: ...

    def participant_joined(self, who: str, t_s: float) -> None: ...

    def participant_left(self, who: str, t_s: float) -> None: ...

    def track_arrived(self, who: str, t_s: float) -> None: ...

    def voice_began(self, who: str, t_s: float) -> None:
        self.began_s.append(t_s)

    def voice_ended(self, who: str, t_s: float) -> None: ...

    def attributes_changed(self, who: str, changed: Mapping[str, str], t_s: float) -> None: ...

    def connection(self, kind: str, t_s: float) -> None: ...

    def disconnected(self, t_s: float) -> None: ...

    def broke(self, error: str, t_s: float) -> None: ...
