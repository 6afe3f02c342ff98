"""Scaling policies by the name that settings use: each a function from its state and an observation to both a need."""

from __future__ import annotations

from collections.abc import Callable

from voicefleet.scaling.decision import Need
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies.buffer import buffer_need
from voicefleet.scaling.policies.fixed import fixed_need
from voicefleet.scaling.policies.predictive import predictive_need
from voicefleet.scaling.policy_state import PolicyState

Policy = Callable[[PolicyState, PoolObservation], tuple[PolicyState, Need]]

POLICIES: dict[str, Policy] = {"predictive": predictive_need, "buffer": buffer_need, "fixed": fixed_need}
