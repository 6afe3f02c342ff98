"""What is learned of a pool: how long calls last, how long workers take to start, how fast calls arrive, and how
far all of this fell short.

Each law is a value. Learning returns a new one, and each has a prior, so that a pool without a past can be scaled.
"""

from voicefleet.scaling.laws.arrivals import ArrivalLaw
from voicefleet.scaling.laws.durations import DurationLaw
from voicefleet.scaling.laws.shortage import Shortage
from voicefleet.scaling.laws.starts import StartLaw

__all__ = ["ArrivalLaw", "DurationLaw", "Shortage", "StartLaw"]
