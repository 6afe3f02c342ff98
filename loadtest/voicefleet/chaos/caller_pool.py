"""The callers of one run: some join before the fault, some with it; all stay until they had answers after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import Utterance, load_utterances, voices

PATIENCE_S = 25.0
"""Wait for an agent's voice until a caller hangs up: the verdict falls after 10 s, the rest only costs time."""
_MOST_QUESTIONS = 60
_LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class _Member:
    """One caller, and what is known of it so far. Times are monotonic."""

    call_id: str
    ticket: CallTicket
    caller: Caller | None = None
    joined_s: float | None = None
    greeted: bool = False
    asked_s: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    """When each question that was answered had been asked."""
    outcome: CallOutcome | None = None
    task: asyncio.Task[None] | None = None

    @property
    def room(self) -> str:
        return self.ticket.room

    @property
    def over(self) -> bool:
        """It ended, or its caller broke."""
        return self.outcome is not None or self.task is None or self.task.done()


class CallerPool:
    """Starts callers and follows them.

    Args:
        seed: chooses voices and the order of questions.
        patience_s: wait for an agent's voice after which a caller hangs up.
    """

    def __init__(self, clock: Clock, seed: int, patience_s: float = PATIENCE_S) -> None:
        self._clock = clock
        self._seed = seed
        self._patience_s = patience_s
        self._members: list[_Member] = []

    @property
    def size(self) -> int:
        """Callers started."""
        return len(self._members)

    @property
    def rooms(self) -> list[str]:
        """Their rooms, in the order of joining."""
        return list(dict.fromkeys(member.room for member in self._members))

    @property
    def heard_rooms(self) -> tuple[str, ...]:
        """Those in which a caller heard an agent."""
        return tuple(dict.fromkeys(member.room for member in self._members if member.greeted))

    def join(self, ticket: CallTicket) -> str:
        """Start a caller; returns the name of its call."""
        number = len(self._members)
        member = _Member(f"call-{number:02d}", ticket)
        settings = CallerSettings(behavior=CallerBehavior(patience_s=self._patience_s))
        caller = Caller(
            member.call_id,
            ticket,
            _questions(self._seed, number),
            settings,
            on_event=lambda _call, kind, t_s, data: self._event(member, kind, t_s, data),
            clock=self._clock,
        )
        member.caller = caller
        self._members.append(member)
        member.task = asyncio.create_task(self._run(member, caller), name=member.call_id)
        return member.call_id

    async def reload(self, room: str, away_s: float) -> None:
        """The caller in `room` leaves once its question is answered, and is back after `away_s` with the same ticket.
        Returns when it has heard a voice, or its patience is over."""
        left = next(member for member in self._members if member.room == room)
        self.finish([room])
        await self._until_member(lambda: left.over)
        await self._clock.sleep(away_s)
        self.join(left.ticket)
        back = self._members[-1]
        await self._until_member(lambda: back.greeted or back.over)

    async def _until_member(self, look: Callable[[], bool]) -> None:
        while not look():
            await self._clock.sleep(_LOOK_EVERY_S)

    async def _run(self, member: _Member, caller: Caller) -> None:
        member.outcome = await caller.run()

    def _event(self, member: _Member, kind: str, t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "joined":
            member.joined_s = self._clock.monotonic()
        at_s = (member.joined_s or 0.0) + t_s
        if kind == "greeting":
            member.greeted = True
        elif kind == "asked":
            member.asked_s.append(at_s)
        elif kind in ("reply", "late_reply") and member.asked_s:
            member.answered.append(member.asked_s[-1])

    async def wait_greeted(self, limit_s: float) -> bool:
        """Wait until every caller heard a voice or its call is over; False when one did not within `limit_s`."""
        return await self._until(lambda m: m.greeted or m.over, limit_s)

    async def wait_answered(self, answers: int, since_s: float, limit_s: float) -> None:
        """Let each caller finish once it has had `answers` to questions asked after `since_s`; the others when
        `limit_s` is over."""

        def enough(member: _Member) -> bool:
            done = sum(asked_s >= since_s for asked_s in member.answered) >= answers
            if done and member.caller is not None:
                member.caller.finish()
            return done or member.outcome is not None

        await self._until(enough, limit_s)
        self.finish()

    def finish(self, rooms: Collection[str] | None = None) -> None:
        """The callers (or only those in `rooms`) ask nothing more and hang up after the answer under way."""
        for member in self._members:
            if member.caller is not None and (rooms is None or member.room in rooms):
                member.caller.finish()

    async def wait_over(self, limit_s: float) -> bool:
        """Wait until every call is over; False when one was not within `limit_s`."""
        return await self._until(lambda m: m.over, limit_s)

    async def aclose(self) -> None:
        """Hang up the callers that are still there; never raises what a caller raised."""
        tasks = [member.task for member in self._members if member.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def outcomes(self) -> tuple[CallOutcome, ...]:
        """Of the calls that came to an end, in the order of joining; a caller that broke has its error."""
        found: list[CallOutcome] = []
        for member in self._members:
            if member.outcome is not None:
                found.append(replace(member.outcome, call_id=member.call_id))
            elif member.task is not None and member.task.done() and not member.task.cancelled():
                found.append(_broken(member, member.task.exception()))
        return tuple(found)

    async def _until(self, look: Callable[[_Member], bool], limit_s: float) -> bool:
        deadline_s = self._clock.monotonic() + limit_s
        while True:
            # Every one is looked at, each time: `look` may act on a member.
            missing = sum(not look(member) for member in self._members)
            if not missing:
                return True
            if self._clock.monotonic() >= deadline_s:
                return False
            await self._clock.sleep(_LOOK_EVERY_S)


def _broken(member: _Member, error: BaseException | None) -> CallOutcome:
    return CallOutcome(member.call_id, "", "", "", t_start_s=0.0, lag_s=0.0, place_s=0.0, error=repr(error))


def _questions(seed: int, number: int) -> Sequence[Utterance]:
    """A voice's questions in an order of this seed and caller, again and again: a call lasts as long as it must."""
    by_voice = list(voices(load_utterances()).values())
    clips = by_voice[(seed + number) % len(by_voice)]
    order = np.random.default_rng([seed, number]).permutation(len(clips))

    def endless() -> Iterator[Utterance]:
        while True:
            for i in order:
                yield clips[int(i)]

    return tuple(islice(endless(), _MOST_QUESTIONS))
