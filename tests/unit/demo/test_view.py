"""The picture in the terminal, and the figures in it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from support.outcomes import region_view
from voicefleet.demo.history import History
from voicefleet.demo.view import picture
from voicefleet.reporting.table import shown

pytestmark = pytest.mark.unit


def printed(what: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


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
    text = printed(
        picture("callers arrive", 12.3, (3, 4, 1), history, ("eu", "us"), {"eu": [0.5, 0.7]}, ["a [bold]line[/]"])
    )
    assert "callers arrive" in text
    assert "calls 3 of 4 placed, 1 finished" in text
    assert "■■■□ 4" in text
    assert "0.60 s" in text
    assert "a [bold]line[/]" in text, "what comes from outside is no markup"
    (us,) = (line for line in text.splitlines() if " us " in line)
    assert us.count("–") >= 5, "unknown is a dash, not a zero"


def test_a_region_nobody_has_told_of_is_unknown() -> None:
    assert "–" in printed(picture("starting", 0.0, (0, 4, 0), History(), ("eu",), {}, []))


def test_many_slots_and_more_calls_than_slots() -> None:
    history = History()
    history.add(1.0, [region_view("eu", live=30, slots=40), region_view("us", live=5, slots=2)])
    text = printed(picture("x", 1.0, (0, 1, 0), history, ("eu", "us"), {}, []))
    assert "30/40" in text
    assert "■■ 2" in text
