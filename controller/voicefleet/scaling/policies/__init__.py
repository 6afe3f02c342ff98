"""Scaling policies: each a function from memory and an observation to memory and a need, by the name settings use."""

from __future__ import annotations

from collections.abc import Callable

from voicefleet.scaling.decision import Need
from voicefleet.scaling.memory import Memory
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies.buffer import buffer_need
from voicefleet.scaling.policies.fixed import fixed_need
from voicefleet.scaling.policies.predictive import predictive_need

Policy = Callable[[Memory, PoolObservation], tuple[Memory, Need]]

POLICIES: dict[str, Policy] = {"predictive": predictive_need, "buffer": buffer_need, "fixed": fixed_need}
