"""Campaigns: rises of the rate that somebody announced, so that their workers are ready when they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from voicefleet.scaling.estimators import ArrivalEstimator
from voicefleet.scaling.observation import Campaign

AHEAD_S = 10.0
"""A campaign counts so long before it begins: its workers are to be there, not only on their way."""


def announced(
    campaigns: Sequence[Campaign], now_s: float, horizons_s: Sequence[float], arrivals: ArrivalEstimator
) -> tuple[float, ...]:
    """Mean calls per second, until each horizon, that the learned rate does not show yet; empty: none.

    While a campaign runs the filters learn of it; what they have learned is not counted twice. The slowest filter
    stands for the rate without it.
    """
    campaigns = [replace(c, start_s=c.start_s - AHEAD_S) for c in campaigns]
    near = [c for c in campaigns if c.start_s < now_s + horizons_s[-1] and c.end_s > now_s]
    if not near:
        return ()
    rate = arrivals.moments()[0]
    usual = min(rate, arrivals.shapes[-1] / arrivals.times_s[-1])
    found = []
    for horizon_s in horizons_s:
        until_s = now_s + horizon_s
        expected = sum(c.rate * max(0.0, min(c.end_s, until_s) - max(c.start_s, now_s)) / horizon_s for c in near)
        found.append(max(0.0, usual + expected - rate))
    return tuple(found)
