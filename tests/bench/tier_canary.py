"""Which differences a canary of tiers decides, and how often: simulated calls, judged by the controller's own code.

A call is good with its tier's chance, independently of the others. Nothing else is simulated: no servers, no speech.
"""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.row import Row, say

from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.canary.tiers import compare_tiers, decide_tiers
from voicefleet.controller.canary.trial import TierTrial
from voicefleet.controller.settings.tier import TierCanarySettings


@dataclass(frozen=True, slots=True)
class Cell:
    """Two tiers, with the chance that a call of each is good; `weight`: the share of the one that is tried, percent."""

    stable: float
    canary: float
    weight: int
    calls: int = 200
    must: bool = True
    """Whether the row is met only if it is decided rightly: the others show where the limit is."""

    @property
    def right(self) -> Decision:
        """What is to be decided."""
        if self.canary == self.stable:
            return Decision.WAIT
        return Decision.PROMOTE if self.canary > self.stable else Decision.ROLL_BACK

    def __str__(self) -> str:
        return f"{self.stable:.0%} against {self.canary:.0%}, {self.weight} % of {self.calls} calls"


CELLS = (
    *(Cell(0.90, canary, 50, must=canary <= 0.68) for canary in (0.60, 0.68, 0.70, 0.75)),
    *(Cell(0.95, canary, 50, must=canary <= 0.77) for canary in (0.60, 0.77, 0.80)),
    Cell(0.68, 0.90, 50),
    *(Cell(0.95, canary, 10, must=canary <= 0.60) for canary in (0.40, 0.60, 0.70)),
    *(Cell(0.90, canary, 10, must=canary <= 0.50) for canary in (0.50, 0.60)),
    Cell(0.90, 0.75, 10, calls=1000),
    *(Cell(good, good, 50) for good in (0.6, 0.9, 0.95)),
    *(Cell(good, good, 10) for good in (0.8, 0.95)),
)
CERTAIN = 0.95
"""Share of the runs that are to be decided rightly."""
CHANCE = 0.02
"""How far a share may lie from its true value by the number of runs alone: two standard errors, of 500 runs."""


def tier_canary(quick: bool, command: str) -> Row:
    """Every cell; met when each that must be is decided rightly in 19 of 20 runs, as far as their number tells."""
    runs = 100 if quick else 500
    values: dict[str, Any] = {}
    short = []
    with ProcessPoolExecutor(2) as pool:
        for cell in CELLS:
            found = list(pool.map(_run, [cell] * runs, range(runs), chunksize=20))
            share = found.count(cell.right) / runs
            told = "left undecided" if cell.right is Decision.WAIT else "decided rightly"
            wrong = sum(decision not in (cell.right, Decision.WAIT) for decision in found) / runs
            values[str(cell)] = {told: share, "wrong": wrong}
            say(f"tier_canary: {cell}: {told} {share:.1%}, wrong {wrong:.1%}")
            if cell.must and share < CERTAIN - CHANCE * (500 / runs) ** 0.5:
                short.append(str(cell))
    why = f"fewer runs than {CERTAIN:.0%}: {'; '.join(short)}" if short else "with the defaults of `tier_canary`"
    return Row("tier_canary", runs * len(CELLS), values, "missed" if short else "met", command, why=why)


def _run(cell: Cell, seed: int) -> Decision:
    chance = random.Random(seed)
    calls = []
    for _ in range(cell.calls):
        tried = chance.random() * 100 < cell.weight
        calls.append(("tried" if tried else "stable", chance.random() < (cell.canary if tried else cell.stable)))
    rule = TierCanarySettings(calls=cell.calls)
    trial = TierTrial("bench", "", "tried", "stable", "bench", cell.weight, rule, "bench")
    return decide_tiers(compare_tiers(calls, trial), rule).decision
