"""Several policies on one trace in one world, and each baseline at its best buffer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.parsing.listed import listed
from voicefleet.contract.pools import PoolSpec
from voicefleet.scaling.policies import DEFAULT, SELECTABLE
from voicefleet.simulator.baselines.base import Baseline
from voicefleet.simulator.baselines.catalogue import BASELINES
from voicefleet.simulator.engine import run
from voicefleet.simulator.outcome import Outcome, live_calls, oracle_hours
from voicefleet.simulator.voicefleet_policy import VoicefleetPolicy
from voicefleet.simulator.world import World
from voicefleet.traffic.traces import Trace

VOICEFLEET, ORACLE = "voicefleet", "oracle"
OTHER_POLICIES = {f"{VOICEFLEET}-{name}": name for name in SELECTABLE if name != DEFAULT}
"""voicefleet with another policy than its default, by the name it has in a comparison."""
BUFFER, SCALE_DOWN_DELAY_S = 2, 300.0
"""The controller's defaults."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Swept:
    """One baseline with its knob at every value that was tried."""

    policy: str
    knob: str
    tried: tuple[tuple[int, Outcome], ...]

    def best(self, allowed: float) -> tuple[int, Outcome] | None:
        """The cheapest that keeps the promise: waits within `allowed`, nobody killed; None when none does."""
        good = [(v, o) for v, o in self.tried if o.wait_ratio <= allowed and not o.killed]
        return min(good, key=lambda pair: pair[1].cost_ratio, default=None)


@dataclass(frozen=True, slots=True)
class Comparison:
    trace: Trace
    world: World
    allowed: float
    oracle_hours: float
    outcomes: tuple[Outcome, ...]
    swept: tuple[Swept, ...] = ()


def all_policies() -> tuple[str, ...]:
    """The names that `all` stands for: voicefleet with its default policy, other systems, and the oracle."""
    return (VOICEFLEET, *BASELINES, ORACLE)


def known_policies() -> tuple[str, ...]:
    """The names that `policies_of` takes, `all` aside."""
    return (VOICEFLEET, *OTHER_POLICIES, *BASELINES, ORACLE)


def policies_of(text: str) -> tuple[str, ...]:
    """Names from ``all`` or a list ``a,b``. Raises `ConfigError` that lists the known ones."""
    if text.strip() == "all":
        return all_policies()
    names = tuple(dict.fromkeys(listed(text)))
    unknown = [name for name in names if name not in known_policies()]
    if unknown or not names:
        raise ConfigError(
            "no such policy" if unknown else "names no policy",
            field="--policies",
            value=unknown[0] if unknown else text,
            hint=f"Known: all, {', '.join(known_policies())}.",
        )
    return names


def compare(
    trace: Trace,
    world: World,
    policies: Sequence[str],
    *,
    allowed: float = 0.001,
    sweep: bool = False,
    say: Progress = lambda _: None,
) -> Comparison:
    """Play `trace` once with each policy, all in the same world, and with `sweep` each baseline at many buffers."""
    least = oracle_hours(trace, world.slots)
    outcomes = []
    for name in policies:
        say(name)
        outcomes.append(play(trace, world, name, allowed, least))
    swept = []
    for name in policies if sweep else ():
        if name in BASELINES:
            say(f"{name}, sweeping")
            swept.append(sweep_one(trace, world, name, allowed, least))
    return Comparison(trace, world, allowed, least, tuple(outcomes), tuple(swept))


def play(trace: Trace, world: World, name: str, allowed: float, least: float | None = None) -> Outcome:
    """One policy at its defaults."""
    if name == ORACLE:
        return _oracle(trace, world)
    if name == VOICEFLEET or name in OTHER_POLICIES:
        spec = voicefleet_spec(world, allowed, OTHER_POLICIES.get(name, DEFAULT))
        return run(world, trace, VoicefleetPolicy(spec, name=name), oracle=least)
    return play_baseline(trace, world, name, BASELINES[name].default(world, trace), least)


def voicefleet_spec(world: World, allowed: float, policy: str = DEFAULT) -> PoolSpec:
    """The settings of voicefleet's pool in `world`: the controller's defaults, and the world's bounds."""
    return PoolSpec(
        region="simulated",
        min_workers=world.min_workers,
        max_workers=world.max_workers,
        slots=world.slots,
        buffer=BUFFER,
        scale_down_delay_s=SCALE_DOWN_DELAY_S,
        policy=policy,
        wait_ratio=allowed,
    )


def sweep_one(trace: Trace, world: World, name: str, allowed: float, least: float | None = None) -> Swept:
    """A baseline over its knob's values on one trace."""
    return sweep(name, trace, world, lambda value: play_baseline(trace, world, name, value, least), allowed)


def sweep(name: str, trace: Trace, world: World, play_at: Callable[[int], Outcome], allowed: float) -> Swept:
    """A baseline over its knob's values, from careful to cheap, and finer around the best one.

    Args:
        trace: where the values are taken from.
        play_at: plays the baseline with its knob at a value.
    """
    kind = BASELINES[name]
    tried: dict[int, Outcome] = {}
    for value in kind.values(world, trace):
        tried[value] = play_at(value)
        # Values go from careful to cheap: once half the callers of a promise ten times as loose wait, none will do.
        if tried[value].wait_ratio > 20 * allowed:
            break
    found = Swept(name, kind.knob, tuple(sorted(tried.items()))).best(allowed)
    if found is not None:
        for value in _between(found[0], sorted(tried)):
            tried[value] = play_at(value)
    return Swept(name, kind.knob, tuple(sorted(tried.items())))


def _between(best: int, tried: list[int]) -> list[int]:
    """Values half way from the best one to its neighbours."""
    place = tried.index(best)
    near = [tried[i] for i in (place - 1, place + 1) if 0 <= i < len(tried)]
    return [m for m in ((best + n) // 2 for n in near) if m not in tried]


def play_baseline(trace: Trace, world: World, name: str, value: int, least: float | None = None) -> Outcome:
    """One baseline with its knob at `value`."""
    return run(world, trace, Baseline(lambda: BASELINES[name].make(value), world), oracle=least)


def _oracle(trace: Trace, world: World) -> Outcome:
    """A policy that knows the future and moves calls for free."""
    hours = oracle_hours(trace, world.slots)
    _, live = live_calls(trace)
    workers = np.ceil(live / world.slots)
    return Outcome(
        policy=ORACLE,
        offered=len(trace),
        waited=0,
        wait_p99_s=0.0,
        lost=0,
        killed=0,
        worker_hours=hours,
        cost_ratio=1.0 if hours else math.inf,
        scale_actions=int(np.count_nonzero(np.diff(workers))),
        drain_hours=0.0,
    )
