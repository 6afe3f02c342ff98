"""Thresholds and the verdict: what breaks one, what is refused, and the files that tell of it."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from support.outcomes import CUT, FAILED, GOOD, SILENT, TURN
from voicefleet.callers.health import GeneratorHealth
from voicefleet.contract.errors import ConfigError, MissingPartError
from voicefleet.loadtest.destinations import Destinations
from voicefleet.loadtest.exports import calls_csv, junit_xml, turns_csv
from voicefleet.loadtest.figures import figures_of, known_figures
from voicefleet.loadtest.page import render_result
from voicefleet.loadtest.result import Verdict, build_result
from voicefleet.loadtest.thresholds import check, parse_condition

pytestmark = pytest.mark.unit

FINE = GeneratorHealth(lag_p99_s=0.02, lag_max_s=0.1, cpu_share=0.4)
LATE = replace(FINE, lag_p99_s=0.3)
NASTY = "<script>alert(1)</script>&\"'"


def parsed(*texts: str):  # type: ignore[no-untyped-def]
    return tuple(parse_condition(text, field="--fail-if") for text in texts)


def calls_with(*ttfa_s: float):  # type: ignore[no-untyped-def]
    return [replace(GOOD, turns=(replace(TURN, ttfa_s=ttfa),)) for ttfa in ttfa_s]


def test_figures_are_exact_and_ratios_are_of_all_there_were() -> None:
    figures = figures_of(calls_with(*np.arange(1, 101)), 10.0)
    assert figures["ttfa_p95"] == pytest.approx(np.quantile(np.arange(1, 101), 0.95))
    assert figures["ttfa_p99.5"] == pytest.approx(np.quantile(np.arange(1, 101), 0.995))
    assert (figures["ttfa_max"], figures["ttfa_mean"], figures["calls"]) == (100.0, 50.5, 100)
    mixed = figures_of([GOOD, SILENT, CUT, FAILED], 10.0)
    assert (mixed["calls_failed"], mixed["calls_failed_ratio"]) == (3, 0.75)
    assert mixed["turns_unanswered_ratio"] == pytest.approx(1 / 6)
    assert set(mixed.to_json()) == set(known_figures())


def test_what_was_not_measured_is_unknown_and_breaks_its_threshold() -> None:
    nothing = figures_of([], 10.0)
    assert nothing["ttfa_p95"] is None
    assert nothing["calls_failed_ratio"] is None
    assert nothing["calls"] == 0
    (checked,) = check(parsed("ttfa_p95>1.0"), nothing)
    assert checked.broken
    assert "nothing was measured" in checked.sentence


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("ttfa_p50>0.6", False),
        ("ttfa_p50>=0.6", True),
        ("ttfa_p50 > 599ms", True),
        ("ttfa_p50>0.7s", False),
        ("calls<1", False),
        ("calls<=1", True),
        ("calls_failed_ratio>0%", False),
        ("turns_cut_in_ratio<1e-2", True),
    ],
)
def test_a_threshold(text: str, broken: bool) -> None:
    (checked,) = check(parsed(text), figures_of(calls_with(0.6), 10.0))
    assert checked.broken is broken


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ttfa_p95", "not a condition"),
        ("ttfa_p95=1", "not a condition"),
        ("ttfa_p95>", "not a condition"),
        ("ttfa_p95>fast", "not a condition"),
        ("ttfa_p95>1 hour", "not a condition"),
        ("tfa_p95>1", "mean ttfa_p95"),
        ("calls_faild>1", "mean calls_failed"),
        ("ttfa_p101>1", "no figure"),
        ("ttfa_p95>5%", "not measured in %"),
        ("calls_failed_ratio>1s", "not measured in s"),
        ("ttfa_p95>1-", "no number"),
        ("ttfa_p95>1e999", "no number"),
    ],
)
def test_a_condition_that_is_none(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as error:
        parse_condition(text, field="--fail-if")
    assert error.value.field == "--fail-if"


def test_thresholds_alone_decide_and_a_late_generator_voids_whatever_they_say() -> None:
    assert build_result([GOOD, CUT], FINE, 1.0)["verdict"] == "bad"
    held = build_result([GOOD, CUT], FINE, 1.0, fail_if=parsed("ttfa_p95>1.0"))
    assert (held["verdict"], held["shortcomings"]) == ("good", [])
    assert held["remarks"] == ["1 of 2 callers lost the agent in mid-call (cut)"]
    broken = build_result([GOOD, CUT], FINE, 1.0, fail_if=parsed("calls_cut>0", "ttfa_p95>1.0"))
    assert (broken["verdict"], broken["shortcomings"]) == ("bad", ["calls_cut>0: calls_cut is 1"])
    for fail_if in ((), parsed("calls_cut>0"), parsed("ttfa_p95>1.0")):
        assert build_result([GOOD, CUT], LATE, 1.0, fail_if=fail_if)["verdict"] == "void"
    assert [Verdict(v).exit_code for v in ("good", "bad", "void")] == [0, 1, 3]
    assert json.loads(json.dumps(held)) == held


def test_csv_has_a_row_a_call_and_a_row_a_turn() -> None:
    result = build_result([GOOD, replace(FAILED, error='said "no", twice')], FINE, 1.0)
    calls = list(csv.DictReader(io.StringIO(calls_csv(result))))
    turns = list(csv.DictReader(io.StringIO(turns_csv(result))))
    assert [row["result"] for row in calls] == ["answered", "error"]
    assert float(calls[0]["pickup_s"]) == pytest.approx(1.01)
    assert (calls[1]["pickup_s"], calls[1]["error"]) == ("", 'said "no", twice')
    assert [(row["call_id"], row["index"], row["ttfa_s"]) for row in turns] == [
        ("call-00000", "0", "0.5"),
        ("call-00000", "1", "0.7"),
    ]
    assert "" not in (set(calls[0]) | set(turns[0]))


def test_junit_has_a_case_per_criterion() -> None:
    fail_if = parsed("calls_cut>0", "ttfa_p95>1.0")
    suite = ElementTree.fromstring(junit_xml(build_result([GOOD, CUT], FINE, 1.0, fail_if=fail_if), "smoke"))
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "smoke",
        "3",
        "1",
        "0",
    )
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["calls_cut>0"]
    void = ElementTree.fromstring(junit_xml(build_result([GOOD], LATE, 1.0, fail_if=fail_if), "smoke"))
    assert (void.get("failures"), void.get("errors"), void.get("skipped")) == ("0", "1", "2")
    plain = ElementTree.fromstring(junit_xml(build_result([GOOD, CUT], FINE, 1.0), NASTY))
    assert (plain.get("tests"), plain.get("failures")) == ("2", "1")


def test_the_page_is_one_file_and_trusts_no_text() -> None:
    bad = replace(FAILED, call_id=NASTY, room=NASTY, error=NASTY)
    text = render_result(build_result([GOOD, SILENT, CUT, bad], FINE, 9.0, fail_if=parsed("calls_cut>0")), NASTY)
    assert "<script" not in text
    assert text.count("<svg") == 3
    assert "It did not hold" in text
    assert "calls_cut is 1" in text
    for result in (build_result([], FINE, 0.0), build_result([FAILED], LATE, 1.0)):
        assert render_result(result, "empty").count("<svg") == 3


def test_a_result_is_written_where_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--csv"):
        Destinations(csv=tmp_path / "none")
    with pytest.raises(ConfigError, match="--junit"):
        Destinations(junit=tmp_path / "none" / "x.xml")
    places = Destinations(tmp_path / "r.json", tmp_path, tmp_path / "r.xml", tmp_path / "r.html")
    places.write(build_result([GOOD], FINE, 1.0), "smoke")
    assert {path.name for path in tmp_path.iterdir()} == {"r.json", "r.xml", "r.html", "calls.csv", "turns.csv"}
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingPartError, match="--html"):
        Destinations(html=tmp_path / "r.html")
