"""One sweep: rounds of plays that halve the field, the choice by the rule, and one check on tasks not seen before.

What plays (`Stand`) and what scores are given, so that all that is decided here runs without a fleet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from voicefleet.contract.errors import ConfigError, UnreachableError
from voicefleet.runtime.clock import Clock
from voicefleet.tasks.record import TaskRecord
from voicefleet.tuning.budget import START_S, Budget
from voicefleet.tuning.rule import Choice, Figures, Rule, choose
from voicefleet.tuning.schedule import Plan, in_rows, plan, plays_of_round, survivors
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

    async def play(self, setting: str, plays: Sequence[Play], *, limit_s: float) -> list[TaskRecord]:
        """Play these at the same time, all with one setting. A call that is not over after `limit_s` is hung up, and
        is not among the records."""
        ...

    def logs(self) -> str:
        """The last lines of what the fleet wrote, for an error message."""
        ...


Fleet = Callable[[Mapping[str, Mapping[str, Any]]], AbstractAsyncContextManager[Stand]]
"""Starts a fleet of these settings (name -> a tier's fields), and ends it."""


@dataclass(frozen=True)
class Found:
    """What a sweep found.

    Attributes:
        settings: all that played anything, in the space's order.
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
        budget_s: for the whole sweep.
        before_s: what earlier runs of it have spent of that.
        began_s: when this run began, by `clock`.
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
        before_s: float,
        fleet: Fleet,
        score: Score,
        log: TrialLog,
        clock: Clock,
        began_s: float,
        say: Say,
    ) -> None:
        self._every, self._tuning, self._heldout = tuple(every), tuple(tuning), tuple(heldout)
        self._rule, self._at_once, self._seed = rule, at_once, seed
        self._fleet, self._score, self._log, self._clock, self._say = fleet, score, log, clock, say
        self._before_s, self._began_s = before_s, began_s
        self._budget = Budget(budget_s)

    @property
    def spent_s(self) -> float:
        """Of the whole sweep so far, earlier runs of it included."""
        return self._before_s + self._clock.monotonic() - self._began_s

    async def run(self) -> Found:
        """Search, choose, check.

        Raises:
            UnreachableError: no call of a block was answered, twice.
            ConfigError: the time was over before two settings had played anything.
        """
        made = plan(
            self._budget.total_s,
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
        choice = choose(self._rule, self._figures(finalists))
        chosen = next(c for c in entrants if c.name == choice.name)
        self._say(f"chosen: {choice.name}: {choice.why}")
        await self._check(chosen)
        played = tuple(c for c in entrants if self._log.of(c.name, TUNING))
        return Found(played, finalists, chosen, choice, (chosen.name, PLAIN))

    async def _search(self, stand: Stand, names: tuple[str, ...], made: Plan) -> tuple[str, ...]:
        """Play the rounds while there is time, and more for the last settings where some is left over.

        Returns:
            The settings of the last round.
        """
        for number in itertools.count():
            left_s = self._budget.search_left_s(self.spent_s)
            until_s = self.spent_s + left_s / max(1, len(made.tasks) - number)
            if number < len(self._log.rounds) - 1:
                # A run before this one has ended it, and gone on.
                names = self._that_played(self._log.rounds[number].settings)
                continue
            if number < len(self._log.rounds):
                one = self._log.rounds[number]
            else:
                if number and not self._budget.rows(left_s, 2):
                    break
                more = number >= len(made.tasks)
                if number and not more:
                    names = survivors(self._figures(names), self._rule, made.fields[number])
                wanted = len(self._tuning) if more else made.tasks[number]
                plays = self._next_plays(wanted, len(names), until_s, last=number >= len(made.tasks) - 1)
                if not plays:
                    break
                one = Round(names, plays)
                self._log.add_round(one)
            self._say(f"round {number + 1}: {len(one.settings)} settings, up to {len(one.plays)} calls each")
            names = await self._play_round(stand, one, until_s)
        return names

    def _next_plays(self, wanted: int, settings: int, until_s: float, *, last: bool) -> tuple[Play, ...]:
        """What each of the `settings` plays next: what was planned, or what the time allows by what calls have taken;
        empty: all tasks were played, or there is no time for a row."""
        before = [play for earlier in self._log.rounds for play in earlier.plays]
        count = wanted
        if self._budget.measured:
            rows = self._budget.rows(until_s - self.spent_s, settings)
            count = max(rows, 0 if before else 1) * self._at_once
        if not count:
            return ()
        plays = tuple(play for play in plays_of_round(self._tuning, before, count, last=last) if play not in before)
        # Tasks are played again beside new ones (pass^k), not to fill the time: a small set ends early.
        return plays if any(trial == 0 for _, trial in plays) else ()

    async def _play_round(self, stand: Stand, one: Round, until_s: float) -> tuple[str, ...]:
        """Play row after row (each setting a block of the same tasks) until `until_s`. The settings that have played
        the first row: the others were left out for lack of time."""
        for number, row in enumerate(in_rows(one.settings, one.plays, at_once=self._at_once)):
            todo = [(name, block) for name, block in row if self._unplayed(name, block)]
            if number and todo and self._budget.rows(until_s - self.spent_s, len(todo)) < 1:
                self._say("the round ends here: its time is over")
                break
            for name, block in todo:
                left_s = self._budget.search_left_s(self.spent_s)
                # The first row says what each setting is worth: it is finished while there is time at all.
                if left_s < self._budget.block_s * (0.5 if self._log.of(name, TUNING) else 1.0):
                    self._say(f"{name}: left out, its time is over")
                    continue
                await self._play_block(stand, name, self._unplayed(name, block), left_s)
        names = self._that_played(one.settings)
        if len(names) < min(2, len(one.settings)):
            raise ConfigError(
                "was over before two settings had played anything",
                field="--budget",
                value=f"{self._budget.total_s:g}s",
                hint=f"Calls took {self._budget.block_s:.0f} s here. Give more, with --calls 2 on a busy machine: the"
                " same folder goes on from its log.",
            )
        return names

    async def _check(self, chosen: Candidate) -> None:
        """The chosen setting and the default, on the held-out part, in turns on one fleet."""
        plain = {stage: chosen.fields[stage] for stage in ("stt", "llm", "tts") if stage in chosen.fields}
        names = (chosen.name, PLAIN)
        plays = [(task, 0) for task in self._heldout]
        left_s = self._budget.check_left_s(self.spent_s) - START_S
        most = max(1, self._budget.rows(left_s, len(names))) * self._at_once
        rows = in_rows(names, plays[:most], at_once=self._at_once)
        self._say(f"held-out part: {chosen.name} against {PLAIN}, up to {min(most, len(plays))} task(s) each")
        async with self._fleet({chosen.name: chosen.fields, PLAIN: plain}) as stand:
            for number, row in enumerate(rows):
                todo = [(name, block) for name, block in row if self._unplayed(name, block)]
                if number and self._budget.rows(self._budget.check_left_s(self.spent_s), len(todo) or 1) < 1:
                    self._say("the check ends here: its time is over")
                    break
                for name, block in todo:
                    # What was not played by both is in no figure, so the last block may end late, or be cut short.
                    left_s = max(self._budget.block_s / 2, self._budget.check_left_s(self.spent_s))
                    await self._play_block(stand, name, self._unplayed(name, block), left_s)

    async def _play_block(self, stand: Stand, name: str, plays: Sequence[Play], limit_s: float) -> None:
        for again in (False, True):
            began_s = self._clock.monotonic()
            records = await stand.play(name, plays, limit_s=limit_s)
            self._budget.note_block(self._clock.monotonic() - began_s)
            if not records:
                self._say(f"{name}: cut short, the budget is spent")
                return
            if any(record.agent for record in records):
                break
            why = next((record.error for record in records if record.error), "the agent was never heard")
            if again:
                raise UnreachableError(
                    f"no call was answered with the setting {name}, twice {len(records)} of them ({why}): nothing is"
                    f" scored. The last lines of the fleet:\n{stand.logs()}",
                    field="fleet",
                    hint="Mend what they say, take the setting out of the space, or give fewer --calls if the machine"
                    " is too busy; the same command goes on from the log, where these calls are not.",
                )
            self._say(f"{name}: none of {len(records)} calls was answered ({why}); once more")
        for record in records:
            self._log.add_play(record, self.spent_s)
        won = sum(record.success for record in records)
        self._say(f"{name}: {won} of {len(records)} ({', '.join(record.task for record in records)})")

    def _that_played(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if self._log.of(name, TUNING))

    def _unplayed(self, name: str, plays: Sequence[Play]) -> list[Play]:
        return [play for play in plays if not self._log.played(name, play)]

    def _figures(self, names: Sequence[str]) -> dict[str, Figures]:
        """Of what all of them have played: a budget may end in the middle of a row."""
        return {name: self._score(records) for name, records in self._log.common(names, TUNING).items()}
