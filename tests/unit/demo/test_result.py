"""The demo's result: the workers at its three moments, and the JSON's shape."""

from __future__ import annotations

import json

import pytest

from support.outcomes import GOOD, SILENT, region_view
from voicefleet.demo.fleet_history import History
from voicefleet.demo.result import build_result

pytestmark = pytest.mark.unit


def history(*samples: tuple[float, int | None], region: str = "eu") -> History:
    made = History()
    for t_s, ready in samples:
        made.add(t_s, [region_view(region, ready=ready)])
    return made


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([(0, 0), (1, 1), (3, 2), (4, 3), (9, 1)], (1, 3, 1), id="up and down"),
        pytest.param([(0, 1), (3, None), (9, 2)], (1, 2, 2), id="unknown is left out, not zero"),
        pytest.param([(0, 1), (3, None)], (1, 1, 1), id="unknown since the first call"),
        pytest.param([(0, 2), (3, 1)], (2, 2, 1), id="the start counts for the peak"),
        pytest.param([], (0, 0, 0), id="never seen"),
    ],
)
def test_workers_at_the_first_call_the_peak_and_the_end(
    samples: list[tuple[float, int | None]], expected: tuple[int, int, int]
) -> None:
    assert history(*samples).workers("eu", since_s=2.0) == expected


def test_the_last_sample_of_a_region() -> None:
    made = history((0.0, 1), (1.0, 2))
    last = made.last("eu")
    assert last is not None
    assert (last.t_s, last.ready) == (1.0, 2)
    assert made.last("us") is None


def test_the_result_is_the_json_that_was_promised() -> None:
    result = build_result(
        [GOOD, SILENT],
        history((0.0, 1), (3.0, 2), (4.0, 1)),
        first_call_s=1.0,
        regions=("eu",),
        slots=2,
        pipeline="synthetic",
        wall_s=12.345,
    )
    assert json.loads(json.dumps(result)) == result
    quantiles = {"p50", "p95", "max"}
    assert {key: set(value) if isinstance(value, dict) else value for key, value in result.items()} == {
        "calls": {"offered", "answered", "silent", "cut"},
        "turns": {"asked", "answered", "apologies"},
        "join_s": quantiles,
        "ttfa_s": quantiles,
        "greeting_s": quantiles,
        "pickup_s": quantiles,
        "wait_s": quantiles,
        "regions": {"eu"},
        "pipeline": "synthetic",
        "wall_s": 12.3,
    }
    assert result["regions"]["eu"] == {
        "workers_start": 1,
        "workers_peak": 2,
        "workers_end": 1,
        "slots_per_worker": 2,
    }
