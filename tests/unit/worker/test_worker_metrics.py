"""Observations of the jobs become metrics with closed sets of labels, and no part of that way can be forgotten."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import voicefleet.worker
from voicefleet.contract.metrics import Metric
from voicefleet.contract.metrics import worker as catalogue
from voicefleet.contract.spans import SpanRecord, TraceContext
from voicefleet.worker.telemetry import observations
from voicefleet.worker.telemetry.metrics import WorkerMetrics
from voicefleet.worker.telemetry.observations import (
    KINDS,
    ApologySpoken,
    Fallback,
    Interruption,
    Observation,
    ProviderFailure,
    Setup,
    Span,
    StageTiming,
    Turn,
    decode,
    encode,
)

pytestmark = pytest.mark.unit

OF_THE_WORKER_ITSELF = {
    catalogue.SLOTS,
    catalogue.WORKER_INFO,
    catalogue.CALLS_ACTIVE,
    catalogue.JOB_REQUESTS,
    catalogue.WORKER_STARTUP,
    catalogue.REPORT_FAILURES,
    catalogue.OBSERVATIONS_DROPPED,
    catalogue.TIER_LEVEL,
    catalogue.TIER_STEPS,
    catalogue.WORKER_CPU,
}
"""Metrics that no job has a part in."""


def example(kind: type[Any]) -> Any:
    """A value of the dataclass `kind` with every field filled, whose labels are of their metric's closed sets."""
    metric: Metric | None = getattr(kind, "metric", None)
    hints = typing.get_type_hints(kind)
    values = {
        f.name: value_of(hints[f.name], metric.values.get(f.name, ("stt",))[0] if metric else "stt")
        for f in dataclasses.fields(kind)
    }
    return kind(**values)


def value_of(hint: Any, text: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated or origin in (types.UnionType, typing.Union):
        return value_of(args[0], text)
    if origin is tuple:
        return (value_of(args[0], text),)
    if origin is typing.Literal:
        return args[0]
    if origin is not None and issubclass(origin, Mapping):
        return {"a": 1}
    if dataclasses.is_dataclass(hint):
        return example(typing.cast("type[Any]", hint))
    return {str: text, float: 1.0, int: 1, bool: True}[hint]


def made(tiers: frozenset[str] = frozenset({"fast"})) -> tuple[WorkerMetrics, CollectorRegistry, list[SpanRecord]]:
    registry, spans = CollectorRegistry(), list[SpanRecord]()
    metrics = WorkerMetrics(registry, tiers)
    metrics.emit = spans.append
    return metrics, registry, spans


def series(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(s.name, tuple(s.labels.items())): s.value for family in registry.collect() for s in family.samples}


def moved_by(kind: type[Observation]) -> set[str]:
    """The families that one observation of `kind` changes."""
    metrics, registry, spans = made()
    before = series(registry)
    metrics.observed(1, decode(encode(example(kind))))
    after = series(registry)
    changed = {name for name, value in after.items() if value != before.get(name, 0.0)}
    families = {f.name for f in registry.collect() for s in f.samples if (s.name, tuple(s.labels.items())) in changed}
    return families | {"spans"} if spans else families


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_an_observation_arrives_as_it_was_sent(kind: type[Observation]) -> None:
    assert decode(encode(example(kind))) == example(kind)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_observation_is_counted(kind: type[Observation]) -> None:
    moved = moved_by(kind)
    assert moved, "no metric counts it: give it a `metric`, or a method in telemetry.metrics"
    assert catalogue.OBSERVATIONS_DROPPED.name not in moved


def test_every_metric_of_a_call_has_an_observation() -> None:
    moved = set[str]().union(*(moved_by(kind) for kind in KINDS.values()))
    metrics = {metric for metric in vars(catalogue).values() if isinstance(metric, Metric)}
    assert {m.name for m in metrics - OF_THE_WORKER_ITSELF} == moved - {"spans"}


def test_every_kind_of_observation_is_sent() -> None:
    folder = Path(voicefleet.worker.__path__[0])
    sources = [p.read_text() for p in folder.rglob("*.py") if str(p) != observations.__file__]
    unsent = [name for name in KINDS if not any(re.search(rf"(?<!class )\b{name}\(", text) for text in sources)]
    assert unsent == []


@pytest.mark.parametrize(
    ("observation", "name", "labels"),
    [
        (
            ProviderFailure("llm", "refused"),
            "voicefleet_provider_failures_total",
            {"stage": "llm", "kind": "refused"},
        ),
        (ProviderFailure("x", "room-1"), "voicefleet_provider_failures_total", {"stage": "other", "kind": "other"}),
        (Fallback("tts"), "voicefleet_fallbacks_total", {"stage": "tts"}),
        (ApologySpoken("greeting"), "voicefleet_apologies_total", {"reason": "greeting"}),
        (ApologySpoken("room-17"), "voicefleet_apologies_total", {"reason": "other"}),
        (Turn("fast", "room-17"), "voicefleet_turns_total", {"outcome": "error"}),
        (
            Turn("room-17", "completed", ttfa_s=0.5),
            "voicefleet_turn_ttfa_seconds_count",
            {"agent": "voicefleet", "tier": "other"},
        ),
        (
            Turn("fast", "completed", stages=(StageTiming("llm_ttft", "Some Provider!", 0.2),)),
            "voicefleet_turn_stage_duration_seconds_count",
            {"stage": "llm_ttft", "provider": "some-provider-"},
        ),
        (Interruption("room-17"), "voicefleet_observations_dropped_total", {}),
        (Setup("room-17", 1.0), "voicefleet_observations_dropped_total", {}),
    ],
)
def test_a_label_is_of_its_closed_set(observation: Observation, name: str, labels: dict[str, str]) -> None:
    metrics, registry, _ = made()
    metrics.observed(1, observation)
    assert registry.get_sample_value(name, labels) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"Setup",
        b"WhoKnows {}",
        b"Observation {}",
        b'Setup {"result":"ok"}',
        b'Setup {"result":"ok","seconds":true}',
        b'Setup {"result":"ok","seconds":-1}',
        b'Setup {"result":"ok","seconds":NaN}',
        b'Setup {"result":["x"],"seconds":1}',
        b'Span {"record":{"name":"x"}}',
        b"\xff\xfe {}",
    ],
)
def test_what_is_no_observation_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        decode(line)


def test_fields_of_a_later_release_are_ignored() -> None:
    assert decode(b'Fallback {"stage":"tts","later":1}') == Fallback("tts")


def test_a_span_arrives_with_its_attributes() -> None:
    attributes: dict[str, str | int | float | bool] = {"n": 1, "s": "x", "b": True, "f": 0.5}
    span = SpanRecord("turn", TraceContext("a" * 32, "b" * 16), 1, 2, "c" * 16, "internal", attributes, "")
    assert decode(encode(Span(span))) == Span(span)


def test_every_tier_has_its_histogram_before_the_first_turn() -> None:
    _, registry, _ = made(frozenset({"fast", "rich"}))
    for tier in ("fast", "rich"):
        labels = {"agent": "voicefleet", "tier": tier}
        assert registry.get_sample_value("voicefleet_turn_ttfa_seconds_count", labels) == 0


def test_a_job_that_died_in_silence_is_silent_no_more() -> None:
    metrics, registry, _ = made()
    metrics.observed(1, observations.DeadAir(silent=True))
    metrics.observed(2, observations.DeadAir(silent=True))
    metrics.observed(2, observations.DeadAir(silent=False))
    assert metrics.silent_calls == registry.get_sample_value("voicefleet_calls_silent") == 1
    metrics.job_gone(1)
    assert metrics.silent_calls == registry.get_sample_value("voicefleet_calls_silent") == 0
    assert registry.get_sample_value("voicefleet_silences_total") == 2
