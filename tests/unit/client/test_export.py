"""`voicefleet export calls`: what it writes is what `simulate` and `plan` read, and it says what is missing."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from voicefleet.client.export import Exported, arrivals, missing, trace_lines
from voicefleet.contract.api import PastCallView
from voicefleet.contract.errors import ConfigError
from voicefleet.runtime.command.times import moment
from voicefleet.runtime.http.api_client import PastCalls
from voicefleet.traffic.traces import parse_csv

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
BEGIN = datetime(2026, 11, 28, 2, 0, tzinfo=UTC)


def call(started: str, duration_s: float, reason: str = "caller_left") -> PastCallView:
    return PastCallView(
        call="RM_1", room="r", region="eu", started_at=started, duration_s=duration_s, waited_s=0.3, reason=reason
    )


CALLS = [
    call("2026-11-28T02:00:03.500Z", 61.2),
    call("2026-11-28T02:13:00.000Z", 5.0, "abandoned"),
    call("2026-11-28T02:14:00.000Z", 0.0),
    call("2026-11-28T02:15:00.000Z", 30.0, "no_caller"),
]
EXPORTED = Exported("eu", BEGIN, NOW, PastCalls(CALLS, "2026-11-28T01:00:00.000Z"), 0)


def test_the_simulator_reads_what_is_written() -> None:
    """Whoever gave up while waiting is a caller like any other; a room that no caller came to is none."""
    trace = parse_csv(trace_lines(EXPORTED, arrivals(CALLS, BEGIN)), source="my_calls.csv")
    assert trace.arrivals_s.tolist() == [3.5, 780.0]
    assert trace.durations_s.tolist() == [61.2, 5.0]


def test_it_says_what_is_not_in_it() -> None:
    assert missing(EXPORTED) == []
    late = dataclasses.replace(EXPORTED, past=PastCalls(CALLS, "2026-11-28T02:00:03.500Z"), open=3)
    notes = missing(late)
    assert notes[0].startswith("calls before 2026-11-28T02:00:03.500Z are not in it")
    assert notes[1] == "3 calls that had not ended are not in it"
    lines = list(trace_lines(late, arrivals(CALLS, BEGIN)))
    assert all(f"# {note}" in lines for note in notes), "the file says it too"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("3h", NOW.replace(hour=9)),
        ("90m", NOW.replace(hour=10, minute=30)),
        ("2d", NOW.replace(day=26)),
        ("02:13", NOW.replace(hour=2, minute=13)),
        ("23:10:05", NOW.replace(day=27, hour=23, minute=10, second=5)),
        ("2026-11-27T02:13", datetime(2026, 11, 27, 2, 13, tzinfo=UTC)),
        ("2026-11-27T02:13+01:00", datetime(2026, 11, 27, 1, 13, tzinfo=UTC)),
        ("2026-11-27", datetime(2026, 11, 27, tzinfo=UTC)),
    ],
)
def test_a_moment_as_people_say_it(text: str, at: datetime) -> None:
    assert moment(text, NOW, field="--from") == at


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "3w", "2026-13-01", "99999999999999d"])
def test_what_is_no_moment_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        moment(text, NOW, field="--from")
    assert (refused.value.field, refused.value.value) == ("--from", text)
    assert "02:13" in refused.value.hint
