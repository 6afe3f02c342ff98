"""Workers that ended before they were of use: when the next one may be started, and what is said meanwhile. Pure.

What is forgotten, and when: a worker that registers after the last failure ends the complaint at once. The waits start
anew only when no start has failed for as long as a worker takes to prove itself, because one that registers and then
dies, again and again, is a crash loop too. An older worker, however long it has lived, says nothing of new ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from voicefleet.runtime.supervisor.restarts import Backoff, RestartPolicy

RESTARTS = RestartPolicy(first_wait_s=1.0, longest_wait_s=40.0, proven_after_s=60.0, orderly_after_s=10.0)
"""An orderly end is a rolling restart, or somebody's SIGTERM. A program that ends well sooner never was a worker. The
longest wait is less than a minute: who mended what was wrong should not wait for longer."""
LOOPS_AFTER = 2
"""Failed starts in a row: the next one is expected to fail too."""


@dataclass(frozen=True, slots=True)
class StartFailures:
    """Times are of a clock that never jumps, in seconds.

    Attributes:
        last: the last failure, in words.
        at_s: when it was.
        recovered: a worker that was started after it has registered.
    """

    backoff: Backoff = field(default_factory=lambda: Backoff(RESTARTS))
    last: str = ""
    at_s: float = -math.inf
    recovered: bool = True

    def failed(self, why: str, now_s: float) -> StartFailures:
        """A worker ended before it was proven, or could not be started."""
        return replace(self, backoff=self.backoff.failed(now_s), last=why, at_s=now_s, recovered=False)

    def registered(self, began_s: float) -> StartFailures:
        """A worker that was started at `began_s` has registered."""
        return replace(self, recovered=True) if self.is_new(began_s) else self

    def at(self, now_s: float) -> StartFailures:
        """What is left of it now."""
        backoff = self.backoff.at(now_s)
        return self if backoff == self.backoff else StartFailures()

    def is_new(self, began_s: float) -> bool:
        """Whether a worker that was started at `began_s` is one of those after the last failure."""
        return began_s > self.at_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start; 0 when it may be now."""
        return self.backoff.wait_s(now_s)

    @property
    def looping(self) -> bool:
        """Whether the next start is expected to fail."""
        return self.backoff.failures >= LOOPS_AFTER and not self.recovered

    def told(self, now_s: float) -> str:
        """The failures in words; empty when there is nothing to complain of."""
        count, wait_s = self.backoff.failures, self.wait_s(now_s)
        if not count or self.recovered:
            return ""
        when = f", next in {math.ceil(wait_s)} s" if wait_s > 0 else ""
        return f"{count} failed start{'s' if count > 1 else ''} in a row{when}; last: {self.last}"
