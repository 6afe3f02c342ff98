"""What one step leaves to the next, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, field

from voicefleet.scaling.policy_state import PolicyState

Window = tuple[tuple[float, int], ...]
"""(time in seconds, need), oldest first; needs fall strictly, because an older and lower need can never be the max."""


@dataclass(frozen=True, slots=True)
class Replacements:
    """How many workers were replaced in a row, and when the last one (None: never)."""

    count: int = 0
    last_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Attributes:
    last: workers that the last decision wanted.
    window: needs within the scale-down delay.
    replacements: of workers that never got ready.
    learned: what the policy keeps.
    since_s: when this controller began.
    found: workers that there were then.
    """

    last: int | None = None
    window: Window = ()
    replacements: Replacements = field(default_factory=Replacements)
    learned: PolicyState = field(default_factory=PolicyState)
    since_s: float = 0.0
    found: int = 0


def initial_state(now_s: float, present: int, learned: PolicyState | None = None) -> State:
    """A careful start: a new controller knows nothing, so the workers that are there count as a need just seen.

    Args:
        learned: what the leader before left, if it left something.
    """
    return State(
        last=present, window=((now_s, present),), learned=learned or PolicyState(), since_s=now_s, found=present
    )
