"""Whether something that must stay level grows. Pure.

What is measured when idle goes up and down: memory by what the allocator keeps, processes by the spare one that is just
starting. A leak goes only up. So a series grows when its least value at the end is above its greatest at the
beginning by more than an allowance; noise of any size does not do that, a steady leak does soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

FEWEST = 6
"""With fewer samples nothing is judged."""


@dataclass(frozen=True, slots=True)
class Series:
    """One thing over time: `values` in the order of the rounds; `allowance` in the same unit."""

    what: str
    unit: str
    allowance: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """What became of a series.

    Attributes:
        before, after: the greatest of the first third, the least of the last third; None: too few samples.
        grew: None: too few samples.
    """

    what: str
    unit: str
    samples: int
    before: float | None
    after: float | None
    allowance: float
    grew: bool | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        return f"{self.what} grew from {self.before:g} to {self.after:g} {self.unit} (allowed {self.allowance:g} more)"


def growth(series: Series) -> Growth:
    """Judge one series. The first sample is left out: what is made once, at the first call, is no leak."""
    values: Sequence[float] = series.values[1:]
    if len(values) < FEWEST:
        return Growth(series.what, series.unit, len(values), None, None, series.allowance, None)
    third = len(values) // 3
    before, after = max(values[:third]), min(values[-third:])
    grew = after > before + series.allowance
    return Growth(series.what, series.unit, len(values), before, after, series.allowance, grew)
