"""Whether calls, turns and claims add up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.chaos.measure import Run

CLOSED_BY = ("released", "recovered", "handed_over", "finished", "expired")
"""The ways in which a claim ends; each is a field of the ledger in Redis, as is `opened`."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What Redis says of all claims so far.

    Attributes:
        counts: the ledger's fields; one that is missing is 0.
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


def call_book(runs: Sequence[Run]) -> dict[str, int]:
    """Every caller placed, in exactly one class; the worst that befell it counts. Void runs are a class of their own:
    their machine was too busy for what their callers heard to count."""
    book = dict.fromkeys(("placed", "well", "silent", "cut", "failed", "never_ended", "void"), 0)
    for run in runs:
        book["placed"] += run.placed
        if run.void:
            book["void"] += run.placed
            continue
        book["never_ended"] += run.placed - len(run.outcomes)
        for call in run.outcomes:
            if call.error is not None:
                book["failed"] += 1
            elif call.cut:
                book["cut"] += 1
            elif call.silent or not call.answered:
                book["silent"] += 1
            else:
                book["well"] += 1
    return book


def turn_book(runs: Sequence[Run]) -> dict[str, int]:
    """Every question asked, in exactly one class."""
    book = dict.fromkeys(("asked", "answered", "in_bad_calls", "unexplained"), 0)
    for call in (call for run in runs if not run.void for call in run.outcomes):
        bad = call.silent or call.cut or call.error is not None
        for turn in call.turns:
            book["asked"] += 1
            book["answered" if turn.answered else "in_bad_calls" if bad else "unexplained"] += 1
    return book


def book_problems(calls: Mapping[str, int], turns: Mapping[str, int], double_speech: int) -> list[str]:
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


def round_json(fault: str, run: Run) -> dict[str, Any]:
    """One round, as JSON."""
    return {
        "fault": fault,
        "seed": run.seed,
        **{name: count for name, count in call_book([run]).items() if count or name == "placed"},
        "double_speech": double_speech([run]),
        "failed_to_strike": run.failed,
    }


def double_speech(runs: Iterable[Run]) -> int:
    """How often two voices spoke at once, in runs that count."""
    return sum(call.double_speech for run in runs if not run.void for call in run.outcomes)
