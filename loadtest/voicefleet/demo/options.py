"""The options of `voicefleet demo` and their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.limits import require_between

Pipeline = Literal["local", "synthetic"]

REGIONS = ("eu", "us")
MIN_WORKERS = 1
BUFFER = 2
"""Free slots kept ready. With two slots a worker the second worker starts at the first call, while there is CPU: on two
cores a start beside six live calls takes ten times as long."""

HOLD_S = 8.0
"""Far shorter than a fleet's (300 s), so that a demo shows the way down too."""


def max_workers(cores: int) -> int:
    """Most workers a region may have on a machine of so many cores."""
    return max(2, min(4, cores // 2 + 1))


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One run of the demo. Callers, servers and agents share this machine, so few calls are live at once."""

    calls: int = 12
    rate: float = 0.3
    """Mean arrivals per second, both regions together."""
    turns: int = 2
    slots: int = 2
    pipeline: Pipeline | None = None
    """None: the real one if this machine carries it."""
    seed: int = 1
    report: bool = True
    keep: bool = False

    def __post_init__(self) -> None:
        require_between("calls", self.calls, 1, 500)
        require_between("rate", self.rate, 0.01, 50)
        require_between("turns", self.turns, 1, 12)
        require_between("slots", self.slots, 1, 50)


def as_pipeline(name: str | None) -> Pipeline | None:
    """The pipeline of that name; None for None.

    Raises:
        ConfigError: there is no such pipeline.
    """
    for known in get_args(Pipeline):
        if name == known:
            return cast(Pipeline, known)
    if name is None:
        return None
    raise ConfigError("no such pipeline", field="--pipeline", value=name, hint="Use local or synthetic.")
