"""One simulated caller, talking to one agent for as long as it is wanted, and what it has heard so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from typing import Any, Self

from examples.catalogue import Example
from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.clock import Clock
from voicefleet.speech.clips import load_utterances, voices

PATIENCE_S = 25.0
_MOST_QUESTIONS = 40
_LOOK_EVERY_S = 0.05
_END_LIMIT_S = 30.0


class Conversation:
    """A call under way; use it as an async context manager, which hangs up at its end."""

    def __init__(self, example: Example, ticket: CallTicket, clock: Clock) -> None:
        self._clock = clock
        self._answers: list[float] = []
        """When each question that was answered had been asked; monotonic."""
        self._asked_s: float | None = None
        self._voice_s: list[float] = []
        self._joined_s = clock.monotonic()
        self._greeted = False
        clips = next(iter(voices(load_utterances()).values()))
        self.room = ticket.room
        self._caller = Caller(
            example.name,
            ticket,
            tuple(islice(cycle(clips), _MOST_QUESTIONS)),
            CallerSettings(
                behavior=CallerBehavior(patience_s=PATIENCE_S),
                before_question=example.before_question,
                after_question=example.after_question,
            ),
            on_event=self._on_event,
            clock=clock,
        )
        self._task: asyncio.Task[CallOutcome] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._caller.run(), name=f"caller-{self.room}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def greeted(self, limit_s: float) -> float | None:
        """Seconds until the agent was heard; None: not within `limit_s`."""
        return await self._until(lambda: self._greeted, limit_s)

    async def answered(self, count: int, limit_s: float, *, since_s: float | None = None) -> float | None:
        """Seconds until `count` questions, asked after `since_s` (monotonic), were answered; None: not in time."""
        return await self._until(lambda: sum(a >= (since_s or 0.0) for a in self._answers) >= count, limit_s)

    async def hang_up(self) -> CallOutcome:
        """Hang up after the answer to the question under way."""
        if self._task is None:
            raise RuntimeError("the call has not begun")
        self._caller.finish()
        async with asyncio.timeout(_END_LIMIT_S):
            return await self._task

    @property
    def over(self) -> bool:
        """The call has ended, or its caller broke."""
        return self._task is not None and self._task.done()

    def _on_event(self, _call: str, kind: str, t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "joined":
            self._joined_s = self._clock.monotonic() - t_s
        elif kind == "greeting":
            self._greeted = True
        elif kind == "asked":
            self._asked_s = self._joined_s + t_s
        elif kind == "reply" and self._asked_s is not None:
            self._answers.append(self._asked_s)

    async def _until(self, seen: Callable[[], bool], limit_s: float) -> float | None:
        began_s = self._clock.monotonic()
        while not seen():
            if self.over or self._clock.monotonic() - began_s > limit_s:
                return None
            await self._clock.sleep(_LOOK_EVERY_S)
        return self._clock.monotonic() - began_s
