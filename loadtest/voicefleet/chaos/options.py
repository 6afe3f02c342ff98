"""The options of `voicefleet chaos`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from voicefleet.chaos.scenarios import Scenario, chosen
from voicefleet.contract.parsing.limits import require_between


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """One chaos run.

    Attributes:
        only: scenarios to run; empty: all.
        seeds: runs of each scenario, each with another moment of the fault and other questions; None: 5, 1 if quick.
        first_seed: the seeds count up from here.
        quick: one seed of the few fast scenarios, or of those in `only`, with fewer calls.
        logs: a folder that gets every fleet's logs; None: they go with the fleet.
    """

    only: tuple[str, ...] = ()
    seeds: int | None = None
    first_seed: int = 1
    quick: bool = False
    logs: Path | None = None

    def __post_init__(self) -> None:
        require_between("seeds", self.runs, 1, 100)
        require_between("first-seed", self.first_seed, 0, 2**31)
        chosen(self.only, quick=self.quick)

    @property
    def runs(self) -> int:
        """Runs of each scenario."""
        return self.seeds if self.seeds is not None else 1 if self.quick else 5

    @property
    def seed_numbers(self) -> range:
        """The seed of each run of a scenario."""
        return range(self.first_seed, self.first_seed + self.runs)

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """What to run, in order."""
        scenarios = chosen(self.only, quick=self.quick)
        if not self.quick:
            return scenarios
        return tuple(replace(one, live=one.live if one.fills else 2, answers=1) for one in scenarios)
