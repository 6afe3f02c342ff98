"""Overdue: a worker that should be ready by now is not counted on, and another is asked for in its place."""

from __future__ import annotations

import math

from voicefleet.scaling.estimators import StartTimeEstimator
from voicefleet.scaling.observation import PoolObservation, SupplyState

_Z = 2.576
"""99.5 % of the starts seen were faster."""
_SHARE = 0.2


def overdue(starts: StartTimeEstimator, observation: PoolObservation) -> int:
    """How many starting workers are not to be counted on.

    At most a fifth of the pool, and at least one: if every start fails, more of the same does not help.
    """
    ages = [w.age_s for w in observation.others if w.state is SupplyState.STARTING and not w.stuck]
    if not ages:
        return 0
    late_s = starts.quantiles((_Z,))[0]
    late = sum(age > late_s for age in ages)
    return min(late, max(1, math.ceil(_SHARE * observation.supply)))
