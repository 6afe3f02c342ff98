"""How many calls at once a pool holds: which level to try next, and what the tries have shown. Pure.

Doubling until a level breaks, then bisection. One run proves little on a noisy machine, so a void step counts for
nothing and is repeated, and both sides of the edge must be confirmed: each has two runs that agree, or two of three. A
level that a repetition turns over moves the edge, and the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voicefleet.callers.outcome import CallOutcome

MOST_VOID = 3
"""Void steps of a level in a row after which the machine is taken to be too small for it, and what is above."""
_CONFIRMED = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One run with `level` calls at once. `held`: whether the pool held them; None: the run was void."""

    level: int
    held: bool | None


@dataclass(frozen=True, slots=True)
class Try:
    """Run this level next."""

    level: int


@dataclass(frozen=True, slots=True)
class Found:
    """The search is over.

    Attributes:
        capacity: the highest level that held, with the one above it broken; the highest allowed when none broke.
        low: no run with as many calls, or fewer, broke.
        high: no run with more calls held; None: no level that could be tried broke, so the pool may hold more.
    """

    capacity: int
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Not even one call could be measured."""


def decide(steps: Sequence[Step], *, start: int, most: int) -> Try | Found | GaveUp:
    """What to do after these steps.

    Args:
        start: the first level, 1 to `most`.
        most: the highest level to try.
    """
    asked = most
    for level in {step.level for step in steps}:
        if _void_in_a_row(steps, level) >= MOST_VOID:
            most = min(most, level - 1)
    if most < 1:
        return GaveUp()
    if steps and steps[-1].held is None and steps[-1].level <= most:
        return Try(steps[-1].level)
    votes = {level: found for level, found in _votes(steps).items() if level <= most}
    for level, (held, broken) in votes.items():
        if held == broken:
            return Try(level)
    broke = min((level for level, (held, broken) in votes.items() if broken > held), default=None)
    below = most + 1 if broke is None else broke
    held_most = max((n for n, (held, broken) in votes.items() if held > broken and n < below), default=0)
    if broke is None:
        if held_most < most:
            below_void = (held_most + most + 1) // 2 if most < asked else most
            return Try(min(most, below_void, held_most * 2 or start))
        return _confirm(votes, most, None) or _found(votes, most, None)
    if broke - held_most > 1:
        return Try((held_most + broke) // 2)
    return _confirm(votes, held_most, broke) or _found(votes, held_most, broke)


def most_at_once(outcomes: Sequence[CallOutcome]) -> int:
    """How many calls had their agents at the same time."""
    edges = []
    for call in outcomes:
        if call.wait_s is not None:
            join_s = call.t_start_s + call.join_after_s
            edges += [(join_s + call.wait_s, 1), (join_s + call.ended_s, -1)]
    live = most = 0
    for _, change in sorted(edges):
        live += change
        most = max(most, live)
    return most


def _votes(steps: Sequence[Step]) -> dict[int, tuple[int, int]]:
    """Level -> runs that held, runs that broke."""
    found: dict[int, tuple[int, int]] = {}
    for step in steps:
        if step.held is not None:
            held, broken = found.get(step.level, (0, 0))
            found[step.level] = (held + step.held, broken + (not step.held))
    return found


def _void_in_a_row(steps: Sequence[Step], level: int) -> int:
    count = 0
    for step in steps:
        if step.level == level:
            count = 0 if step.held is not None else count + 1
    return count


def _confirm(votes: dict[int, tuple[int, int]], held_most: int, broke: int | None) -> Try | None:
    if held_most and votes[held_most][0] < _CONFIRMED:
        return Try(held_most)
    if broke is not None and votes[broke][1] < _CONFIRMED:
        return Try(broke)
    return None


def _found(votes: dict[int, tuple[int, int]], capacity: int, broke: int | None) -> Found:
    first_broken = min((level for level, (_, broken) in votes.items() if broken), default=None)
    always = [level for level in votes if first_broken is None or level < first_broken]
    ever = max((level for level, (held, _) in votes.items() if held), default=0)
    return Found(capacity, max(always, default=0), None if broke is None else ever)
