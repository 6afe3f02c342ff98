"""The table of scenarios, and the options that choose from it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from voicefleet.chaos import faults
from voicefleet.chaos.measure import Bound
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
    "deaf-agent",
    "mute-agent",
    "released-call",
    "observer-first",
    "connector-caller",
    "neighbour-worker",
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
    "page-reload",
    "work-drain",
    "work-kill9",
    "packet-loss",
    "pre-created-room",
    "full-outbound",
]


def test_every_fault_that_was_promised_has_a_scenario() -> None:
    assert [scenario.id for scenario in SCENARIOS] == WANTED
    assert all(scenario.what.endswith(".") and "\n" not in scenario.what for scenario in SCENARIOS)


def test_every_fault_that_is_written_has_a_scenario() -> None:
    written: set[str] = set()
    for module in pkgutil.iter_modules(faults.__path__):
        found = importlib.import_module(f"{faults.__name__}.{module.name}")
        functions = [f for _, f in inspect.getmembers(found, inspect.iscoroutinefunction)]
        written |= {f.__name__ for f in functions if not f.__name__.startswith("_") and takes_only_the_context(f)}
    assert written - {scenario.fault.__name__ for scenario in SCENARIOS} == set()


def takes_only_the_context(function: Callable[..., object]) -> bool:
    return [p.annotation for p in inspect.signature(function).parameters.values()] == ["FaultContext"]


def test_five_seeds_make_enough_calls() -> None:
    runs = ChaosOptions().runs
    assert all(scenario.live * runs >= 20 and scenario.waiting * runs >= 5 for scenario in SCENARIOS)


def test_what_survives_a_worker_has_room_for_its_calls() -> None:
    for scenario in SCENARIOS:
        if scenario.bound.voice_back_s is not None:
            assert (scenario.profile.workers - 1) * scenario.profile.slots >= scenario.live + scenario.waiting


def test_a_fleet_has_what_its_fault_needs_and_no_more() -> None:
    for scenario in SCENARIOS:
        fleet, breaks = scenario.profile, scenario.fault.__module__.rpartition(".")[2]
        if scenario.id == "released-call":
            breaks = "senses"  # its agents leave when they are told to
        parts = {"network": fleet.packets, "clock": fleet.clocks, "webhooks": fleet.relay, "providers": fleet.providers}
        parts |= {"senses": fleet.senses}
        assert [name for name, wanted in parts.items() if wanted] == [name for name in parts if name == breaks]
        assert fleet.waiting_message == (scenario.id == "slots-full")
        # A caller waits, or a worker becomes too many, only where no slot is spare.
        full = fleet.workers * fleet.slots <= scenario.live
        assert fleet.buffer == (0 if full else 2)
        may_grow = fleet.most == fleet.workers + 1
        assert may_grow == (scenario.id != "slots-full")
        assert may_grow or fleet.most == fleet.workers
        assert fleet.scale_down_delay_s == (2.0 if full and may_grow else 10.0)


def test_bounds() -> None:
    bounds = {scenario.id: scenario.bound for scenario in SCENARIOS if scenario.bound != Bound()}
    handoff = Bound(empty_s=15.0, extra_wait_s=1.0)
    assert bounds == {
        "worker-kill9": Bound(voice_back_s=3.0),
        "main-kill9": Bound(voice_back_s=3.0),
        "job-kill9": Bound(voice_back_s=3.0),
        "main-sigstop": Bound(extra_wait_s=1.0),
        "job-sigstop": Bound(voice_back_s=6.0),
        "worker-sigstop": Bound(voice_back_s=6.0),
        "deaf-agent": Bound(voice_back_s=20.0),
        "mute-agent": Bound(voice_back_s=20.0),
        "connector-caller": Bound(voice_back_s=3.0),
        "rolling-restart": handoff,
        "scale-down": handoff,
        "drain-handoff": handoff,
        "work-drain": Bound(empty_s=25.0, extra_wait_s=2.0),
        "work-kill9": Bound(voice_back_s=3.0),
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
