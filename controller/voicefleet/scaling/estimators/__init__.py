"""What is learned of a pool: how long calls last, how long workers take to start, how fast calls arrive, and how
far all of this fell short.

Each estimator is a value. Learning returns a new one, and each has a prior, so that a pool without a past can be
scaled.
"""

from voicefleet.scaling.estimators.arrivals import ArrivalEstimator
from voicefleet.scaling.estimators.durations import DurationEstimator
from voicefleet.scaling.estimators.shortage import ShortageEstimator
from voicefleet.scaling.estimators.starts import StartTimeEstimator

__all__ = ["ArrivalEstimator", "DurationEstimator", "ShortageEstimator", "StartTimeEstimator"]
