"""Other systems' policies by name. Each has one knob, which `--sweep` turns: mostly its buffer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from voicefleet.simulator.baselines import hpa
from voicefleet.simulator.baselines.agones import CounterBuffer
from voicefleet.simulator.baselines.base import Policy
from voicefleet.simulator.baselines.knative import Kpa
from voicefleet.simulator.baselines.simple import DelayedOff, PipecatReserve, RateTimesStart, Static
from voicefleet.simulator.outcome import peak_within
from voicefleet.simulator.world import World
from voicefleet.traffic.traces import Trace


@dataclass(frozen=True, slots=True)
class BaselineKind:
    """A baseline and its knob.

    Attributes:
        make: the policy with the knob at a value.
        default: the knob's value as its makers ship it, or as their documents advise.
        knob: what the value is.
        values: what a sweep tries, from careful to cheap, for a trace in a world.
    """

    make: Callable[[int], Policy]
    default: Callable[[World, Trace], int]
    knob: str
    values: Callable[[World, Trace], tuple[int, ...]]


def _fixed(value: int) -> Callable[[World, Trace], int]:
    return lambda world, trace: value


def _buffers(world: World, trace: Trace) -> tuple[int, ...]:
    """Buffers from half a worker to what covers the arrivals of a slow start seven times over."""
    rate = len(trace) / max(float(trace.arrivals_s[-1]), 1.0)
    most = max(3 * world.slots, math.ceil(4 * rate * world.start_p50_s))
    count = 9
    ratio = (most / (world.slots / 2)) ** (1 / (count - 1))
    return tuple(sorted({math.ceil(world.slots / 2 * ratio**i) for i in range(count)}, reverse=True))


def _percents(*values: int) -> Callable[[World, Trace], tuple[int, ...]]:
    return lambda world, trace: values


def _peak_workers(world: World, trace: Trace) -> int:
    return math.ceil(peak_within(trace, math.inf) / world.slots) + 1


def _statics(world: World, trace: Trace) -> tuple[int, ...]:
    peak = _peak_workers(world, trace)
    return tuple(range(peak, max(peak - 8, 0), -1))


BASELINES: dict[str, BaselineKind] = {
    "hpa-cpu": BaselineKind(hpa.cpu, _fixed(80), "target CPU, %", _percents(20, 30, 40, 50, 60, 70, 80)),
    "keda": BaselineKind(hpa.keda, _fixed(10), "buffer, calls", _buffers),
    "dograh": BaselineKind(hpa.dograh, _fixed(10), "buffer, calls", _buffers),
    "knative": BaselineKind(Kpa, _fixed(70), "target concurrency, %", _percents(30, 40, 50, 60, 70, 75, 80, 85, 90)),
    "agones": BaselineKind(CounterBuffer, _fixed(10), "buffer, calls", _buffers),
    "pipecat": BaselineKind(PipecatReserve, _fixed(10), "baseline, calls", _buffers),
    "livekit": BaselineKind(hpa.livekit, _fixed(50), "target CPU, %", _percents(20, 30, 40, 50, 60, 70, 80)),
    "static": BaselineKind(Static, _peak_workers, "workers", _statics),
    "rate-x-start": BaselineKind(RateTimesStart, lambda w, t: math.ceil(w.start_p50_s), "start time, s",
                             lambda w, t: tuple(math.ceil(w.start_p50_s * f) for f in (8, 6, 4, 3, 2, 1))),
    "delayedoff": BaselineKind(DelayedOff, lambda w, t: math.ceil(w.start_p50_s), "idle time, s",
                           lambda w, t: tuple(math.ceil(w.start_p50_s * f) for f in (60, 30, 16, 8, 4, 2, 1))),
}  # fmt: skip
