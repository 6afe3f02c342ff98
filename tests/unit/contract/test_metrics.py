"""The catalogue's own rules: names, units, labels, and how many series there can be."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from types import ModuleType

import pytest

from voicefleet.contract import metrics
from voicefleet.contract.decisions import DecisionInputs
from voicefleet.contract.metrics import MOST_VALUES, Metric, callers, controller, exports, http, worker
from voicefleet.contract.metrics.quantiles import bucket_quantile
from voicefleet.controller.calls.liveness import Reason
from voicefleet.controller.calls.probe import ProbeResult
from voicefleet.controller.waiting_message.protocol import Result
from voicefleet.scaling import Reason as Why
from voicefleet.scaling import SupplyState
from voicefleet.worker.conversation.transcript import Loss
from voicefleet.worker.dead_air.detector import Reason as Silence
from voicefleet.worker.server.admission import Answer

pytestmark = pytest.mark.unit

TREE = Path(__file__).resolve().parents[3]

_LABELS = """agent answer currency dependency direction hook kind outcome phase pool provider reason receiver region
    result route signal source stage state status tier version why worker"""
ALLOWED_LABELS = frozenset(_LABELS.split())


def test_labels_are_of_the_allowed_ones_and_bounded() -> None:
    for metric in metrics.CATALOGUE:
        assert set(metric.labels) <= ALLOWED_LABELS, metric.name
        for label in metric.labels:
            assert label in metric.values or label in MOST_VALUES, f"{metric.name}: {label} has no bound"
        assert set(metric.values) <= set(metric.labels), metric.name


def test_a_name_ends_with_its_unit() -> None:
    for metric in metrics.CATALOGUE:
        for unit in ("seconds", "ratio"):
            assert metric.name.endswith(f"_{unit}") == (metric.unit == unit), metric.name
        assert not metric.name.endswith(("_ms", "_percent", "_total"))
        assert metric.help.endswith(".")


def test_a_pod_has_a_bounded_number_of_series() -> None:
    assert metrics.most_series(metrics.WORKER) <= metrics.WORKER_SERIES_MOST
    # For all of its regions together; below `serviceMonitor.sampleLimit` of the chart, which would refuse the scrape.
    assert metrics.most_series(metrics.CONTROLLER) <= 7_000


@pytest.mark.parametrize(
    ("module", "component"),
    [(callers, "loadtest"), (controller, "controller"), (worker, "worker"), (exports, "worker"), (http, "worker")],
)
def test_every_metric_is_recorded_by_code_that_names_it(module: ModuleType, component: str) -> None:
    files = (p for p in (TREE / component / "voicefleet").rglob("*.py") if p.parent.name != "metrics")
    code = "\n".join(p.read_text() for p in files)
    named = {name: value for name, value in vars(module).items() if isinstance(value, Metric)}
    assert set(named.values()) <= set(metrics.CATALOGUE)
    assert [name for name in named if not re.search(rf"[.(]{name}\b", code)] == []


def test_the_closed_sets_are_those_of_the_code() -> None:
    assert set(worker.JOB_REQUESTS.values["answer"]) == {a.value for a in Answer}
    assert set(worker.TRANSCRIPT_LOST.values["reason"]) == {loss.value for loss in Loss} | {"other"}
    assert set(worker.APOLOGIES.values["reason"]) == {r.value for r in Silence} | {"other"}
    assert set(controller.PROBES.values["result"]) == {w.value for w in ProbeResult}
    assert set(controller.WAITING_MESSAGES.values["result"]) == {r.value for r in Result}
    assert set(controller.WORKERS.values["state"]) == {s.value for s in SupplyState}
    assert set(controller.RECOVERIES.values["reason"]) == {r.value for r in Reason if r.value} | {"no_claim"}


def test_open_sets_of_labels_have_room_for_what_the_code_names() -> None:
    assert len(Why) <= MOST_VALUES["reason"]
    assert len(dataclasses.fields(DecisionInputs)) <= MOST_VALUES["signal"]


@pytest.mark.parametrize(
    ("sample", "labels", "why"),
    [
        ("voicefleet_turns_total", {"outcome": "completed"}, ""),
        ("voicefleet_turns_total", {"outcome": "odd"}, "not one of"),
        ("voicefleet_turns_total", {"outcome": "completed", "room": "x"}, "has the labels"),
        ("voicefleet_slots", {}, ""),
        ("voicefleet_made_up", {}, "not in the catalogue"),
        ("voicefleet_call_rtt_seconds_bucket", {"le": "1.0"}, ""),
        ("voicefleet_call_rtt_seconds_sum", {"le": "1.0"}, "has the labels"),
    ],
)
def test_a_series_outside_the_catalogue_is_refused(sample: str, labels: dict[str, str], why: str) -> None:
    found = metrics.refusal(sample, labels)
    assert (why in found) if why else not found


def test_quantiles_lie_within_their_bucket() -> None:
    assert bucket_quantile((1.0, 2.0), (0, 0, 0), 0.5) is None
    assert bucket_quantile((1.0, 2.0), (10, 0, 0), 0.5) == pytest.approx(0.5)
    assert bucket_quantile((1.0, 2.0), (5, 5, 0), 0.75) == pytest.approx(1.5)
    assert bucket_quantile((1.0, 2.0), (0, 0, 4), 0.5) == 2.0
