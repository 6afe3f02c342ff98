"""The gauges of a region: what is not known when somebody scrapes has no series."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from support.fake_fleet import FakeFleet, take_over_calls
from support.fake_region import FakeRegion, with_region
from support.virtual_time import LoopClock, run
from voicefleet.contract.errors import Dependency, UnknownStateError
from voicefleet.contract.reports import STALE_AFTER_S
from voicefleet.controller.ports import Instance, InstanceState
from voicefleet.controller.regions.dependencies import AWAY_AFTER_S, dependencies
from voicefleet.controller.regions.gauges import RegionGauges
from voicefleet.controller.regions.pool_view import KnownInstances
from voicefleet.scaling import Decision, PoolObservation, SupplyState, Worker

pytestmark = pytest.mark.unit

OF_CALLS = (
    "voicefleet_calls_waiting",
    "voicefleet_call_oldest_wait_seconds",
    "voicefleet_calls_live",
    "voicefleet_calls_set_aside",
)


def shown(fakes: FakeRegion, *names: str) -> dict[str, float]:
    """The series of `names` that a scrape gets now."""
    RegionGauges({"eu": fakes.region}, fakes.metrics).write()
    families = fakes.metrics.registry.restricted_registry(names).collect()
    return {s.name: s.value for f in families for s in f.samples if s.labels.get("region") == "eu"}


def up(fakes: FakeRegion) -> set[str]:
    return {str(name) for name, answers in dependencies(fakes.region).items() if answers}


def test_calls_have_series_while_they_are_known_and_none_while_they_are_not() -> None:
    async def story(fakes: FakeRegion) -> None:
        assert shown(fakes, *OF_CALLS) == {}, "nothing was read yet"
        await fakes.call("a")
        await take_over_calls(fakes.region)
        await fakes.clock.sleep(2.0)
        await fakes.region.scans.scan()
        seen = shown(fakes, *OF_CALLS)
        assert seen.keys() == set(OF_CALLS)
        assert (seen["voicefleet_calls_waiting"], seen["voicefleet_call_oldest_wait_seconds"]) == (1.0, 2.0)
        fakes.store.redis.away = True
        with pytest.raises(UnknownStateError):
            await fakes.region.scans.scan()
        await fakes.clock.sleep(0.1)
        assert shown(fakes, *OF_CALLS) == {}, "a last value would say what nobody knows"

    with_region(story)


def test_who_waits_for_sure_is_shown_while_rooms_are_still_to_be_looked_at() -> None:
    async def story(fakes: FakeRegion) -> None:
        name = "voicefleet_calls_waiting"
        await fakes.region.scans.scan()
        assert fakes.region.sure_snapshot() is not None
        assert shown(fakes, name) == {}, "nobody is known to wait, and there may be more: that is not zero"
        await fakes.call("a")
        await fakes.clock.sleep(5.0)
        await fakes.region.scans.scan()
        assert (fakes.region.fresh_snapshot(), shown(fakes, *OF_CALLS)) == (
            None,
            {name: 1.0, "voicefleet_call_oldest_wait_seconds": 5.0},
        )
        fakes.region.reads.failed("listing", UnknownStateError("no answer", dependency="livekit"))
        await fakes.clock.sleep(AWAY_AFTER_S + 0.1)
        await fakes.region.scans.scan()
        assert shown(fakes, name) == {}, "whether they are still there only LiveKit knows"

    with_region(story)


def test_silent_callers_have_a_series_while_the_reports_are_fresh() -> None:
    async def story(fakes: FakeRegion) -> None:
        name = "voicefleet_region_calls_silent"
        assert shown(fakes, name) == {}
        await fakes.region.reports.read()
        assert shown(fakes, name) == {name: 0.0}
        await fakes.clock.sleep(STALE_AFTER_S + 1)
        assert shown(fakes, name) == {}

    with_region(story)


def test_workers_have_series_while_reports_and_instances_are_known() -> None:
    async def story() -> None:
        fakes = FakeRegion(fleet=FakeFleet(LoopClock(), slots=1))
        region = fakes.region
        seen = PoolObservation(region.settings.pool_spec, 0.0, (Worker("w1", SupplyState.READY, 1, 1),), 1, 0, 0, True)
        region.pool = region.pool.with_pass(seen, cast(Decision, None), 90.0)
        region.instances = KnownInstances((Instance("w1", InstanceState.RUNNING, 9.0),), region.clock.monotonic())
        assert pool(fakes) == {"running"}, "whether it takes calls only its report says"
        await region.reports.read()
        assert pool(fakes) == {"running", "ready"}
        await fakes.clock.sleep(STALE_AFTER_S + 1)
        await region.reports.read()
        assert pool(fakes) == set(), "which of them there are is not known any more"

    def pool(fakes: FakeRegion) -> set[str]:
        RegionGauges({"eu": fakes.region}, fakes.metrics).write()
        names = ("voicefleet_workers", "voicefleet_instances")
        families = fakes.metrics.registry.restricted_registry(names).collect()
        return {s.labels["state"] for f in families for s in f.samples if s.value}

    run(story())


@pytest.mark.parametrize(
    ("failed", "away"),
    [
        ([("queue", "redis")], {"redis"}),
        ([("listing", "livekit"), ("queue", "redis")], {"livekit", "redis"}),
        # Read only when there is a reason: nobody knows whether it would fail now.
        ([("webhooks", "redis")], set()),
        ([("listing", "")], set()),
    ],
)
def test_a_dependency_is_down_once_what_is_read_all_the_time_has_failed_for_some_seconds(
    failed: Iterable[tuple[str, str]], away: set[str]
) -> None:
    async def story(fakes: FakeRegion) -> None:
        reads = fakes.region.reads
        for source, dependency in failed:
            reads.failed(source, UnknownStateError("no answer", dependency=dependency))
        assert up(fakes) == {"redis", "livekit"}, "a restart is nobody's page"
        await fakes.clock.sleep(AWAY_AFTER_S + 0.1)
        assert up(fakes) == {"redis", "livekit"} - away
        for source, _ in failed:
            reads.succeeded(source)
        assert up(fakes) == {"redis", "livekit"}
        assert Dependency.KUBERNETES not in dependencies(fakes.region), "its workers are not pods"

    with_region(story)
