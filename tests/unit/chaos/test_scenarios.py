"""The table of scenarios, and the options that choose from it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from voicefleet.chaos.options import ChaosOptions
from voicefleet.chaos.scenarios import SCENARIOS, chosen
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


def test_every_fault_that_was_promised_has_a_scenario() -> None:
    assert [scenario.id for scenario in SCENARIOS] == WANTED
    assert all(scenario.what.endswith(".") and "\n" not in scenario.what for scenario in SCENARIOS)


def test_five_seeds_make_enough_calls() -> None:
    runs = ChaosOptions().runs
    assert all(scenario.live * runs >= 20 and scenario.waiting * runs >= 5 for scenario in SCENARIOS)


def test_what_survives_a_worker_has_room_for_its_calls() -> None:
    for scenario in SCENARIOS:
        if scenario.bound.voice_back_s is not None:
            assert (scenario.profile.workers - 1) * scenario.profile.slots >= scenario.live + scenario.waiting


def test_bounds() -> None:
    bounds = {
        scenario.id: scenario.bound.voice_back_s for scenario in SCENARIOS if scenario.bound.voice_back_s is not None
    }
    assert bounds == {
        "worker-kill9": 3.0,
        "main-kill9": 3.0,
        "job-kill9": 3.0,
        "job-sigstop": 6.0,
        "worker-sigstop": 6.0,
    }


def test_scenarios_of_one_profile_come_together() -> None:
    profiles = [scenario.profile for scenario in chosen((), quick=False)]
    changes = sum(one != other for one, other in pairwise(profiles))
    assert len(profiles) == len(WANTED)
    assert changes == len(set(profiles)) - 1


def test_quick_is_a_few_scenarios_once_and_only_names_any() -> None:
    quick = ChaosOptions(quick=True)
    assert 3 <= len(quick.scenarios) <= 6
    assert quick.runs == 1
    assert {(scenario.live, scenario.waiting) for scenario in quick.scenarios} == {(2, 1)}
    assert [scenario.id for scenario in ChaosOptions(("packet-loss",), quick=True).scenarios] == ["packet-loss"]
    assert ChaosOptions(("packet-loss",), seeds=2, quick=True).runs == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"only": ("worker-kill",)}, r"--only = 'worker-kill': no such scenario\. Did you mean worker-kill9\?"),
        ({"seeds": 0}, "--seeds = 0: must lie between 1 and 100"),
        ({"seeds": 101}, "--seeds"),
        ({"first_seed": -1}, "--first-seed"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ChaosOptions(**wrong)
