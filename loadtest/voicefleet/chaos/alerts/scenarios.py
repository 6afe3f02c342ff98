"""The table: each fault, the alert that must come first and how soon, and what may come with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voicefleet.chaos.alerts import faults
from voicefleet.chaos.alerts.faults import Fault
from voicefleet.chaos.alerts.timeline import Expected
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.validation import nearest
from voicefleet.stack.fleet import PoolShape

NONE = Expected()
ONE = PoolShape(slots=3, min_workers=1, max_workers=2, buffer=0, scale_down_delay_s=10.0)
TWO = PoolShape(slots=3, min_workers=2, max_workers=3, buffer=0, scale_down_delay_s=10.0)
FULL = PoolShape(slots=2, min_workers=1, max_workers=1, buffer=0, scale_down_delay_s=10.0)
AFTER_S = 120.0
"""Alerts are watched for so long after the remedy: a false one may come late."""
QUICK_LASTS_S = 75.0
"""Longer than the `for:` of a minute that the most urgent alerts have."""
QUICK_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class AlertScenario:
    """One fault, in a region of its own, or (`wide`) in the whole fleet."""

    id: str
    fault: Fault
    what: str
    expected: Expected
    lasts_s: float
    shape: PoolShape = ONE
    wide: bool = False
    after_s: float = AFTER_S


def _scenario(
    name: str,
    fault: Fault,
    expected: Expected,
    lasts_s: float,
    *,
    what: str = "",
    shape: PoolShape = ONE,
    wide: bool = False,
) -> AlertScenario:
    return AlertScenario(name, fault, what or (fault.__doc__ or "").strip(), expected, lasts_s, shape, wide)


_LLM = ("ProviderTimeouts", "ProviderErrors")

SCENARIOS: tuple[AlertScenario, ...] = (
    _scenario("worker-kill9", faults.worker_kill9, NONE, 60.0, shape=TWO),
    _scenario("worker-sigstop", faults.worker_sigstop, NONE, 90.0, shape=TWO),
    _scenario("livekit-killed", faults.livekit_killed, Expected("DependencyDown", 30.0, ("livekit",)), 180.0),
    _scenario(
        "redis-stopped",
        faults.redis_stopped,
        Expected("DependencyDown", 30.0, ("redis",), most_starts=5),
        600.0,
        wide=True,
    ),
    _scenario("controller-stopped", faults.controller_stopped, Expected("ControllerMissing", 120.0), 180.0, wide=True),
    _scenario("beyond-maximum", faults.beyond_maximum, Expected("CallsRefused", 120.0), 180.0, shape=FULL),
    _scenario(
        "llm-hang",
        faults.provider("llm", "hang"),
        Expected("TurnsFailing", 120.0, ("llm", "timeout"), _LLM),
        180.0,
        what="Every request to the LLM hangs.",
    ),
    _scenario(
        "llm-refuse",
        faults.provider("llm", "refuse"),
        Expected("TurnsFailing", 120.0, ("llm", "refused"), _LLM),
        180.0,
        what="Every request to the LLM is refused.",
    ),
    _scenario("bad-module", faults.bad_module, Expected("WorkersDoNotStart", 120.0, (), ("RegionNoWorkers",)), 180.0),
)
STANDS: tuple[tuple[str, ...], ...] = (
    ("worker-kill9", "worker-sigstop", "livekit-killed", "redis-stopped", "controller-stopped"),
    ("beyond-maximum", "llm-hang", "llm-refuse", "bad-module"),
)
"""Which scenarios share a fleet: those of a region at the same time, each in its own, then the wide ones."""
QUICK = ("redis-stopped",)


def chosen(only: Sequence[str], *, quick: bool) -> list[list[AlertScenario]]:
    """The scenarios to run, a list for each stand: those named, else all, or with `quick` a few.

    Raises:
        ConfigError: a name that no scenario has.
    """
    known = {scenario.id: scenario for scenario in SCENARIOS}
    for name in only:
        if name not in known:
            raise ConfigError("no such fault", field="--only", value=name, hint=nearest(name, list(known)))
    wanted = only or (QUICK if quick else tuple(known))
    stands = [[known[name] for name in stand if name in wanted] for stand in STANDS]
    if quick:
        stands = [[replace(s, lasts_s=QUICK_LASTS_S, after_s=QUICK_AFTER_S) for s in stand] for stand in stands]
    return [stand for stand in stands if stand]
