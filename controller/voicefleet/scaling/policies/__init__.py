"""Scaling policies, one file each, and the registry of them: a policy that is not in `POLICIES` does not exist."""

from __future__ import annotations

from voicefleet.scaling.policies.buffer import BUFFER
from voicefleet.scaling.policies.fixed import FIXED
from voicefleet.scaling.policies.policy import Policy
from voicefleet.scaling.policies.predictive import PREDICTIVE

POLICIES: dict[str, Policy] = {policy.name: policy for policy in (PREDICTIVE, BUFFER, FIXED)}
DEFAULT = PREDICTIVE.name
SELECTABLE: tuple[str, ...] = tuple(name for name, policy in POLICIES.items() if policy.selectable)

__all__ = ["DEFAULT", "POLICIES", "SELECTABLE", "Policy"]
