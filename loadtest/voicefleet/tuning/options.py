"""The options of `voicefleet tune` and their defaults."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between
from voicefleet.tuning.budget import least_budget_s
from voicefleet.tuning.rule import DEFAULT_RULE, Rule, parse_rule

_LENGTH = re.compile(r"(\d+(?:\.\d+)?)([smh])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """One sweep.

    Attributes:
        space, tasks: a built-in one's name, or a file's path.
        agent: the team's agent, as `voicefleet worker --agent` takes it; empty: the tasks' own.
        budget_s: the whole sweep may take so long, start and held-out check included.
        at_once: calls at the same time, all of one setting.
        price: of a worker-hour, in any currency; 0: no prices.
        out: folder of the log, the tiers file, the page and the recordings.
    """

    out: Path
    space: str = "local"
    tasks: str = "desk"
    agent: str = ""
    budget_s: float = 3_000.0
    at_once: int = 4
    rule: Rule = field(default_factory=lambda: parse_rule(DEFAULT_RULE))
    price: float = 0.0
    seed: int = 1
    fresh: bool = False
    report: bool = True

    def __post_init__(self) -> None:
        require_between("calls", self.at_once, 1, 50)
        require_between("price", self.price, 0, 10_000)
        if self.budget_s < least_budget_s():
            raise ConfigError(
                "is too short for one trial: two fleets start, two settings play a task, and two calls check it",
                field="--budget",
                value=f"{self.budget_s:g}s",
                hint=f"Give at least {math.ceil(least_budget_s())}s; 10m tells something on two cores.",
            )


def parse_length(text: str, *, name: str) -> float:
    """Seconds of ``90s``, ``10m`` or ``1h``.

    Raises:
        ConfigError: none of these.
    """
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise ConfigError("is no length of time", field=f"--{name}", value=text, hint="Write 90s, 10m or 1h.")
    return float(match[1]) * _UNITS_S[match[2]]
