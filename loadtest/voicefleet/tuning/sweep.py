"""One sweep: rounds of plays that halve the field, the choice by the rule, and one check on tasks not seen before.

What plays (`Stand`) and what scores are given, so that all that is decided here runs without a fleet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from voicefleet.runtime.clock import Clock
from voicefleet.tasks.record import TaskRecord
from voicefleet.tuning.rule import Choice, Figures, Rule, choose
from voicefleet.tuning.schedule import (
    HELDOUT_SHARE,
    PLAY_GUESS_S,
    START_S,
    Plan,
    interleaved,
    plan,
    plays_of_round,
    survivors,
)
from voicefleet.tuning.space import Candidate, balanced
from voicefleet.tuning.trial_log import Play, Round, TrialLog

PLAIN = "livekit-defaults"
"""The setting that the choice is held against: the same models, and livekit-agents' own turn taking."""

HELDOUT = "heldout"
TUNING = "tuning"

Say = Callable[[str], None]
Score = Callable[[Sequence[TaskRecord]], Figures]


class Stand(Protocol):
    """A fleet that runs several settings."""

    async def play(self, setting: str, plays: Sequence[Play]) -> list[TaskRecord]:
        """Play these at the same time, all with one setting."""
        ...


Fleet = Callable[[Mapping[str, Mapping[str, Any]]], AbstractAsyncContextManager[Stand]]
"""Starts a fleet of these settings (name -> a tier's fields), and ends it."""


@dataclass(frozen=True)
class Found:
    """What a sweep found.

    Attributes:
        settings: all that were played, in the space's order.
        finalists: those of the last round.
        heldout: the chosen one and the default, which played the same tasks.
    """

    settings: tuple[Candidate, ...]
    finalists: tuple[str, ...]
    chosen: Candidate
    choice: Choice
    heldout: tuple[str, str]


class Sweep:
    """Runs one.

    Args:
        every: the candidates.
        tuning, heldout: tasks of the two parts, in the order in which they are played.
        log: of this sweep, with what was played before.
        budget_s: for the whole sweep, what the log has spent included.
    """

    def __init__(
        self,
        every: Sequence[Candidate],
        tuning: Sequence[str],
        heldout: Sequence[str],
        *,
        rule: Rule,
        at_once: int,
        seed: int,
        budget_s: float,
        fleet: Fleet,
        score: Score,
        log: TrialLog,
        clock: Clock,
        say: Say,
    ) -> None:
        self._every, self._tuning, self._heldout = tuple(every), tuple(tuning), tuple(heldout)
        self._rule, self._at_once, self._seed, self._budget_s = rule, at_once, seed, budget_s
        self._fleet, self._score, self._log, self._clock, self._say = fleet, score, log, clock, say
        self._before_s = log.spent_s
        self._began_s = clock.monotonic()
        self._play_s = PLAY_GUESS_S
        self._blocks: list[float] = []

    async def run(self) -> Found:
        """Search, choose, check."""
        made = plan(
            self._budget_s,
            candidates=len(self._every),
            tasks=len(self._tuning),
            heldout_tasks=len(self._heldout),
            at_once=self._at_once,
        )
        if self._log.rounds:
            first = set(self._log.rounds[0].settings)
            entrants = tuple(c for c in self._every if c.name in first)
        else:
            entrants = balanced(self._every, made.fields[0], self._seed)
        self._say(
            f"{len(entrants)} of {len(self._every)} settings, {len(made.fields)} round(s), about {made.plays} calls,"
            f" {self._at_once} at a time"
        )
        async with self._fleet({c.name: c.fields for c in entrants}) as stand:
            finalists = await self._search(stand, tuple(c.name for c in entrants), made)
        figures = {name: self._figures(name) for name in finalists}
        choice = choose(self._rule, figures)
        chosen = next(c for c in entrants if c.name == choice.name)
        self._say(f"chosen: {choice.name}: {choice.why}")
        await self._check(chosen)
        return Found(entrants, finalists, chosen, choice, (chosen.name, PLAIN))

    async def _search(self, stand: Stand, names: tuple[str, ...], made: Plan) -> tuple[str, ...]:
        for number, tasks in enumerate(made.tasks):
            last = number == len(made.tasks) - 1
            if number < len(self._log.rounds):
                one = self._log.rounds[number]
            else:
                if number:
                    figures = {name: self._figures(name) for name in names}
                    names = survivors(figures, self._rule, made.fields[number])
                before = [play for earlier in self._log.rounds for play in earlier.plays]
                count = self._affordable(tasks, len(names), rounds_left=len(made.tasks) - number)
                plays = plays_of_round(self._tuning, before, count, last=last)
                if not plays:
                    break
                one = Round(names, plays)
                self._log.add_round(one)
            names = one.settings
            self._say(f"round {number + 1}: {len(names)} settings, {len(one.plays)} calls each")
            await self._play_all(stand, names, one.plays)
        return names

    async def _check(self, chosen: Candidate) -> None:
        """The chosen setting and the default, on the held-out part, in turns on one fleet."""
        plain = {stage: chosen.fields[stage] for stage in ("stt", "llm", "tts") if stage in chosen.fields}
        left_s = max(0.0, self._budget_s - self._spent_s() - START_S)
        affordable = int(left_s * self._at_once / self._play_s / 2)
        count = max(1, min(len(self._heldout), affordable))
        plays = [(task, 0) for task in self._heldout[:count]]
        self._say(f"held-out part: {chosen.name} against {PLAIN}, {count} task(s) each")
        async with self._fleet({chosen.name: chosen.fields, PLAIN: plain}) as stand:
            await self._play_all(stand, (chosen.name, PLAIN), plays)

    async def _play_all(self, stand: Stand, names: Sequence[str], plays: Sequence[Play]) -> None:
        for name, block in interleaved(names, plays, at_once=self._at_once):
            todo = [play for play in block if not self._log.played(name, play)]
            if not todo:
                continue
            began_s = self._clock.monotonic()
            records = await stand.play(name, todo)
            self._blocks.append((self._clock.monotonic() - began_s) * self._at_once / len(todo))
            # The mean of all so far: what a call of this task set costs on this machine.
            self._play_s = sum(self._blocks) / len(self._blocks)
            for record in records:
                self._log.add_play(record, self._spent_s())
            won = sum(record.success for record in records)
            self._say(f"{name}: {won} of {len(records)} ({', '.join(task for task, _ in todo)})")

    def _affordable(self, wanted: int, settings: int, *, rounds_left: int) -> int:
        """Tasks for each setting of this round: what was planned, or what the time that is left allows, by what calls
        have taken so far. The last round takes all that is left."""
        if not self._blocks:
            return wanted
        search_s = (self._budget_s - START_S) * (1 - HELDOUT_SHARE) - self._spent_s()
        here_s = max(0.0, search_s) / rounds_left
        return max(1, math.floor(here_s * self._at_once / self._play_s / settings))

    def _figures(self, name: str) -> Figures:
        return self._score(self._log.of(name, TUNING))

    def _spent_s(self) -> float:
        return self._before_s + self._clock.monotonic() - self._began_s
