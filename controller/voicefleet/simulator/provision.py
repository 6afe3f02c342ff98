"""`voicefleet plan`: what a region needs to keep a promise on a trace, and what it costs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.pools import PoolSpec
from voicefleet.simulator.compare import voicefleet_spec
from voicefleet.simulator.engine import run
from voicefleet.simulator.outcome import Outcome, oracle_hours
from voicefleet.simulator.voicefleet_policy import VoicefleetPolicy
from voicefleet.simulator.world import World
from voicefleet.traffic.traces import Trace

MONTH_H = 730.0
_MOST = 1 << 16


@dataclass(frozen=True, slots=True)
class Promise:
    """`share` of the calls wait less than `within_s` seconds."""

    share: float = 0.999
    within_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError("not between 0 and 1", field="share", value=self.share, hint="Give e.g. 0.999.")
        if not 0 <= self.within_s < math.inf:
            raise ConfigError("not a time", field="within", value=self.within_s, hint="Give seconds, e.g. 2.")

    def kept(self, outcome: Outcome) -> bool:
        return outcome.wait_ratio <= 1 - self.share and not outcome.killed


@dataclass(frozen=True, slots=True)
class Provision:
    """What one region needs. Figures of the predictive policy; `buffer` is what the buffer policy would need instead.

    Attributes:
        min_workers, max_workers: the least bounds with which the promise is kept.
        buffer: the least buffer of the buffer policy with which it is, None: none found.
        nodes: machines for the most workers there were at once, draining ones included.
    """

    region: str
    kept: bool
    min_workers: int
    max_workers: int
    buffer: int | None
    nodes: int
    worker_hours: float
    wait_ratio: float
    cost: float
    """Of the trace, in the price's currency."""
    cost_month: float
    """The same rate for 730 hours."""


def provide(
    region: str, trace: Trace, world: World, promise: Promise, *, price: float, workers_per_node: int
) -> Provision:
    """The least that keeps `promise` on `trace`.

    Args:
        world: slots, start times and the rest; its bounds are what is looked for.
        price: of a worker-hour, >= 0.
        workers_per_node: >= 1.
    """
    if price < 0 or workers_per_node < 1:
        field, value = ("price", price) if price < 0 else ("workers_per_node", workers_per_node)
        raise ConfigError("too small", field=field, value=value, hint="Give a price >= 0 and at least one worker.")
    world = dataclasses.replace(world, wait_counts_s=max(promise.within_s, 1e-9), min_workers=0, max_workers=_MOST)
    least = oracle_hours(trace, world.slots)

    def ours(minimum: int, maximum: int = _MOST) -> Outcome:
        bounded = dataclasses.replace(world, min_workers=minimum, max_workers=maximum)
        return run(bounded, trace, VoicefleetPolicy(voicefleet_spec(bounded, 1 - promise.share)), oracle=least)

    free = ours(0)
    top = max((s.workers for s in free.samples), default=1)
    minimum = _least_value(0, top, lambda m: promise.kept(ours(m)))
    minimum_known = top if minimum is None else minimum
    chosen = ours(minimum_known)
    peak = max((s.workers for s in chosen.samples), default=1)
    maximum = _least_value(max(1, minimum_known), peak + 2, lambda m: promise.kept(ours(minimum_known, m))) or peak + 2
    final = ours(minimum_known, maximum)

    def buffered(buffer: int) -> bool:
        spec = PoolSpec(region, 0, _MOST, world.slots, buffer, 300.0)
        return promise.kept(run(world, trace, VoicefleetPolicy(spec), oracle=least))

    buffer = _least_value(0, 8 * world.slots + math.ceil(4 * trace.mean_live**0.5 * 4), buffered)
    span_h = float((trace.arrivals_s + trace.durations_s).max()) / 3600
    most = max((s.workers for s in final.samples), default=maximum)
    return Provision(
        region=region,
        kept=promise.kept(final),
        min_workers=minimum_known,
        max_workers=maximum,
        buffer=buffer,
        nodes=math.ceil(max(most, minimum_known) / workers_per_node),
        worker_hours=final.worker_hours,
        wait_ratio=final.wait_ratio,
        cost=final.worker_hours * price,
        cost_month=final.worker_hours / span_h * MONTH_H * price if span_h else 0.0,
    )


def _least_value(low: int, high: int, good: Callable[[int], bool]) -> int | None:
    """The least value in [low, high] that is good, by bisection: more never does worse but for luck; None: none is."""
    if good(low):
        return low
    if not good(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if good(middle):
            high = middle
        else:
            low = middle
    return high
