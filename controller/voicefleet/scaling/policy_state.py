"""What a policy remembers of its pool from step to step, and what of it outlives the process.

Learning is by value: every observation gives a new state. What took hours to learn is dumped to JSON and loaded by
the next leader, so that it is not ignorant; a dump it cannot read is left aside, and it learns anew.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np

from voicefleet.scaling.estimators import ArrivalEstimator, DurationEstimator, ShortageEstimator, StartTimeEstimator
from voicefleet.scaling.estimators.arrivals import TIME_CONSTANTS_S
from voicefleet.scaling.estimators.durations import EDGES
from voicefleet.scaling.estimators.shortage import BINS, MOST
from voicefleet.scaling.forecast import LEAD, Tables
from voicefleet.scaling.observation import PoolObservation

REFIT_S = 60.0
"""Durations and start times change slowly: what depends on them is worked out anew so often."""
AGES_S = 10.0
"""The ages of calls are taken so often."""
FIRST_STARTS = 4
"""Until so many start times are known, each counts at once."""
FEW_CALLS = 3
"""Fewer calls than these are no rate."""
_VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class PolicyState:
    """Attributes:
    arrivals, durations, starts: the estimators so far; arrivals is None until the first are counted.
    at_s, arrived: time and count of the last observation in which the count of arrivals was known.
    ended_s: durations not learned yet.
    aged_s, refit_s: when ages were last taken, and the tables last made.
    tables: what depends only on durations and start times; None: not made yet.
    desired: what the policy wanted last.
    shortage: how far calls outgrew the ready slots, and the margin that follows.
    sigma: standard deviation of the calls by their own chance, in the last forecast; 0: none was made yet.
    """

    arrivals: ArrivalEstimator | None = None
    durations: DurationEstimator = field(default_factory=DurationEstimator.prior)
    starts: StartTimeEstimator = field(default_factory=StartTimeEstimator)
    at_s: float | None = None
    arrived: int | None = None
    ended_s: tuple[float, ...] = ()
    aged_s: float | None = None
    refit_s: float | None = None
    tables: Tables | None = None
    desired: int | None = None
    shortage: ShortageEstimator = field(default_factory=ShortageEstimator)
    sigma: float = 0.0

    def learn(self, observation: PoolObservation, *, reaction_s: float, scale_down_delay_s: float) -> PolicyState:
        """The state after one more observation. What is unknown in it teaches nothing."""
        now = observation.now_s
        arrivals, at_s, arrived = self.arrivals, self.at_s, self.arrived
        if observation.arrived is not None:
            # A count that went back was begun anew by another process.
            if arrived is not None and at_s is not None and observation.arrived >= arrived and now > at_s:
                arrivals = (arrivals or self._guess(observation)).learn(observation.arrived - arrived, now - at_s)
            at_s, arrived = now, observation.arrived
        shortage = self._shortage(observation, arrived)
        starts = self.starts.learn(observation.started_s) if observation.started_s else self.starts
        ended = (*self.ended_s, *observation.ended_s) if observation.ended_s else self.ended_s
        durations, aged_s = self.durations, self.aged_s
        if aged_s is None or now - aged_s >= AGES_S:
            if aged_s is not None and observation.ages_s is not None and now - aged_s <= 3 * AGES_S:
                durations = durations.learn(ended, observation.ages_s, now - aged_s)
            # Ends of a time in which nobody looked have no exposure to go with.
            ended, aged_s = (), now
        tables, refit_s = self.tables, self.refit_s
        due = tables is None or refit_s is None or now - refit_s >= max(REFIT_S, tables.horizons_s[LEAD])
        # The first starts ever say at once whether it takes seconds or minutes, which nobody could know before.
        if due or (len(self.starts.seen_s) < FIRST_STARTS and starts is not self.starts):
            tables = Tables.of(durations, starts, reaction_s=reaction_s, scale_down_delay_s=scale_down_delay_s)
        if due:
            shortage = shortage.settle(observation.spec.wait_ratio)
            refit_s = now
        return PolicyState(
            arrivals,
            durations,
            starts,
            at_s,
            arrived,
            ended,
            aged_s,
            refit_s,
            tables,
            self.desired,
            shortage,
            self.sigma,
        )

    def _shortage(self, observation: PoolObservation, arrived: int | None) -> ShortageEstimator:
        """What the calls since the last observation met; nothing while it is not the calls that are to blame."""
        calls = observation.calls
        if calls is None or arrived is None or self.arrived is None or arrived <= self.arrived or not self.sigma:
            return self.shortage
        if not observation.complete or observation.supply >= observation.spec.max_workers:
            return self.shortage
        over = calls - (len(observation.workers) - len(observation.others)) * observation.spec.slots
        if over >= 0 and any(w.stuck or w.lost for w in observation.others):
            return self.shortage
        return self.shortage.learn(arrived - self.arrived, over, self.sigma)

    def _guess(self, observation: PoolObservation) -> ArrivalEstimator:
        """In a pool in balance calls arrive as fast as they end."""
        return ArrivalEstimator.guess((observation.least_calls or 0) / self.durations.mean_s)

    def arrival_estimator(self, observation: PoolObservation) -> ArrivalEstimator:
        """What is known of the arrivals, or the guess."""
        arrivals, arrived = self.arrivals or self._guess(observation), observation.arrived or 0
        # Calls that were there before we looked make a guess of their own.
        new = arrived < FEW_CALLS and (observation.least_calls or 0) <= arrived
        return arrivals.while_new() if new else arrivals

    def wanting(self, desired: int, sigma: float) -> PolicyState:
        """The same, with what the policy wants now, and the standard deviation of its forecast, in calls."""
        return PolicyState(
            self.arrivals, self.durations, self.starts, self.at_s, self.arrived, self.ended_s, self.aged_s,
            self.refit_s, self.tables, desired, self.shortage, sigma,
        )  # fmt: skip


def dump(state: PolicyState) -> str:
    """What the next leader should know, as JSON. Times on this process's clock are left out."""
    arrivals, durations = state.arrivals or ArrivalEstimator(), state.durations
    return json.dumps(
        {
            "v": _VERSION,
            "shapes": arrivals.shapes,
            "times_s": arrivals.times_s,
            "weights": arrivals.weights,
            "peakedness": arrivals.peakedness,
            "peak_mass": arrivals.peak_mass,
            "dispersion": arrivals.dispersion,
            "spread_mass": arrivals.spread_mass,
            "ends": [round(float(x), 4) for x in durations.ends],
            "exposure_s": [round(float(x), 2) for x in durations.exposure_s],
            "starts_s": state.starts.seen_s,
            "met": state.shortage.met,
            "met_calls": state.shortage.calls,
            "met_squares": state.shortage.squares,
            "margin": state.shortage.margin,
        },
        separators=(",", ":"),
    )


def load(text: str) -> PolicyState | None:
    """The state in `text`; None when it is not one of this version."""
    try:
        raw = json.loads(text)
        if raw["v"] != _VERSION:
            return None
        shapes, times, weights = (tuple(map(float, raw[k])) for k in ("shapes", "times_s", "weights"))
        ends, exposure = np.array(raw["ends"], dtype=np.float64), np.array(raw["exposure_s"], dtype=np.float64)
        peak, mass = float(raw["peakedness"]), float(raw["peak_mass"])
        spread, spread_mass = float(raw["dispersion"]), float(raw["spread_mass"])
        starts = StartTimeEstimator().learn(map(float, raw["starts_s"]))
        met, met_calls, margin = tuple(map(float, raw["met"])), float(raw["met_calls"]), float(raw["margin"])
        squares = float(raw.get("met_squares", 0.0))  # what an older release left has none
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    positive = all(0 < x < math.inf for x in (*shapes, *times, *weights, peak, mass, spread, spread_mass))
    sizes = (
        len(shapes) == len(times) == len(weights) == len(TIME_CONSTANTS_S)
        and ends.shape == exposure.shape == EDGES.shape
    )
    if not (positive and sizes and (ends >= 0).all() and (exposure >= 0).all()):
        return None
    if len(met) != BINS or not all(0 <= x < math.inf for x in (*met, met_calls, squares)) or not 0 <= margin <= MOST:
        return None
    arrivals = ArrivalEstimator(shapes, times, weights, peak, mass, dispersion=spread, spread_mass=spread_mass)
    shortage = ShortageEstimator(met, met_calls, margin, margin, squares=squares)
    return PolicyState(
        arrivals=arrivals, durations=DurationEstimator.of(ends, exposure), starts=starts, shortage=shortage
    )
