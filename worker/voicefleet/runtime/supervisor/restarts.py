"""When a process that ended is started again. Pure: it decides from how long the process lived, its code, and the time.

A process that lived long enough is *proven*: its end is no failure, and another is started at once. Failures in a row
double the wait. Invariant: `not_before_s` never moves back but by a reset, and a reset needs a proven process, or as
much time without a failure: where several processes run, one that was proven before says nothing of the new ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a process, or a start that failed.

    Attributes:
        lived_s: from when it was of use until its end; 0 when it never was.
        code: exit status, or minus the number of the signal that killed it; None when it is not known.
    """

    lived_s: float
    code: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long to wait between starts.

    Attributes:
        first_wait_s: after one failure.
        longest_wait_s: however many there were.
        proven_after_s: a process that lived so long did not fail at its start.
        orderly_after_s: nor did one that lived so long and ended with code 0.
    """

    first_wait_s: float
    longest_wait_s: float
    proven_after_s: float
    orderly_after_s: float = math.inf

    def proven(self, ended: Ended) -> bool:
        """Whether this end is no failure."""
        least_s = self.proven_after_s
        if ended.code == 0:
            least_s = min(least_s, self.orderly_after_s)
        return ended.lived_s >= least_s


@dataclass(frozen=True, slots=True)
class Backoff:
    """The failures in a row, and when the next start may be."""

    policy: RestartPolicy
    failures: int = 0
    not_before_s: float = -math.inf

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start; 0 when it may be now."""
        return max(0.0, self.not_before_s - now_s)

    def at(self, now_s: float) -> Backoff:
        """The state now: what failed is forgotten once a process that was started when it might has had the time to
        prove itself, and none failed since."""
        return self.reset() if now_s - self.not_before_s >= self.policy.proven_after_s else self

    def after(self, ended: Ended, now_s: float) -> Backoff:
        """The state after the end of the only process: a proven one makes up for the failures before it."""
        return self.reset() if self.policy.proven(ended) else self.failed(now_s)

    def failed(self, now_s: float) -> Backoff:
        """The state after a failure. Processes that fail while none may be started fail of one cause: one failure."""
        if now_s < self.not_before_s:
            return self
        wait_s = self.policy.first_wait_s * 2.0 ** min(self.failures, _MOST_DOUBLINGS)
        return replace(self, failures=self.failures + 1, not_before_s=now_s + min(self.policy.longest_wait_s, wait_s))

    def reset(self) -> Backoff:
        """The state once a process is proven."""
        return Backoff(self.policy)
