"""From what Alertmanager showed to a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet.chaos.alerts.scenarios import SCENARIOS, STANDS, chosen
from voicefleet.chaos.alerts.timeline import Alarm, Expected, Look, Span, alarm, spans, verdict
from voicefleet.contract.errors import ConfigError
from voicefleet.dashboards.alerting.rules import rule_file

pytestmark = pytest.mark.unit

DOWN = Alarm("VoicefleetDependencyDown", "critical", "eu", "redis", muted=False)
MUTED = Alarm("VoicefleetReportsLost", "warning", "eu", "", muted=True)
LOUD = Alarm("VoicefleetReportsLost", "warning", "eu", "", muted=False)
FALSE = Alarm("VoicefleetRegionNoWorkers", "critical", "eu", "", muted=False)
ELSEWHERE = Alarm("VoicefleetCallsWaiting", "critical", "us", "", muted=False)
REDIS = Expected("DependencyDown", 30.0, ("redis",))


def looks(*shown: tuple[float, set[Alarm]]) -> list[Look]:
    return [Look(at_s, frozenset(alarms)) for at_s, alarms in shown]


def judged(*shown: tuple[float, set[Alarm]], expected: Expected = REDIS) -> dict[str, Any]:
    return verdict(spans(looks(*shown), ["eu"]), expected, injected_s=100.0, mended_s=200.0)


def test_an_alert_of_the_api_keeps_the_labels_that_say_which_of_its_kind() -> None:
    labels = {"alertname": "VoicefleetDependencyDown", "severity": "critical", "region": "eu", "cluster": "c"}
    entry = {"labels": {**labels, "class": "cause", "dependency": "redis"}, "status": {"inhibitedBy": []}}
    assert alarm(entry) == DOWN
    assert DOWN.shown == "DependencyDown{redis}"


def test_a_span_lasts_from_the_first_look_that_shows_it_to_the_first_that_does_not() -> None:
    found = spans(looks((1, set()), (2, {DOWN}), (3, {DOWN, ELSEWHERE}), (4, {MUTED}), (5, {MUTED})), ["eu"])
    assert found == [Span(DOWN, 2, 4), Span(MUTED, 4, None)]


def test_a_fault_that_is_named_in_time_and_resolved_is_good() -> None:
    result = judged((110, set()), (120, {DOWN, MUTED}), (230, set()))
    assert result["passed"], result
    assert (result["first"], result["known_after_s"], result["resolved_after_s"]) == ("DependencyDown{redis}", 20, 30)
    assert [entry["muted"] for entry in result["fired"]] == [False, True]


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ([(110, set()), (300, set())], "nobody was told"),
        ([(140, {DOWN}), (210, set())], "after 40 s, not within 30 s"),
        ([(110, {FALSE}), (120, {DOWN}), (210, set())], "RegionNoWorkers came first"),
        ([(110, {DOWN}), (150, {DOWN, FALSE}), (210, set())], "that is not true or says nothing new: RegionNoWorkers"),
        ([(110, {DOWN}), (261, set())], "resolved 61 s after"),
        ([(110, {DOWN}), (400, {DOWN})], "fires still: DependencyDown{redis}"),
        # Not muted any more, once what inhibited it is over: that pages.
        ([(110, {DOWN, MUTED}), (205, {LOUD}), (236, set())], "ReportsLost"),
    ],
)
def test_what_is_wrong_is_said(shown: list[tuple[float, set[Alarm]]], problem: str) -> None:
    result = judged(*shown)
    assert not result["passed"]
    assert any(problem in found for found in result["problems"]), result["problems"]


def test_starts_that_cannot_help_are_counted() -> None:
    seen = spans(looks((120, {DOWN}), (205, set())), ["eu"])
    allowed = Expected("DependencyDown", 30.0, ("redis",), most_starts=5)
    assert verdict(seen, allowed, injected_s=100.0, mended_s=200.0, starts=5)["passed"]
    result = verdict(seen, allowed, injected_s=100.0, mended_s=200.0, starts=6)
    assert result["problems"] == ["a pool started 6 workers before the remedy, at most 5 wanted"]


def test_what_is_over_before_alertmanager_tells_it_is_told_to_nobody() -> None:
    assert judged((110, {DOWN, MUTED}), (205, {LOUD}), (210, set()))["passed"]
    assert not judged((110, {LOUD}), (115, set()))["passed"], "it was never inhibited"


def test_a_fault_that_heals_itself_wakes_nobody() -> None:
    assert judged((110, set()), expected=Expected())["passed"]
    assert judged((110, {FALSE}), (120, set()), expected=Expected())["false_critical"] == ["RegionNoWorkers"]
    assert judged((110, {ELSEWHERE}), expected=Expected())["passed"], "another region's trouble is not this fault's"


def test_what_is_expected_are_alerts_that_are_shipped() -> None:
    shipped = {rule["alert"] for group in rule_file()["groups"] for rule in group["rules"] if "alert" in rule}
    for scenario in SCENARIOS:
        for name in filter(None, (scenario.expected.first, *scenario.expected.also)):
            assert f"Voicefleet{name}" in shipped, scenario.id


def test_every_scenario_has_its_place_and_a_wrong_name_is_refused() -> None:
    assert sorted(name for stand in STANDS for name in stand) == sorted(scenario.id for scenario in SCENARIOS)
    assert [[s.id for s in stand] for stand in chosen(["llm-hang"], quick=False)] == [["llm-hang"]]
    with pytest.raises(ConfigError, match="Did you mean redis-stopped"):
        chosen(["redis-stoped"], quick=False)
