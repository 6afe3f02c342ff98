"""Who plays which tasks, in rounds that halve the field (successive halving), within a budget of time. Pure.

Every candidate that is left plays the same tasks in a round, so they are compared on equal terms; after it the worse
half goes. Each round costs about the same: half the candidates play twice the tasks. The last few play the most,
and their intervals are the narrowest. (Jamieson and Talwalkar, AISTATS 2016. Optuna prunes by one figure alone;
here speed and success must both survive.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voicefleet.tuning.budget import BLOCK_GUESS_S, CURVE_SHARE, FINISH_S, HELDOUT_SHARE, START_S
from voicefleet.tuning.rule import Figures, Rule
from voicefleet.tuning.trial_log import Play

FINALISTS = 4
"""So many settings are left in the last round: a front of three points and the choice need narrow intervals."""
FIRST_TASKS = 4
"""Tasks that each setting plays in the first round at least: less says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a budget allows.

    Attributes:
        fields: how many settings play in each round.
        tasks: how many tasks each of them plays in each round.
        heldout: tasks of the held-out part that the chosen setting and the default play, each.
    """

    fields: tuple[int, ...]
    tasks: tuple[int, ...]
    heldout: int

    @property
    def plays(self) -> int:
        """Calls of the search."""
        return sum(f * t for f, t in zip(self.fields, self.tasks, strict=True))


def plan(budget_s: float, *, candidates: int, tasks: int, heldout_tasks: int, at_once: int) -> Plan:
    """Rounds for `budget_s` seconds, blocks of `at_once` calls at a time; a first guess, corrected while it is played.

    The budget must be at least `least_budget_s`. With more time than all tasks of all settings take, all are played.
    """
    usable_s = max(0.0, budget_s * (1 - CURVE_SHARE) - 2 * START_S - FINISH_S)
    heldout = max(1, min(heldout_tasks, int(HELDOUT_SHARE * usable_s * at_once / BLOCK_GUESS_S / 2)))
    calls = max(2, int((1 - HELDOUT_SHARE) * usable_s * at_once / BLOCK_GUESS_S))
    if candidates * tasks <= calls:
        return Plan((candidates,), (tasks,), heldout)
    for rounds in range(4, 0, -1):
        each = calls // rounds
        first = min(candidates, max(2, each // FIRST_TASKS))
        fields = [max(min(FINALISTS, first), math.ceil(first / 2**n)) for n in range(rounds)]
        wanted = [max(1, each // field) for field in fields]
        # A round that shrinks nothing is a longer round before it.
        if rounds == 1 or (fields[-2] > fields[-1] and wanted[0] >= FIRST_TASKS):
            left, played = tasks, []
            for n, want in enumerate(wanted):
                # Keep a task for each later round.
                played.append(max(1, min(want, left - (rounds - 1 - n))))
                left -= played[-1]
            return Plan(tuple(fields), tuple(played), heldout)
    raise AssertionError("one round always fits")


def survivors(figures: Mapping[str, Figures], rule: Rule, count: int) -> tuple[str, ...]:
    """The `count` settings that go on: the rule's best, then whole layers of the front of success and TTFA p95.

    Invariant: the rule's best of this round always goes on, and so does every point of the front while there is room;
    in a layer the rule's better one goes first.
    """
    best = min(figures, key=lambda n: rule.key(figures[n]))
    left = [name for name in figures if name != best]
    taken = [best]
    while left and len(taken) < count:
        every = {name: figures[name] for name in [*taken, *left]}
        layer = [n for n in left if not any(_beats(every[o], every[n]) for o in left)]
        taken += sorted(layer, key=lambda n: rule.key(figures[n]))
        left = [n for n in left if n not in layer]
    return tuple(taken[:count])


def in_rows(
    names: Sequence[str], plays: Sequence[Play], *, at_once: int
) -> tuple[tuple[tuple[str, tuple[Play, ...]], ...], ...]:
    """Rows of blocks ``(setting, plays)``; a row has a block of the same plays, at most `at_once`, for each setting.

    Settings take turns, so that a machine that slows down for a while does so for all; the order is turned round each
    time, so that none is always first. Calls of one block are of one setting: its CPU time is its own.
    """
    rows = []
    for number, begin in enumerate(range(0, len(plays), at_once)):
        part = tuple(plays[begin : begin + at_once])
        order = list(names) if number % 2 == 0 else list(reversed(names))
        rows.append(tuple((name, part) for name in order))
    return tuple(rows)


def in_order(goals: Mapping[str, str], seed: int) -> tuple[str, ...]:
    """Tasks (id -> goal) in the order in which they are played: shuffled by `seed`, and mixed so that any first few are
    of the same goals in about the same shares as the whole set. A short sweep measures the same thing as a long one."""
    order = np.random.default_rng(seed).permutation(len(goals))
    by_goal: dict[str, list[str]] = {}
    for at in order:
        task = list(goals)[int(at)]
        by_goal.setdefault(goals[task], []).append(task)
    place = {task: (n + 0.5) / len(tasks) for tasks in by_goal.values() for n, task in enumerate(tasks)}
    return tuple(sorted((task for tasks in by_goal.values() for task in tasks), key=lambda task: place[task]))


def plays_of_round(order: Sequence[str], before: Sequence[Play], count: int, *, last: bool) -> tuple[Play, ...]:
    """What each setting plays next: tasks that none has played, `count` of them. In the last round half are the first
    round's tasks once more, twice each (trials 1 and 2), since pass^3 needs three runs of a task."""
    known = {task for task, _ in before}
    again: list[Play] = []
    if last and before:
        for task in list(dict.fromkeys(task for task, _ in before))[: count // 4]:
            again += [(task, 1), (task, 2)]
    new = [(task, 0) for task in order if task not in known][: count - len(again)]
    return tuple(again + new)


def _beats(one: Figures, other: Figures) -> bool:
    """Whether `one` is at least as good in both success and TTFA p95, and better in one; unknown is worst."""
    a, b = _point(one), _point(other)
    return a != b and a[0] <= b[0] and a[1] <= b[1]


def _point(figures: Figures) -> tuple[float, float]:
    success, ttfa = figures.get("success"), figures.get("ttfa_p95_s")
    return (1.0 if success is None else -success, math.inf if ttfa is None else ttfa)
