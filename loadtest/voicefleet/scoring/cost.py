"""What calls take of a worker, and so how many fit into one, and what a call-minute costs. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from voicefleet.contract.errors import UsageError


@dataclass(frozen=True, slots=True)
class WorkerSize:
    """A worker's share of a machine.

    Attributes:
        cores: processors that it may use.
        busy_ratio: how busy its calls may keep them on average; the rest is for calls that speak at once.
        price_per_hour: in any currency; None: not asked for.
    """

    cores: float = 2.0
    busy_ratio: float = 0.7
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for field, value, good in (
            ("cores", self.cores, self.cores > 0),
            ("busy_ratio", self.busy_ratio, 0 < self.busy_ratio <= 1),
            ("price_per_hour", self.price_per_hour, self.price_per_hour is None or self.price_per_hour > 0),
        ):
            if not good:
                raise UsageError(
                    "must be above 0" if field != "busy_ratio" else "must be above 0 and at most 1",
                    field=field,
                    value=value,
                    hint="Give the size of one worker, as in its pod's resources.",
                )

    def calls(self, cpu_s_per_call_min: float | None) -> int | None:
        """Calls that fit by processor time; 0: a single one is too much; None: not measured."""
        if cpu_s_per_call_min is None or cpu_s_per_call_min <= 0:
            return None
        return math.floor(self.cores * self.busy_ratio * 60 / cpu_s_per_call_min)

    def price_per_call_min(self, calls: int | None) -> float | None:
        """The price of a minute of one call on a full worker; `voicefleet plan` knows how full workers are."""
        return self.price_per_hour / 60 / calls if self.price_per_hour is not None and calls else None
