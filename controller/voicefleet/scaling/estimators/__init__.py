"""What is learned of a pool: how long calls last, how long workers take to start, how fast calls arrive, and how
far all of this fell short.

Each law is a value. Learning returns a new one, and each has a prior, so that a pool without a past can be scaled.
"""

from voicefleet.scaling.estimators.arrivals import ArrivalLaw
from voicefleet.scaling.estimators.durations import DurationLaw
from voicefleet.scaling.estimators.shortage import Shortage
from voicefleet.scaling.estimators.starts import StartLaw

__all__ = ["ArrivalLaw", "DurationLaw", "Shortage", "StartLaw"]
