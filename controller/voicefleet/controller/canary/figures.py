"""What the calls of a version tell of it: counts, from their logs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicefleet.contract.call_log import CallLog
from voicefleet.contract.reports import BAD_OUTCOMES

NEUTRAL = frozenset({"session_closed"})
"""Turns that ended with the call: nobody waited for their answer."""
_LOST = frozenset({"lost", "expired"})


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of calls and turns. They add up."""

    calls: int = 0
    """Those that tell something: that are over, or have had a turn, a silence or the loss of an agent."""
    turns: int = 0
    """Those that wanted an answer."""
    errors: int = 0
    """Of them, those without one: an error or an apology."""
    slow: int = 0
    """Of those answered, those slower than the objective's TTFA."""
    answered: int = 0
    silent: int = 0
    """Calls in which a caller waited over 10 s for a voice."""
    crashed: int = 0
    """Calls whose agent was lost, or failed as it began."""

    def __add__(self, other: Figures) -> Figures:
        names = (f.name for f in dataclasses.fields(Figures))
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def to_counts(self) -> dict[str, int]:
        """Name -> count, those that are not 0."""
        return {name: count for name, count in dataclasses.asdict(self).items() if count}

    @classmethod
    def of_counts(cls, counts: Mapping[str, str]) -> Figures:
        """As `to_counts` gave them, summed in Redis; names of another release are left out."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: int(count) for name, count in counts.items() if name in known})


def _recovered(facts: Sequence[Mapping[str, Any]], *, moved: bool) -> bool:
    """Whether an agent of this version was lost, and another took the call; the first one of a call that came from the
    other version took it from there."""
    taken = [fact for fact in facts if fact["e"] in ("answered", "moved", "recovered")]
    return any(fact["e"] == "recovered" for fact in taken[int(moved) :])


def figures_of(call: CallLog, *, ttfa_s: float, over: bool = False, failed: bool = False) -> Figures:
    """What one call tells of the version that has it.

    Args:
        over: it has ended, or is taken from that version.
        ttfa_s: a turn that is answered later is slow.
        failed: it is taken from that version, because its agent was lost, or failed as it began.
    """
    since_ms = int(call.log.get("moved_ms") or 0)
    """What was before is another version's."""
    facts = [fact for fact in call.facts if fact["t"] >= since_ms]
    turns = [fact for fact in facts if fact["e"] == "turn" and fact.get("outcome") not in NEUTRAL]
    took = [fact["ttfa_s"] for fact in turns if isinstance(fact.get("ttfa_s"), int | float)]
    silent = any(fact["e"] == "silence" for fact in facts)
    crashed = failed or any(fact["e"] in _LOST for fact in facts) or _recovered(facts, moved=bool(since_ms))
    return Figures(
        calls=int(over or bool(turns) or silent or crashed),
        turns=len(turns),
        errors=sum(fact.get("outcome") in BAD_OUTCOMES for fact in turns),
        slow=sum(seconds > ttfa_s for seconds in took),
        answered=len(took),
        silent=int(silent),
        crashed=int(crashed),
    )
