"""The weekly schedule of a pool's least size. Pure: wall-clock times in, a number out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Shift:
    """On `days` (0: Monday), from `begin` to `end` by the clocks of `zone`, at least `min_workers`.

    An `end` at or before `begin` is on the next day. Clocks that are put back or forward move a shift with them: it
    begins when the clocks there say so.
    """

    days: frozenset[int]
    begin: dt.time
    end: dt.time
    zone: ZoneInfo
    min_workers: int

    def on(self, at: dt.datetime) -> bool:
        """Whether it is on at `at`, which carries a time zone."""
        local = at.astimezone(self.zone)
        clock = local.time()
        if self.begin < self.end:
            return local.weekday() in self.days and self.begin <= clock < self.end
        yesterday = (local.weekday() - 1) % 7
        return (local.weekday() in self.days and clock >= self.begin) or (yesterday in self.days and clock < self.end)


def floor(shifts: Sequence[Shift], now: dt.datetime, lead_s: float) -> int:
    """Least workers now, and for what begins within `lead_s`: workers asked for then would come too late."""
    soon = now + dt.timedelta(seconds=lead_s)
    return max((s.min_workers for s in shifts if s.on(now) or s.on(soon)), default=0)
