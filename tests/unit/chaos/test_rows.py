"""The table of rows, and what can be asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.scenarios import ROWS, chosen
from voicefleet.contract.errors import ConfigError

pytestmark = pytest.mark.unit

WANTED = [
    "worker-kill9",
    "main-kill9",
    "job-kill9",
    "main-sigstop",
    "job-sigstop",
    "worker-sigstop",
    "stt-hang",
    "llm-hang",
    "tts-hang",
    "stt-refuse",
    "llm-refuse",
    "tts-refuse",
    "controller-kill9",
    "redis-restart-data",
    "redis-restart-empty",
    "redis-away-30s",
    "livekit-restart",
    "webhooks-lost",
    "webhooks-mangled",
    "worker-no-redis",
    "worker-no-livekit",
    "worker-clock",
    "slots-full",
    "rolling-restart",
    "scale-down",
    "drain-handoff",
    "packet-loss",
]


def test_every_fault_that_was_promised_has_a_row() -> None:
    assert [row.id for row in ROWS] == WANTED
    assert all(row.what.endswith(".") and "\n" not in row.what for row in ROWS)


def test_five_seeds_make_enough_calls() -> None:
    runs = ChaosOptions().runs
    assert all(row.live * runs >= 20 and row.waiting * runs >= 5 for row in ROWS)


def test_what_survives_a_worker_has_room_for_its_calls() -> None:
    for row in ROWS:
        if row.bound.voice_back_s is not None:
            assert (row.gear.workers - 1) * row.gear.slots >= row.live + row.waiting


def test_bounds() -> None:
    bounds = {row.id: row.bound.voice_back_s for row in ROWS if row.bound.voice_back_s is not None}
    assert bounds == {
        "worker-kill9": 3.0,
        "main-kill9": 3.0,
        "job-kill9": 3.0,
        "job-sigstop": 6.0,
        "worker-sigstop": 6.0,
    }


def test_rows_of_one_gear_come_together() -> None:
    gears = [row.gear for row in chosen((), quick=False)]
    changes = sum(one != other for one, other in pairwise(gears))
    assert len(gears) == len(WANTED)
    assert changes == len(set(gears)) - 1


def test_quick_is_a_few_rows_once_and_only_names_any() -> None:
    quick = ChaosOptions(quick=True)
    assert 3 <= len(quick.rows) <= 6
    assert quick.runs == 1
    assert {(row.live, row.waiting) for row in quick.rows} == {(2, 1)}
    assert [row.id for row in ChaosOptions(("packet-loss",), quick=True).rows] == ["packet-loss"]
    assert ChaosOptions(("packet-loss",), seeds=2, quick=True).runs == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"only": ("worker-kill",)}, r"--only = 'worker-kill': no such row\. Did you mean worker-kill9\?"),
        ({"seeds": 0}, "--seeds = 0: must lie between 1 and 100"),
        ({"seeds": 101}, "--seeds"),
        ({"first_seed": -1}, "--first-seed"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ChaosOptions(**wrong)
