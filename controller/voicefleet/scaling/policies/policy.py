"""What a scaling policy is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voicefleet.scaling.decision import Need, Reason
from voicefleet.scaling.observation import PoolObservation
from voicefleet.scaling.policy_state import PolicyState


@dataclass(frozen=True, slots=True)
class Policy:
    """A scaling policy. Settings, chart, command line and simulator take its name from the registry, `POLICIES`.

    Attributes:
        name: in the settings.
        summary: one sentence for the documentation of settings and chart; a setting in it stands in backquotes.
        need: from what it learned and an observation to the same and the workers that the pool needs.
        not_reckoned: names of the `DecisionInputs` that it never tells.
        reason: of a decision that no guardrail changed.
        delays_scale_down: it scales down as soon as less is needed, so the guardrail waits for `scale_down_delay_s`.
        forecasts: it learns arrivals and start times, so it is given time to learn, and late starts are made up for.
        selectable: by the pool's `policy`; else by its `mode`.
    """

    name: str
    summary: str
    need: Callable[[PolicyState, PoolObservation], tuple[PolicyState, Need]]
    not_reckoned: frozenset[str]
    reason: Reason = Reason.CALLS
    delays_scale_down: bool = False
    forecasts: bool = False
    selectable: bool = True
