"""The picture in the terminal, and the figures in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.outcomes import GOOD, region_view
from support.terminal import rendered, terminal, text_of
from voicefleet.demo.command import show
from voicefleet.demo.fleet_history import History
from voicefleet.demo.options import DemoOptions
from voicefleet.demo.result import build_result
from voicefleet.demo.run import DemoRun
from voicefleet.demo.view import DemoView, picture
from voicefleet.reporting.table import shown
from voicefleet.runtime.clock import SystemClock

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0 s"), (3, "3 s"), (0.0, "0.00 s"), (1.234, "1.23 s"), (-0.5, "-0.50 s")]
)
def test_a_number_for_people(value: float | None, text: str) -> None:
    assert shown(value, "" if value is None else " s") == text


def test_the_picture_shows_the_fleet_and_the_events() -> None:
    history = History()
    history.add(
        1.0, [region_view("eu", ready=2, live=3, slots=4), region_view("us", ready=None, live=None, slots=None)]
    )
    text = rendered(
        picture("callers arrive", 12.3, (3, 4, 1), history, ("eu", "us"), {"eu": [0.5, 0.7]}, ["a [bold]line[/]"])
    )
    assert "callers arrive" in text
    assert "calls 3 of 4 placed, 1 finished" in text
    assert "■■■□ 4" in text
    assert "0.60 s" in text
    assert "a [bold]line[/]" in text, "what comes from outside is no markup"
    (us,) = (line for line in text.splitlines() if " us " in line)
    assert us.count("–") >= 5, "unknown is a dash, not a zero"


def test_a_region_without_a_sample_is_unknown() -> None:
    assert "–" in rendered(picture("starting", 0.0, (0, 4, 0), History(), ("eu",), {}, []))


def test_many_slots_and_more_calls_than_slots() -> None:
    history = History()
    history.add(1.0, [region_view("eu", live=30, slots=40), region_view("us", live=5, slots=2)])
    text = rendered(picture("x", 1.0, (0, 1, 0), history, ("eu", "us"), {}, []))
    assert "30/40" in text
    assert "■■ 2" in text


def test_every_header_stands_whole_in_80_columns() -> None:
    history = History()
    history.add(1.0, [region_view("eu-central-1", ready=2, live=3, slots=12)])
    text = rendered(picture("x", 1.0, (0, 1, 0), history, ("eu-central-1",), {"eu-central-1": [10.5]}, []))
    for header in ("region", "starting", "ready", "draining", "slots", "live", "waiting", "TTFA"):
        assert header in text
    assert "10.50 s" in text


def test_the_view_follows_the_calls() -> None:
    view = DemoView(SystemClock(), 2, History())
    view.regions_of_calls[0] = "eu"
    view.on_event("call-00000", "due", 0.0, {})
    view.on_event("call-00000", "greeting", 0.5, {})
    view.finished(replace(GOOD, call_id="call-00000", region="eu"))
    text = rendered(view.render())
    assert "calls 1 of 2 placed, 1 finished" in text
    assert "greeting after 0.50 s" in text
    assert "2 turns answered" in text


def test_the_figures_of_a_run_and_its_problems_fit_80_columns() -> None:
    history = History()
    history.add(1.0, [region_view("eu", ready=1)])
    result = build_result(
        [GOOD], history, first_call_s=1.0, regions=("eu",), slots=2, pipeline="synthetic", wall_s=30.0
    )
    console = terminal()
    show(DemoRun(DemoOptions(), "synthetic", result=result), ["1 of 1 callers never got an answer"], console)
    text = text_of(console)
    assert "end of a question until the answer (TTFA)" in text
    assert "eu: 1 -> 1 -> 1 workers" in text
    assert "1 of 1 callers never got an answer" in text
