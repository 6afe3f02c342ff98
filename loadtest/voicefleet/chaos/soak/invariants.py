"""Checks that calls, turns and claims add up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.callers.outcome import CallOutcome, TurnOutcome
from voicefleet.chaos.measure import Run

CLOSED_BY = ("released", "recovered", "handed_over", "finished", "expired")
"""The ways in which a claim ends; each is a field of the claim totals in Redis, as is `opened`."""


@dataclass(frozen=True, slots=True)
class ClaimTotals:
    """What Redis counts of all claims so far.

    Attributes:
        counts: the fields in Redis; one that is missing is 0.
        held: claims open now.
    """

    counts: Mapping[str, int]
    held: int

    @property
    def opened(self) -> int:
        return self.counts.get("opened", 0)

    @property
    def closed(self) -> int:
        return sum(self.counts.get(how, 0) for how in CLOSED_BY)

    def problems(self, *, idle: bool) -> list[str]:
        """What does not add up. When `idle`, no claim may be open either."""
        found = []
        if self.opened != self.closed + self.held:
            found.append(f"{self.opened} claims opened, but {self.closed} closed and {self.held} held")
        if idle and self.held:
            found.append(f"{self.held} claims still held with no call left")
        return found

    def to_json(self) -> dict[str, int]:
        return {"opened": self.opened, **{how: self.counts.get(how, 0) for how in CLOSED_BY}, "held": self.held}


_CLASSES = {"answered": "well", "unanswered": "silent", "error": "failed"}
"""By `CallOutcome.result`; the others keep their name."""


def _class_of(call: CallOutcome) -> str:
    # Greeted, and told of every question that it cannot be answered: no silence. Its turns are classed on their own.
    if call.result == "unanswered" and call.greeting_s is not None:
        return "well"
    return _CLASSES.get(call.result, call.result)


def call_totals(runs: Sequence[Run]) -> dict[str, int]:
    """Every caller placed, in exactly one class; the worst outcome counts. Void runs are a class of their own:
    their machine was too busy for what their callers heard to count."""
    totals = dict.fromkeys(("placed", "well", "silent", "cut", "failed", "never_ended", "void"), 0)
    for run in runs:
        totals["placed"] += run.placed
        if run.void:
            totals["void"] += run.placed
            continue
        totals["never_ended"] += run.placed - len(run.outcomes)
        for call in run.outcomes:
            totals[_class_of(call)] += 1
    return totals


def turn_totals(runs: Sequence[Run]) -> dict[str, int]:
    """Every question asked, in exactly one class."""
    totals = dict.fromkeys(("asked", "answered", "apologised", "in_bad_calls", "unexplained"), 0)
    for call in (call for run in runs if not run.void for call in run.outcomes):
        bad = call.result in ("silent", "cut", "error")
        for turn in call.turns:
            totals["asked"] += 1
            totals[_turn_class(turn, bad)] += 1
    return totals


def _turn_class(turn: TurnOutcome, bad: bool) -> str:
    if turn.answered:
        return "answered"
    # A fault under way may cost an answer: the caller is told so, in words.
    return "apologised" if turn.apology else "in_bad_calls" if bad else "unexplained"


def violations(calls: Mapping[str, int], turns: Mapping[str, int], double_speech: int) -> list[str]:
    """Why the calls and turns of a soak are not good."""
    found = [
        f"{calls[name]} calls {words}"
        for name, words in (
            ("silent", "heard nothing for more than 10 s"),
            ("cut", "lost the agent"),
            ("failed", "failed"),
            ("never_ended", "never came to an end"),
        )
        if calls[name]
    ]
    if calls["placed"] != sum(count for name, count in calls.items() if name != "placed"):
        found.append("the calls do not add up")
    if turns["unexplained"]:
        found.append(f"{turns['unexplained']} questions unanswered in calls that were otherwise well")
    if double_speech:
        found.append(f"{double_speech} times two agents spoke at once")
    return found


def round_json(scenario: str, run: Run) -> dict[str, Any]:
    """One round, as JSON."""
    return {
        "scenario": scenario,
        "seed": run.seed,
        **{name: count for name, count in call_totals([run]).items() if count or name == "placed"},
        "double_speech": double_speech([run]),
        "not_injected": run.failed,
    }


def double_speech(runs: Iterable[Run]) -> int:
    """How often two voices spoke at once, in runs that count."""
    return sum(call.double_speech for run in runs if not run.void for call in run.outcomes)
