"""Scaling policies: each a function from an observation to a need, by the name the settings use."""

from __future__ import annotations

from collections.abc import Callable

from voicefleet.scaling.decision import Need
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies.buffer import buffer_need

Policy = Callable[[PoolObservation], Need]

POLICIES: dict[str, Policy] = {"buffer": buffer_need}
