"""What job processes say becomes counters with closed sets of labels."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from voicefleet.worker.dead_air.detector import Reason
from voicefleet.worker.telemetry.metrics import WorkerMetrics

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        (
            {"kind": "provider_failure", "stage": "llm", "how": "refused"},
            "voicefleet_provider_failures_total",
            {"stage": "llm", "kind": "refused"},
        ),
        (
            {"kind": "provider_failure", "stage": ["x"], "how": {"room": 1}},
            "voicefleet_provider_failures_total",
            {"stage": "other", "kind": "other"},
        ),
        ({"kind": "fallback", "stage": "tts"}, "voicefleet_fallbacks_total", {"stage": "tts"}),
        ({"kind": "apology", "reason": "greeting"}, "voicefleet_apologies_total", {"reason": "greeting"}),
        ({"kind": "apology", "reason": "room-17"}, "voicefleet_apologies_total", {"reason": "other"}),
        ({"kind": "apology", "reason": "unheard"}, "voicefleet_turns_total", {"outcome": "error"}),
        ({"kind": "who knows"}, "voicefleet_observations_dropped_total", {}),
    ],
)
def test_lines_are_counted(line: dict[str, Any], name: str, labels: dict[str, str]) -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry, frozenset({"fast"})).observed(1, line)
    assert registry.get_sample_value(name, labels) == 1


def test_only_an_unanswered_turn_is_an_error() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry, frozenset())
    for reason in Reason:
        metrics.observed(1, {"kind": "apology", "reason": reason.value})
    assert registry.get_sample_value("voicefleet_turns_total", {"outcome": "error"}) == 2
