"""What each agent is put through on a fleet: greeting, two answers, a drain and a kill in mid-call, the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import redis.asyncio

from examples.catalogue import FOLDER, Example
from examples.conversation import Conversation
from examples.provider import AvatarProvider
from voicefleet.callers.outcome import CallOutcome, quantiles
from voicefleet.callers.verdict import faults
from voicefleet.chaos.faults.processes import serving
from voicefleet.contract.api import CallRequest, RegionView, WorkerView
from voicefleet.contract.errors import UnknownStateError, UnreachableError
from voicefleet.contract.keys import Keys
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet

ANSWERS = 2
GREETING_LIMIT_S = 20.0
ANSWERS_LIMIT_S = 40.0
MOVE_LIMIT_S = 30.0
FREE_LIMIT_S = 20.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one agent. Times are seconds; None: it did not happen in time, or was not tried.

    Attributes:
        greeting_s: joining to the agent's first voice.
        ttfa_s: median, end of a question to its answer.
        moved_s: order to drain to the call being another worker's.
        moved_answer_s: from then to the answer of a question asked after it.
        killed_answer_s: kill -9 of the job's process to the answer of a question asked after it.
        longest_s: longest wait for a voice after a question, the kill included.
        freed_s: hang-up to no slot taken, no claim and no process left.
        problems: what was wrong, in sentences; empty for a good one.
        void: the machine was too busy for times to count.
    """

    agent: str
    what: str
    greeting_s: float | None = None
    answers: int = 0
    ttfa_s: float | None = None
    moved_s: float | None = None
    moved_answer_s: float | None = None
    killed_answer_s: float | None = None
    longest_s: float | None = None
    freed_s: float | None = None
    problems: tuple[str, ...] = ()
    void: bool = False

    @property
    def passed(self) -> bool:
        return not self.problems


class OrdealError(Exception):
    """A step did not come out as it must; the text says which."""


@dataclass(slots=True)
class Ordeal:
    """One agent on its region of the fleet. `run` once."""

    example: Example
    fleet: Fleet
    client: ControllerClient
    provider: AvatarProvider
    clock: Clock
    trial: Trial = field(init=False)

    def __post_init__(self) -> None:
        self.trial = Trial(self.example.name, self.example.what)

    async def run(self) -> Trial:
        """Go through all of it. What goes wrong is in the result's `problems`."""
        found: list[str] = []
        outcome: CallOutcome | None = None
        try:
            request = CallRequest(region=self.example.region, data=self.example.data)
            ticket = await self.client.create_call(request, patience_s=20.0)
            async with Conversation(self.example, ticket, self.clock) as talk:
                try:
                    await self._steps(talk)
                except OrdealError as error:
                    found.append(str(error))
                outcome = await talk.hang_up()
            await self._ended(ticket.room)
        except OrdealError as error:
            found.append(str(error))
        except (UnknownStateError, UnreachableError, TimeoutError) as error:
            found.append(f"{type(error).__name__}: {error}")
        if outcome is not None:
            heard = [turn.ttfa_s for turn in outcome.turns if turn.ttfa_s is not None]
            self._note(
                greeting_s=outcome.greeting_s,
                answers=sum(turn.answered for turn in outcome.turns),
                ttfa_s=quantiles(heard)["p50"],
                longest_s=max((turn.waited_s for turn in outcome.turns), default=None),
            )
            found += faults(outcome, len(outcome.turns))
            if outcome.double_speech:
                found.append(f"{outcome.double_speech} times two voices spoke at once")
        self._note(problems=tuple(found))
        return self.trial

    async def _steps(self, talk: Conversation) -> None:
        if await talk.greeted(GREETING_LIMIT_S) is None:
            raise OrdealError(f"no greeting within {GREETING_LIMIT_S:.0f} s")
        if await talk.answered(ANSWERS, ANSWERS_LIMIT_S) is None:
            raise OrdealError(f"not {ANSWERS} answers within {ANSWERS_LIMIT_S:.0f} s")
        await self._drain(talk)
        await self._kill(talk)

    async def _drain(self, talk: Conversation) -> None:
        """The call's worker is drained: the call moves, and the next question is answered."""
        before = await self._serving_worker(talk.room)
        await self.client.drain_worker(before.id)

        async def moved() -> bool:
            worker = (await self._served()).get(talk.room)
            return worker is not None and worker != before.id

        self._note(moved_s=await self._until(moved, MOVE_LIMIT_S))
        if self.trial.moved_s is None:
            raise OrdealError(f"the call did not move within {MOVE_LIMIT_S:.0f} s of the drain")
        since_s = self.clock.monotonic()
        self._note(moved_answer_s=await talk.answered(1, ANSWERS_LIMIT_S, since_s=since_s))
        if self.trial.moved_answer_s is None:
            raise OrdealError(f"no answer within {ANSWERS_LIMIT_S:.0f} s of the move")

    async def _kill(self, talk: Conversation) -> None:
        """The process that serves the call is killed: another one goes on with it, and answers the next question."""
        worker = await self._serving_worker(talk.room)
        jobs = serving(worker.pid, self._livekit_port)
        if not jobs:
            raise OrdealError(f"no process of {worker.id} is connected to LiveKit for the call")
        since_s = self.clock.monotonic()
        for job in jobs:
            os.kill(job, signal.SIGKILL)
        self._note(killed_answer_s=await talk.answered(1, ANSWERS_LIMIT_S, since_s=since_s))
        if self.trial.killed_answer_s is None:
            raise OrdealError(f"no answer within {ANSWERS_LIMIT_S:.0f} s of the kill")

    async def _ended(self, room: str) -> None:
        """After the hang-up nothing of the call is left."""
        left: list[str] = []

        async def free() -> bool:
            left[:] = await self._leftovers(room)
            return not left

        self._note(freed_s=await self._until(free, FREE_LIMIT_S))
        if self.trial.freed_s is None:
            raise OrdealError(f"{FREE_LIMIT_S:.0f} s after the hang-up there is still {', '.join(left) or 'no answer'}")

    async def _leftovers(self, room: str) -> list[str]:
        region = await self._region()
        async with redis.asyncio.Redis.from_url(self.fleet.redis.url) as store:
            claimed = await store.exists(Keys(self.example.region).claim(room))
        jobs = [pid for worker in region.workers if worker.pid for pid in serving(worker.pid, self._livekit_port)]
        avatars = await self.provider.avatars() if self.example.avatars else 0
        helpers = [name for name in self.example.helpers if _runs(FOLDER / name)]
        return [
            *(["a live call"] if region.live else []),
            *(["a waiting call"] if region.waiting else []),
            *(["a claim"] if claimed else []),
            *([f"{len(jobs)} job processes in a room"] if jobs else []),
            *(["an avatar"] if avatars else []),
            *helpers,
        ]

    @property
    def _livekit_port(self) -> int:
        return self.fleet.livekit[self.example.region].port

    async def _region(self) -> RegionView:
        return next(view for view in await self.client.regions() if view.region == self.example.region)

    async def _served(self) -> dict[str, str]:
        return {call.room: call.worker for call in await self.client.calls() if call.worker and call.state == "live"}

    async def _serving_worker(self, room: str) -> WorkerView:
        async def known() -> bool:
            return room in await self._served()

        await self._until(known, MOVE_LIMIT_S)
        name = (await self._served()).get(room)
        for worker in (await self._region()).workers:
            if worker.id == name and worker.pid:
                return worker
        raise OrdealError("which worker serves the call is not known")

    async def _until(self, look: Callable[[], Awaitable[bool]], limit_s: float) -> float | None:
        began_s = self.clock.monotonic()
        while self.clock.monotonic() - began_s < limit_s:
            with suppress(UnknownStateError):
                if await look():
                    return self.clock.monotonic() - began_s
            await self.clock.sleep(_LOOK_EVERY_S)
        return None

    def _note(self, **found: Any) -> None:
        self.trial = replace(self.trial, **found)


def _runs(program: Path) -> bool:
    """Whether a process was started with `program` in its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(program).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                return True
    return False
