"""The options of a soak and the faults that a seed draws. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voicefleet.chaos.scenarios import NORMAL, SCENARIOS, Scenario
from voicefleet.contract.parsing.limits import require_between

QUICK_MINUTES = 1.0
_LOSES_CLAIM_TOTALS = ("redis-restart-empty",)
FAULTS = tuple(
    scenario for scenario in SCENARIOS if scenario.profile == NORMAL and scenario.id not in _LOSES_CLAIM_TOTALS
)
"""All faults for an ordinary fleet that keep the claim totals in Redis."""


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


def rounds(options: SoakOptions) -> Iterator[tuple[Scenario, int]]:
    """Faults without end, each with its seed: every fault once in random order, then all again in another."""
    rng = np.random.default_rng(options.seed)
    number = 0
    while True:
        for i in rng.permutation(len(FAULTS)):
            scenario = FAULTS[int(i)]
            yield (replace(scenario, live=2, answers=1) if options.quick else scenario), options.seed * 100_000 + number
            number += 1
