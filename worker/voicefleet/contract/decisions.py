"""What a scaling decision was made from: one value for policies, metrics, the API and the dashboards."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecisionInputs:
    """The numbers behind one decision. None: not known then, or not a number of this policy.

    Calls are counts, `_s` are seconds. A metric that shows one of these takes it by its name here, so a policy cannot
    tell it under another.
    """

    live: int | None = None
    waiting: int | None = None
    joining: int | None = None
    sure: int | None = None
    """Calls that are there for certain, while the others are unknown."""
    slots: int | None = None
    """Of one worker."""
    buffer: int | None = None
    """Free slots that the buffer policy keeps."""
    stay: float | None = None
    """Calls of now that are expected to be there when a new worker could be ready."""
    come: float | None = None
    """Calls expected to arrive until then."""
    lead_s: float | None = None
    """How far ahead the forecast looks."""
    wait_probability: float | None = None
    """Chance that a call which arrives at the end of the forecast finds no free slot; 0 to 1."""
    predictive: int | None = None
    """Workers that the predictive policy would want, where another one decides."""
    need: int | None = None
    """Workers that the policy asks for, before any guardrail."""
    recent_peak: int | None = None
    """The highest need within the scale-down delay, workers."""
    supply: int | None = None
    """Workers there are, the starting ones included."""
    wanted: int | None = None
    """Workers that guardrails made of the need, before bounds and rates."""

    def numbers(self) -> dict[str, float]:
        """Those that are known, by name."""
        named = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: float(value) for name, value in named if value is not None}
