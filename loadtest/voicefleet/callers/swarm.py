"""Many callers in one process, at their intended times: open loop.

A call starts when it is due, whatever became of the calls before it, and its lateness is recorded. A slow
platform therefore cannot slow its own test down (no coordinated omission).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from voicefleet.callers.caller import Caller, CallerSettings, MakeDialogue, OnEvent
from voicefleet.callers.dialogue import Dialogue, Note
from voicefleet.callers.habits import Habits, HabitualDialogue
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.clock import Clock, SystemClock
from voicefleet.speech.clips import Utterance, voices

PlaceCall = Callable[[int], Awaitable[CallTicket]]
"""Gets the ticket of call i. Its retries (503 with Retry-After) are its own affair and count in `place_s`;
what it raises in the end becomes the call's `error`."""

PlaceElsewhere = Callable[[int, str, str], Awaitable[CallTicket]]
"""Gets another ticket for call i, in a region that its first one names (`alternatives`), for the same identity."""

_Planned = tuple[int, str, float, tuple[Utterance, ...]]
"""Number, id, offset and questions of a call."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What one caller is like; None: without habits."""

    settings: CallerSettings
    habits: Habits | None = None


@dataclass(frozen=True, slots=True)
class SwarmSettings:
    """What the callers of a run have in common.

    Attributes:
        turns: questions per call, >= 0; at most the number of questions that each voice has.
        seed: makes the choice of questions repeatable; voices take turns.
        caller: how each caller behaves.
        plan: how call number i's behaves, where callers differ; None: all as `caller` says.
    """

    turns: int = 3
    seed: int = 0
    caller: CallerSettings = field(default_factory=CallerSettings)
    plan: Callable[[int], CallPlan] | None = None

    def plan_of(self, call: int) -> CallPlan:
        """Of call number `call`."""
        return self.plan(call) if self.plan is not None else CallPlan(self.caller)


def script(call: int, settings: SwarmSettings, utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """The questions of call number `call`: one voice, no question twice, the same for the same seed.

    Raises:
        ConfigError: the voices do not have that many questions.
    """
    by_voice = list(voices(tuple(utterances)).values())
    fewest = min((len(clips) for clips in by_voice), default=0)
    if not 0 <= settings.turns <= fewest or not by_voice:
        raise ConfigError(
            "there are not that many questions",
            field="turns",
            value=settings.turns,
            hint=f"Use 0 to {fewest}.",
        )
    clips = by_voice[call % len(by_voice)]
    chosen = np.random.default_rng([settings.seed, call]).permutation(len(clips))[: settings.turns]
    return tuple(clips[int(i)] for i in chosen)


async def run_swarm(
    offsets_s: Sequence[float],
    place_call: PlaceCall,
    utterances: Sequence[Utterance],
    settings: SwarmSettings | None = None,
    *,
    on_event: OnEvent | None = None,
    clock: Clock | None = None,
    prefix: str = "call",
    elsewhere: PlaceElsewhere | None = None,
    numbers: Sequence[int] | None = None,
    start_s: float | None = None,
) -> AsyncGenerator[CallOutcome, None]:
    """Run one caller per offset and yield the outcomes as the calls end.

    Iterate inside ``contextlib.aclosing(...)``: leaving the loop early, or being cancelled, hangs up every
    call that is still open (in bounded time) and leaves no task behind. Such calls yield no outcome.

    Args:
        offsets_s: intended starts, seconds from the start, non-decreasing.
        place_call: gets the ticket of call i.
        utterances: what callers may say.
        on_event: see `caller.OnEvent`; here the kind ``"due"`` comes first, with ``lag_s`` in its data.
        prefix: call ids are ``{prefix}-{i:05d}``.
        elsewhere: where a call goes on whose region cannot be reached; None: it has failed. `on_event` is told, kind
            ``"elsewhere"`` with ``region`` and the ``error`` in its data, and the time counts in `place_s`.
        numbers: i of each offset, where these calls are a share of a larger plan; None: 0, 1, 2 and so on.
        start_s: the start, on the clock's monotonic time; None: now. Calls due before now begin at once, late.

    Raises:
        ConfigError: the offsets go backwards, or there are too few questions.
    """
    settings = settings or SwarmSettings()
    clock = clock or SystemClock()
    offsets = [float(offset) for offset in offsets_s]
    if any(later < sooner for sooner, later in pairwise(offsets)):
        raise ConfigError("the arrivals go backwards", field="offsets_s", hint="Sort the offsets before the run.")
    plan = [
        (number, f"{prefix}-{number:05d}", offset_s, script(number, settings, utterances))
        for number, offset_s in zip(range(len(offsets)) if numbers is None else numbers, offsets, strict=True)
    ]
    began_s = clock.monotonic() if start_s is None else start_s
    swarm = _Swarm(place_call, settings, on_event, clock, began_s, elsewhere)
    try:
        swarm.start(plan)
        for _ in offsets:
            yield await swarm.finished.get()
    finally:
        await swarm.aclose()


class _Swarm:
    """The tasks of a run and the queue of their outcomes."""

    def __init__(
        self,
        place_call: PlaceCall,
        settings: SwarmSettings,
        on_event: OnEvent | None,
        clock: Clock,
        start_s: float,
        elsewhere: PlaceElsewhere | None,
    ) -> None:
        self.finished: asyncio.Queue[CallOutcome] = asyncio.Queue()
        self._place_call = place_call
        self._settings = settings
        self._on_event: OnEvent = on_event or (lambda _call, _kind, _t, _data: None)
        self._clock = clock
        self._start_s = start_s
        self._elsewhere = elsewhere
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, calls: list[_Planned]) -> None:
        self._spawn(self._launch(calls), "swarm-launch")

    async def aclose(self) -> None:
        """Cancel what still runs and wait until every room is left; callers bound their own leaving."""
        # A launcher that is being cancelled starts no more calls, so one pass sees them all.
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _launch(self, calls: list[_Planned]) -> None:
        for number, call_id, offset_s, questions in calls:
            await self._clock.sleep(max(0.0, self._start_s + offset_s - self._clock.monotonic()))
            self._spawn(self._call(number, call_id, offset_s, questions), call_id)

    async def _call(self, number: int, call_id: str, offset_s: float, questions: tuple[Utterance, ...]) -> None:
        due_s = self._start_s + offset_s
        plan = self._settings.plan_of(number)
        if plan.habits is not None and plan.habits.quiet:
            questions = ()
        began_s = self._clock.monotonic()
        outcome = CallOutcome(
            call_id=call_id,
            region="",
            room="",
            voice=questions[0].voice if questions else "",
            t_start_s=offset_s,
            lag_s=began_s - due_s,
            place_s=0.0,
            questions=len(questions),
        )
        self._on_event(call_id, "due", 0.0, {"lag_s": outcome.lag_s})
        try:
            ticket = first = await self._place_call(number)
            for others in range(len(first.alternatives) + 1):
                outcome = replace(outcome, place_s=self._clock.monotonic() - began_s)
                caller = Caller(
                    call_id,
                    ticket,
                    questions,
                    plan.settings,
                    on_event=self._on_event,
                    clock=self._clock,
                    dialogue=self._dialogue(plan, questions, due_s),
                )
                held = await caller.run()
                if held.connect_s is not None or self._elsewhere is None or others == len(first.alternatives):
                    break
                region = first.alternatives[others].region
                self._on_event(call_id, "elsewhere", 0.0, {"region": region, "error": held.error})
                ticket = await self._elsewhere(number, region, first.identity)
            outcome = replace(held, t_start_s=offset_s, lag_s=outcome.lag_s, place_s=outcome.place_s)
        except Exception as error:  # one call that fails must not end the run, and must be counted
            outcome = replace(outcome, place_s=outcome.place_s or self._clock.monotonic() - began_s, error=repr(error))
            self._on_event(call_id, "failed", 0.0, {"error": repr(error)})
        self.finished.put_nowait(outcome)

    def _dialogue(self, plan: CallPlan, questions: tuple[Utterance, ...], due_s: float) -> MakeDialogue | None:
        habits = plan.habits
        if habits is None:
            return None

        def make(joined_s: float, note: Note) -> Dialogue:
            own = habits
            if own.abandon_s is not None:
                # Patience began when the call was due, not when it had a room.
                own = replace(own, abandon_s=max(0.0, own.abandon_s - (joined_s - due_s)))
            texts = [question.text for question in questions]
            return HabitualDialogue(texts, joined_s, plan.settings.behavior, note, habits=own)

        return make
