"""What a soak does: options, and the faults that a seed draws. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voicefleet.chaos.scenarios import NORMAL, ROWS, Row
from voicefleet.contract.parsing.limits import require_between

QUICK_MINUTES = 1.0
_LOSES_THE_BOOKS = ("redis-restart-empty",)
FAULTS = tuple(row for row in ROWS if row.gear == NORMAL and row.id not in _LOSES_THE_BOOKS)
"""All that one ordinary fleet can suffer with its books in Redis intact."""


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """One soak.

    Attributes:
        minutes: no round begins after so long; None: 30, or 1 if quick.
        seed: draws the faults, their moments, and the callers' questions.
        logs: a folder that gets the fleet's logs; None: they go with the fleet.
    """

    minutes: float | None = None
    seed: int = 1
    quick: bool = False
    logs: Path | None = None

    def __post_init__(self) -> None:
        require_between("minutes", self.length_min, 0.1, 7 * 24 * 60)
        require_between("seed", self.seed, 0, 2**31)

    @property
    def length_min(self) -> float:
        return self.minutes if self.minutes is not None else QUICK_MINUTES if self.quick else 30.0


def rounds(options: SoakOptions) -> Iterator[tuple[Row, int]]:
    """Faults without end, each with its seed: every fault once in random order, then all again in another."""
    rng = np.random.default_rng(options.seed)
    number = 0
    while True:
        for i in rng.permutation(len(FAULTS)):
            row = FAULTS[int(i)]
            yield (replace(row, live=2, answers=1) if options.quick else row), options.seed * 100_000 + number
            number += 1
