"""An example for Alertmanager: what an alert says already, others need not say again.

The rules themselves hold back what a missing dependency causes (`alert.Alert.caused_by`), so that they mean the same
without Alertmanager. This keeps quiet what they cannot: alerts over windows that reach back, and the lesser of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_REGION = ("cluster", "region")
_OF_FAILING_TURNS = (
    "AnswerBudgetBurn",
    "ResponseBudgetBurn",
    "Ttfa1500msBudgetBurn",
    "Ttfa800msBudgetBurn",
    "GreetingBudgetBurn",
    "ProviderErrors",
    "ProviderTimeouts",
    "CallsSilent",
)


def _named(*names: str) -> str:
    return f'alertname=~"{"|".join(f"Voicefleet{name}" for name in names)}"'


def _rule(source: Sequence[str], target: Sequence[str], equal: Sequence[str] = _REGION) -> dict[str, list[str]]:
    return {"source_matchers": list(source), "target_matchers": list(target), "equal": list(equal)}


def inhibition_file() -> Mapping[str, Any]:
    """The whole file. Add receivers and routes of your own."""
    down = _named("DependencyDown")
    return {
        "route": {"receiver": "default", "group_by": ["alertname", *_REGION]},
        "receivers": [{"name": "default"}],
        "inhibit_rules": [
            # A page makes the warning of the same objective needless.
            _rule(
                ['severity="critical"', 'class="slo"'], ['severity="warning"', 'class="slo"'], ("alertname", *_REGION)
            ),
            _rule([_named("Ttfa1500msBudgetBurn")], [_named("Ttfa800msBudgetBurn")]),
            # What a page of failing turns, or of refused callers, says already: who waits does for the same reason.
            _rule(
                [_named("TurnsFailing")],
                [_named(*_OF_FAILING_TURNS)],
            ),
            _rule([_named("CallsRefused")], [_named("AdmissionBudgetBurn", "HeadroomLow", "CallsWaiting")]),
            # Without LiveKit nothing works: no promise can be kept.
            _rule([down, 'dependency="livekit"'], ['class=~"slo|page"']),
            _rule(
                [down, 'dependency="livekit"'],
                [_named("HeadroomLow", "CallsLosingJobs", "HandoffsFailing", "TTFATelemetryMissing", "MOSLow")],
            ),
            # Redis tells who waits, and whose events are due; every caller is served all the same.
            _rule([down, 'dependency="redis"'], [_named("ReportsLost", "CallEventsLate", "HandoffsFailing")]),
            _rule([_named("RegionNoWorkers")], [_named("CallsWaiting", "HeadroomLow", "ScalerAtMax")]),
            _rule([_named("ScalerAtMax")], [_named("CallsWaiting", "HeadroomLow")]),
            _rule([_named("ControllerMissing")], [_named("ScalerStale", "NoLeader", "StateUnknown")], ("cluster",)),
        ],
    }
