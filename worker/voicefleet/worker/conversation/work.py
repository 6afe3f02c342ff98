"""What a call does that is not speech: until it is done, the call stays where it is, up to a limit.

Speech alone does not say that a call can move. A tool that books a table, a survey, a transfer or an `on_enter` that
has not ended lives in one process and would be cut off there.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

SPARE_S = 20.0
"""So long before a drain's end calls move whatever they do: being cut off and told is better than dying unprepared."""

FORGOTTEN_AFTER_S = 60.0
"""Handoffs of a draining worker's call are begun anew more often than this: after such a pause it is another drain."""


def patience_s(drain_timeout_s: float) -> float:
    """How long a handoff waits for work."""
    return max(drain_timeout_s - SPARE_S, drain_timeout_s / 2)


KINDS = ("tool", "reply", "task", "on_enter", "change", "agent")
"""First words of the names that this package gives; every other name is a mark's."""


def kind_of(name: str) -> str:
    """What kind of work `name` is, for a metric: one of `KINDS`, or "marked"."""
    first = name.partition(" ")[0]
    return first if first in KINDS else "marked"


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a call may move, as far as its work goes."""

    may_move: bool
    waits_for: tuple[str, ...] = ()
    """The names of what it waits for, or of what is cut off when it moves all the same."""


class CallWork:
    """Follows the work of one call. What the team marks, and what other parts of the job do, is added by `busy`.

    Attributes:
        session_work: gives the names of what the session itself does.
        refusal: why the agent that has the call cannot be made again by another worker; empty: it can.
        changed: called when a mark comes or goes.

    Args:
        limit_s: how long a handoff that is wanted waits, seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self.session_work: Callable[[], Sequence[str]] = tuple
        self.refusal: Callable[[], str] = str
        self.changed: Callable[[], None] = lambda: None
        self._limit_s = limit_s
        self._marked: Counter[str] = Counter()
        self._wanted_since_s = 0.0
        self._asked_s: float | None = None

    @contextlib.contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """While this is open, the call does not move. The same name may be open several times."""
        self._marked[name] += 1
        self.changed()
        try:
            yield
        finally:
            self._marked[name] -= 1
            self.changed()

    def under_way(self) -> tuple[str, ...]:
        """All that would be cut off if the job ended now."""
        return (*(name for name, count in self._marked.items() if count > 0), *self.session_work())

    def standing(self, now_s: float) -> Standing:
        """Whether the call may move now. Being asked begins the wait, and not being asked for a minute ends it.

        Args:
            now_s: monotonic.
        """
        if self._asked_s is None or now_s - self._asked_s > FORGOTTEN_AFTER_S:
            self._wanted_since_s = now_s
        self._asked_s = now_s
        work = self.under_way()
        refusal = self.refusal()
        waits_for = (*work, refusal) if refusal else work
        return Standing(not waits_for or now_s - self._wanted_since_s >= self._limit_s, waits_for)
