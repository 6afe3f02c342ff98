"""The fixed policy: as many workers as the settings say. What the calls teach is learned all the same."""

from __future__ import annotations

import dataclasses

from voicefleet.scaling.decision import Need, Reason
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policies.policy import Policy
from voicefleet.scaling.policies.predictive import predictive_need
from voicefleet.scaling.policy_state import PolicyState


def fixed_need(learned: PolicyState, observation: PoolObservation) -> tuple[PolicyState, Need]:
    """``spec.fixed``; the inputs say what the predictive policy would want."""
    learned, need = predictive_need(learned, observation)
    fixed = observation.spec.fixed
    would = "unknown" if need.workers is None else f"{need.workers}"
    inputs = dataclasses.replace(need.inputs, predictive=need.workers)
    return learned, Need(fixed, f"{fixed} by the settings; the predictive policy would want {would}", inputs)


FIXED = Policy(
    name="fixed",
    summary="`fixed_workers`, whatever the calls are.",
    need=fixed_need,
    not_reckoned=frozenset({"sure", "buffer"}),
    reason=Reason.FIXED,
    selectable=False,
)
