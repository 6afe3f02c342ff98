"""Agents of a region: their pools, mistakes in the settings, and which of them a call goes to."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from support.fake_region import FakeRegion, with_region
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.pools import PoolPlace, PoolRole
from voicefleet.contract.tier_choice import drawn
from voicefleet.controller.canary.decide import Decision, Verdict
from voicefleet.controller.canary.store import Record
from voicefleet.controller.canary.trial import TrialView
from voicefleet.controller.ports import Participant
from voicefleet.controller.regions.capacity import RegionCapacity
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import UnknownChoiceError, by_version, pools_for
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.load import load_settings
from voicefleet.controller.settings.routes import Routes
from voicefleet.controller.wiring.canaries import open_trials

pytestmark = pytest.mark.unit

OBJECTIVES = {
    "error_ratio": 0.02,
    "ttfa_p95_s": 2.0,
    "silent_ratio": 0.01,
    "crash_ratio": 0.01,
    "min_calls": 50,
    "duration_s": 600,
}
FIELDS = """
redis_url_env: REDIS
auth: none
regions:
  eu:
    livekit: {url: "ws://lk:7880", api_key: key, api_secret_env: SECRET}
    process: {command: [voicefleet, worker], state_dir: /s, log_dir: /l, env: {A: "1"}}
    default_agent: support
    agents:
      support: {numbers: ["+4930*"], trunks: {ST_1: {}}}
      sales:
        tenants: [acme]
        numbers: ["+493012"]
        env: {B: "2"}
        versions:
          v0: {weight: 0}
          v1: {weight: 90, pool: {max_workers: 9}}
          v2: {weight: 10, command: [other]}
  us:
    livekit: {url: "ws://lk:7880", api_key: key, api_secret_env: SECRET}
"""
CANARY = "eu.agents.sales.versions.v2.objectives"


def load(tmp_path: Path, changes: dict[str, Any] | None = None) -> Settings:
    raw = yaml.safe_load(FIELDS)
    for path, value in {CANARY: OBJECTIVES, **(changes or {})}.items():
        *way, last = path.split(".")
        here = raw["regions"]
        for step in way:
            here = here.setdefault(step, {})
        if value is None:
            here.pop(last, None)
        else:
            here[last] = copy.deepcopy(value)
    file = tmp_path / "controller.yaml"
    file.write_text(yaml.safe_dump(raw))
    return load_settings(file, {"REDIS": "redis://r:6379/0", "SECRET": "s" * 32})


def test_each_version_of_each_agent_is_a_pool_and_a_region_without_agents_stays_one(tmp_path: Path) -> None:
    settings = load(tmp_path)
    pools = settings.pools
    assert list(pools) == ["eu-sales-v0", "eu-sales-v1", "eu-sales-v2", "eu-support", "us"]
    assert pools["us"] is settings.regions["us"], "keys, names and all"
    assert [pool.agent_name for pool in pools.values()] == ["sales-v0", "sales-v1", "sales-v2", "support", "voicefleet"]
    assert [pool.role.value for pool in pools.values()] == ["leaving", "stable", "canary", "stable", "stable"]
    canary = pools["eu-sales-v2"].process
    assert canary is not None
    assert (canary.command, dict(canary.env)) == (("other",), {"A": "1", "B": "2"})
    assert pools["eu-sales-v1"].pool_spec.max_workers == 9
    assert pools["eu-sales-v1"].pool_spec.region == "eu-sales-v1"
    assert [name for name, pool in pools.items() if pool.trunks] == ["eu-support"]
    assert pools["eu-sales-v2"].path == "regions.eu.agents.sales.versions.v2"


def test_a_canary_is_another_one_when_its_section_or_revision_changes(tmp_path: Path) -> None:
    trial = load(tmp_path).pools["eu-sales-v2"].trial
    assert trial == load(tmp_path).pools["eu-sales-v1"].trial != ""
    assert load(tmp_path, {"eu.agents.sales.versions.v2.revision": "1.5"}).pools["eu-sales-v2"].trial != trial
    assert load(tmp_path, {"eu.agents.sales.versions.v2.pool": {"max_workers": 2}}).pools["eu-sales-v2"].trial == trial


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (
            {"eu.agents.sales.versions.v2.weight": 20},
            "regions.eu.agents.sales.versions",
            "the weights add up to 110, not 100",
        ),
        ({CANARY: None}, "regions.eu.agents.sales.versions.v2.objectives", "a canary without objectives"),
        ({f"{CANARY}.min_calls": None}, f"regions.{CANARY}.min_calls", "is missing"),
        (
            {"eu.agents.sales.versions.v1.objectives": OBJECTIVES},
            "regions.eu.agents.sales.versions",
            "none of them is without `objectives`",
        ),
        (
            {
                "eu.agents.sales.versions.v0": {"weight": 5, "objectives": OBJECTIVES},
                "eu.agents.sales.versions.v2.weight": 5,
            },
            "regions.eu.agents.sales.versions",
            "more than one canary at a time",
        ),
        (
            {"eu-support": {"livekit": yaml.safe_load(FIELDS)["regions"]["us"]["livekit"]}},
            "regions.eu-support",
            "two pools have this name: this one and regions.eu.agents.support",
        ),
        ({"eu.agents.a-name-that-is-long-for-a-pool": {}}, "a-name-that-is-long-for-a-pool", "more than 32 characters"),
        ({"eu.agents.Sales": {}}, "regions.eu.agents.Sales", "not a name of an agent"),
        ({"eu.default_agent": "suport"}, "regions.eu.default_agent", "no such agent"),
        ({"eu.default_agent": None, "eu.rooms": "all"}, "regions.eu.default_agent", "need one"),
        ({"eu.trunks": {"ST_2": {}}}, "regions.eu.trunks", "a trunk is one agent's"),
        ({"eu.agents.sales.trunks": {"ST_1": {}}}, "regions.eu.agents.support.trunks", "sales has it too"),
        ({"eu.agents.support.tenants": ["acme"]}, "regions.eu.agents.support.tenants", "sales has it too"),
        ({"eu.agents.support.deployment": "x"}, "regions.eu.agents.support.deployment", "are no pods"),
    ],
)
def test_mistakes_name_the_field_and_a_way_out(tmp_path: Path, changes: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, changes)
    assert field in str(refused.value.field)
    assert words in str(refused.value)
    assert refused.value.hint


@dataclass
class Reports:
    tiers: frozenset[str] | None = None


@dataclass
class Pool:
    """As much of a `Region` as routing looks at."""

    settings: Any
    reports: Reports = field(default_factory=Reports)
    trial: TrialView | None = None
    moved: Any = None

    @property
    def name(self) -> str:
        return str(self.settings.name)

    @property
    def place(self) -> str:
        return str(self.settings.place.region)


def pools(tmp_path: Path) -> dict[str, Region]:
    settings = load(tmp_path)
    made = cast(dict[str, Region], {name: Pool(pool) for name, pool in settings.pools.items()})
    open_trials(settings, made, cast(Any, SimpleNamespace(register_script=None)))
    return made


def names(found: list[Region]) -> list[str]:
    return [pool.name for pool in found]


def test_a_call_goes_to_the_agent_that_it_names_or_its_key_has_or_the_default(tmp_path: Path) -> None:
    known = list(pools(tmp_path).values())
    assert names(pools_for(known, "sales", None, "any")) == ["eu-sales-v1", "eu-sales-v2"], "none that leaves"
    assert names(pools_for(known, None, None, "acme")) == ["eu-sales-v1", "eu-sales-v2", "us"]
    assert names(pools_for(known, None, None, "any")) == ["eu-support", "us"]
    assert names(pools_for(known, "voicefleet", None, "any")) == ["us"]
    with pytest.raises(UnknownChoiceError, match="no agent sale") as unknown:
        pools_for(known, "sale", None, "any")
    assert unknown.value.known == ["sales", "support", "voicefleet"]


def test_a_tier_that_no_worker_has_is_refused_and_one_that_is_not_known_is_not(tmp_path: Path) -> None:
    known = pools(tmp_path)
    assert names(pools_for(list(known.values()), "sales", "fast", "any")) == ["eu-sales-v1", "eu-sales-v2"]
    cast(Any, known["eu-sales-v1"]).reports.tiers = frozenset({"fast", "smart"})
    cast(Any, known["eu-sales-v2"]).reports.tiers = frozenset({"smart"})
    assert names(pools_for(list(known.values()), "sales", "fast", "any")) == ["eu-sales-v1"]
    with pytest.raises(UnknownChoiceError, match="no tier quick") as unknown:
        pools_for(list(known.values()), "sales", "quick", "any")
    assert unknown.value.known == ["fast", "smart"]


def test_numbers_lead_to_an_agent_the_longest_beginning_first(tmp_path: Path) -> None:
    routes = load(tmp_path).pools["eu-sales-v1"].routes
    assert [routes.of_number(n) for n in ("+493012", "+493099", "+1", "")] == ["sales", "support", "support", "support"]


def chosen(known: dict[str, Region], rooms: int, free: dict[str, int]) -> list[str]:
    """The pools that calls in so many rooms are for."""
    able = pools_for(list(known.values()), "sales", None, "any")

    def capacity(pool: Region) -> RegionCapacity:
        return RegionCapacity(pool.name, free_now=free.get(pool.name, 4), free_at_most=8)

    return [by_version(able, f"call-{n}", capacity)[0].region for n in range(rooms)]


def decided(known: dict[str, Region], decision: Decision | None) -> TrialView:
    view = known["eu-sales-v2"].trial
    assert view is not None
    assert view is known["eu-sales-v1"].trial
    view.known, view.record = True, Record(1, Verdict(decision, "why") if decision is not None else None)
    return view


def test_a_canary_gets_its_share_only_while_it_is_known_and_has_a_free_slot(tmp_path: Path) -> None:
    known = pools(tmp_path)
    assert known["eu-sales-v2"].settings.role is PoolRole.CANARY
    assert set(chosen(known, 100, {})) == {"eu-sales-v1"}, "nothing is known of it"
    decided(known, None)
    share = chosen(known, 2_000, {}).count("eu-sales-v2") / 2_000
    assert 0.08 < share < 0.12
    assert set(chosen(known, 100, {"eu-sales-v2": 0})) == {"eu-sales-v1"}


def test_one_that_was_rolled_back_gets_no_call_and_one_that_was_promoted_all_of_them(tmp_path: Path) -> None:
    known = pools(tmp_path)
    assert decided(known, Decision.ROLL_BACK).weight == 0
    assert set(chosen(known, 100, {"eu-sales-v1": 0})) == {"eu-sales-v1"}
    assert decided(known, Decision.PROMOTE).weight == 100
    assert set(chosen(known, 100, {})) == {"eu-sales-v2"}
    assert set(chosen(known, 100, {"eu-sales-v2": 0})) == {"eu-sales-v1"}, "as long as it grows"
    assert set(chosen(known, 100, {"eu-sales-v1": 0, "eu-sales-v2": 0})) == {"eu-sales-v2"}


def test_every_replica_draws_the_same() -> None:
    assert [drawn("call-1", weight) for weight in (0, 100)] == [False, True]
    assert sum(drawn(f"room-{n}", 30) for n in range(10_000)) == pytest.approx(3_000, abs=200)


def phone(dialled: str) -> Participant:
    return Participant("sip_1", caller=True, agent=False, joined_ms=1, dialled=dialled)


def test_a_room_that_nobody_ordered_is_that_agents_whose_number_was_dialled() -> None:
    async def story(fakes: FakeRegion) -> None:
        region = fakes.region
        routes = Routes(default="support", numbers={"+4930*": "sales"})
        for agent, takes in (("sales", [True, False, False]), ("support", [False, True, True])):
            region.settings.placed(PoolPlace("eu", agent), PoolRole.STABLE, routes, trial="")
            there = ([phone("+493012")], [phone("+1212")], [phone("")])
            assert [await region.ours("a", one) for one in there] == takes

    with_region(story, rooms="all")


def test_a_call_that_went_on_in_another_pool_is_not_ours_whatever_its_ticket_says() -> None:
    async def story(fakes: FakeRegion) -> None:
        gone = {"a"}

        async def moved(room: str) -> bool:
            return room in gone

        ticket = Participant("ann", caller=True, agent=False, joined_ms=1, key="front")
        fakes.region.moved = moved
        assert not await fakes.region.ours("a", [ticket])
        assert await fakes.region.ours("b", [ticket])

    with_region(story)


def test_a_canary_always_has_a_worker_and_none_once_it_is_rolled_back(tmp_path: Path) -> None:
    settings = load(tmp_path, {"eu.agents.sales.pool": {"min_workers": 0, "max_workers": 3}}).pools["eu-sales-v2"]

    async def story(fakes: FakeRegion) -> None:
        region = fakes.region
        region.settings = settings
        known = pools(tmp_path)
        region.trial = decided(known, None)
        assert (region.spec.min_workers, region.spec.max_workers) == (1, 3)
        region.trial = decided(known, Decision.ROLL_BACK)
        assert (region.spec.min_workers, region.spec.max_workers) == (0, 0)

    with_region(story)


def test_two_agents_with_one_name_are_refused_though_yaml_takes_the_last(tmp_path: Path) -> None:
    file = tmp_path / "controller.yaml"
    file.write_text(FIELDS + "    agents: {}\n    agents: {}\n")
    with pytest.raises(ConfigError, match="has the field agents twice, at line") as refused:
        load_settings(file, {})
    assert refused.value.hint == "Keep one of them."
