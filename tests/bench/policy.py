"""What the predictive policy costs and lets wait, cell by cell, on calls that nothing was tuned on; and baselines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.row import Row, say

from voicefleet.simulator.compare import ORACLE, VOICEFLEET, known_policies, play, play_baseline, sweep
from voicefleet.simulator.outcome import Outcome, oracle_hours, wilson_upper
from voicefleet.simulator.world import World
from voicefleet.traffic.durations import CallLaw
from voicefleet.traffic.profiles import DAY_S, generate, known_traffic
from voicefleet.traffic.traces import Trace

ALLOWED = 0.001
SEEDS = tuple(range(7001, 7021))
"""Those who wait are many at once: of five seeds one such hour makes or breaks a cell."""
DAY_SEEDS = SEEDS[:5]
CALLS = {24: 5_000, 120: 10_000, 480: 40_000}
"""Calls of one seed at each mean: ten hours at 24 live calls, four at 120 and at 480."""
TARGETS = {24: 1.50, 120: 1.22, 480: 1.10}
"""Of the cost over the least possible, on stationary and diurnal load."""
STEADY = ("stationary", "diurnal")
SWEEP_SEEDS = SEEDS[:5]
SWEEP_CALLS = {24: 5_000, 120: 5_000, 480: 10_000}


@dataclass(frozen=True, slots=True)
class Cell:
    """One traffic at one mean, all seeds together."""

    traffic: str
    mean_live: int
    offered: int
    waited: int
    killed: int
    cost_ratio: float

    @property
    def upper(self) -> float:
        """Upper end of the 95 % Wilson interval of the share that waited."""
        return wilson_upper(self.waited, self.offered)

    def missed(self) -> list[str]:
        """What it should have kept and did not."""
        said = []
        if self.upper > ALLOWED:
            said.append(f"{self.traffic}: {self.upper:.4f} wait")
        if self.killed:
            said.append(f"{self.traffic}: {self.killed} killed")
        if self.traffic in STEADY and self.cost_ratio > TARGETS[self.mean_live]:
            said.append(f"{self.traffic}: costs {self.cost_ratio:.3f}")
        return said


def cells(mean_live: int, quick: bool, command: str) -> Row:
    """Every traffic at `mean_live` calls in progress, twenty seeds each (quick: one, a fifth of the calls)."""
    return _table(f"policy_{mean_live}", mean_live, CALLS[mean_live], SEEDS, quick, command)


def days(mean_live: int, quick: bool, command: str) -> Row:
    """The same over a whole day each: what a pool that has learned its traffic costs, its ignorant hours included."""
    calls = round(DAY_S * mean_live / CallLaw().mean_s)
    return _table(f"policy_day_{mean_live}", mean_live, calls, DAY_SEEDS, quick, command)


def _table(name: str, mean_live: int, calls: int, seeds: Sequence[int], quick: bool, command: str) -> Row:
    if quick:
        seeds, calls = seeds[:1], calls // 5
    found = []
    for traffic in known_traffic():
        found.append(_cell(traffic, mean_live, calls, seeds))
        say(f"{traffic} {mean_live}: {_figures(found[-1])}")
    missed = [text for cell in found for text in cell.missed()]
    return Row(
        name=name,
        n=sum(cell.offered for cell in found),
        values={"seeds": list(seeds), "calls_a_seed": calls, "cells": {c.traffic: _figures(c) for c in found}},
        verdict="missed" if missed else "met",
        command=command,
        bound=ALLOWED,
        why="; ".join(missed),
    )


def _cell(traffic: str, mean_live: int, calls: int, seeds: Sequence[int]) -> Cell:
    ours = Runs.of(traffic, mean_live, calls, seeds).play(VOICEFLEET)
    return Cell(traffic, mean_live, ours.offered, ours.waited, ours.killed, ours.cost_ratio)


def _trace(traffic: str, mean_live: int, calls: int, seed: int) -> Trace:
    return generate(traffic, mean_live=mean_live, calls=calls, law=CallLaw(), seed=seed)


def _figures(cell: Cell) -> dict[str, float | int]:
    return {
        "offered": cell.offered,
        "waited": cell.waited,
        "wait_upper": round(cell.upper, 5),
        "killed": cell.killed,
        "cost_ratio": round(cell.cost_ratio, 4),
    }


@dataclass(frozen=True, slots=True)
class Runs:
    """The same traffic with several seeds."""

    traces: tuple[Trace, ...]
    worlds: tuple[World, ...]
    least: tuple[float, ...]
    """Worker-hours of the oracle."""

    @classmethod
    def of(cls, traffic: str, mean_live: int, calls: int, seeds: Sequence[int]) -> Runs:
        traces = tuple([_trace(traffic, mean_live, calls, seed) for seed in seeds])
        least = tuple([oracle_hours(trace, World().slots) for trace in traces])
        return cls(traces, tuple([World(seed=seed) for seed in seeds]), least)

    def play(self, name: str) -> Outcome:
        """All seeds together, with one policy at its defaults."""
        return self._together(lambda trace, world, least: play(trace, world, name, ALLOWED, least))

    def play_at(self, name: str, value: int) -> Outcome:
        """All seeds together, with one baseline's knob at `value`."""
        return self._together(lambda trace, world, least: play_baseline(trace, world, name, value, least))

    def _together(self, played: Callable[[Trace, World, float], Outcome]) -> Outcome:
        each = [played(*run) for run in zip(self.traces, self.worlds, self.least, strict=True)]
        hours = sum(o.worker_hours for o in each)
        return replace(
            each[0],
            offered=sum(o.offered for o in each),
            waited=sum(o.waited for o in each),
            killed=sum(o.killed for o in each),
            worker_hours=hours,
            cost_ratio=hours / sum(self.least),
        )


def rivals(mean_live: int, quick: bool, command: str) -> Row:
    """Whether a baseline that keeps it too is cheaper: at its default, or at the best value for all five seeds."""
    values, cheaper = {}, []
    seeds, calls = SWEEP_SEEDS, SWEEP_CALLS[mean_live]
    if quick:
        seeds, calls = seeds[:1], calls // 5
    for traffic in known_traffic()[:1] if quick else known_traffic():
        runs = Runs.of(traffic, mean_live, calls, seeds)
        ours, best = runs.play(VOICEFLEET), _best_rival(runs)
        figures: dict[str, float | str] = {"waited": ours.waited, "offered": ours.offered}
        figures["cost_ratio"] = round(ours.cost_ratio, 4)
        if best is not None:
            name, theirs = best
            figures |= {"rival": name, "rival_waited": theirs.waited, "rival_cost_ratio": round(theirs.cost_ratio, 4)}
            if theirs.cost_ratio < ours.cost_ratio:
                cheaper.append(f"{traffic}: {name} at {theirs.cost_ratio:.3f} against {ours.cost_ratio:.3f}")
        values[traffic] = figures
        say(f"{traffic} {mean_live}: {figures}")
    return Row(
        name=f"policy_rivals_{mean_live}",
        n=len(values),
        values={"seeds": list(seeds), "calls_a_seed": calls, "cells": values},
        verdict="missed" if cheaper else "met",
        command=command,
        why="; ".join(cheaper),
    )


def _best_rival(runs: Runs) -> tuple[str, Outcome] | None:
    """The cheapest baseline that keeps the promise: the upper end of the interval is within it. Its knob is
    turned with these very calls before its eyes."""
    found: list[tuple[str, Outcome]] = []
    for name in known_policies():
        if name in (VOICEFLEET, ORACLE):
            continue
        found.append((f"{name} (default)", runs.play(name)))
        swept = sweep(name, runs.traces[0], runs.worlds[0], functools.partial(runs.play_at, name), ALLOWED)
        found += [(f"{name} at {value}", outcome) for value, outcome in swept.tried]
    good = [(name, o) for name, o in found if o.wait_ratio_upper <= ALLOWED and not o.killed]
    return min(good, key=lambda pair: pair[1].cost_ratio, default=None)
