"""The analysis of a canary, in virtual time: the leader decides once, from what is kept; nobody decides while Redis is
away, and nobody gets a canary that is not known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from support.fake_region import FakeRegion, with_region
from voicefleet.contract.call_log import CallLog
from voicefleet.controller.canary.analysis import EVALUATE_EVERY_S, CanaryAnalysis
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.canary.trial import Trial, TrialView
from voicefleet.controller.settings.agents import ObjectivesSettings

pytestmark = pytest.mark.unit

OBJECTIVES = ObjectivesSettings(
    error_ratio=0.05, ttfa_p95_s=2.0, silent_ratio=0.05, crash_ratio=0.05, min_calls=2, duration_s=30
)
GOOD = {"e": "turn", "outcome": "completed", "ttfa_s": 0.5}
BAD = {"e": "turn", "outcome": "error"}


@dataclass
class FakeRedis:
    """The few commands that are sent for hashes and for open calls."""

    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    open_calls: list[str] = field(default_factory=list)
    away: bool = False

    async def hgetall(self, key: str) -> dict[str, str]:
        if self.away:
            raise ConnectionError("away")
        return dict(self.hashes.get(key, {}))

    async def zrange(self, key: str, _first: int, _last: int) -> list[str]:
        return list(self.open_calls) if "{eu}" in key else []

    def pipeline(self, transaction: bool) -> FakeRedis:
        self.done: list[Any] = []
        return self

    async def __aenter__(self) -> FakeRedis:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def hsetnx(self, key: str, name: str, value: str) -> None:
        here = self.hashes.setdefault(key, {})
        self.done.append(int(name not in here))
        here.setdefault(name, value)

    def hincrby(self, key: str, name: str, count: int) -> None:
        here = self.hashes.setdefault(key, {})
        here[name] = str(int(here.get(name, 0)) + count)
        self.done.append(here[name])

    def pexpire(self, _key: str, _ms: int) -> None:
        self.done.append(1)

    async def execute(self) -> list[Any]:
        if self.away:
            raise ConnectionError("away")
        return self.done


class World:
    """A canary, the analyses of its replicas, and the logs of its calls."""

    def __init__(self, fakes: FakeRegion) -> None:
        self.fakes = fakes
        self.redis = FakeRedis()
        self.replicas: list[CanaryAnalysis] = []

    def replica(self, *, leads: bool) -> TrialView:
        view = TrialView(
            Trial("eu", "sales", "v2", "v1", "eu-sales-v2", "eu-sales-v1", 10, OBJECTIVES, id="abc"),
        )
        leadership = cast(Any, SimpleNamespace(leads=leads))
        region = self.fakes.region
        stable = cast(Any, SimpleNamespace(name="eu-sales-v1", calls=region.calls))
        self.replicas.append(CanaryAnalysis(cast(Any, self.redis), view, region, stable, leadership))
        return view

    def call(self, name: str, *facts: dict[str, Any]) -> CallLog:
        now_ms = self.fakes.store.redis.now_ms()
        log = CallLog(
            name, "eu", {"room": name, "opened_ms": str(now_ms)}, tuple({**fact, "t": now_ms} for fact in facts)
        )
        self.fakes.store.logs.logs[name] = log
        self.redis.open_calls.append(name)
        return log

    async def look(self, seconds: float = EVALUATE_EVERY_S) -> None:
        await self.fakes.clock.sleep(seconds)
        for analysis in self.replicas:
            await analysis.once()


def canary(story: Callable[[World], Awaitable[None]]) -> None:
    async def go(fakes: FakeRegion) -> None:
        await story(World(fakes))

    with_region(go)


def test_the_leader_alone_begins_and_decides_and_every_replica_knows() -> None:
    async def story(world: World) -> None:
        other = world.replica(leads=False)
        await world.look()
        assert (other.known, other.record, other.weight) == (True, None, 0), "nobody leads: it has not begun"
        leader = world.replica(leads=True)
        await world.look()
        await world.look()
        assert (leader.weight, other.weight) == (10, 10)
        world.call("one", BAD, BAD, BAD)
        await world.look()
        await world.look()
        assert (leader.decided, other.decided) == (Decision.ROLL_BACK, Decision.ROLL_BACK)
        assert (leader.weight, other.weight) == (0, 0)
        assert other.verdict is not None
        assert other.verdict.reason.startswith("3 of 3 turns without an answer")

    canary(story)


def test_calls_that_are_over_count_for_whoever_leads_next() -> None:
    async def story(world: World) -> None:
        first = world.replica(leads=True)
        await world.look()
        log = world.call("one", GOOD, GOOD)
        await world.replicas[0].canary_figures.note_over(log)
        world.redis.open_calls.clear()
        world.replicas.clear()  # killed
        second = world.replica(leads=True)
        assert second.weight == 0, "it is not known yet"
        world.call("two", GOOD)
        await world.look(40.0)
        assert second.decided is Decision.PROMOTE
        assert second.evidence is not None
        assert second.evidence.calls == 2
        assert (first.weight, second.weight) == (10, 100)

    canary(story)


def test_nothing_is_decided_while_redis_is_away_and_what_was_known_stays() -> None:
    async def story(world: World) -> None:
        view = world.replica(leads=True)
        await world.look()
        world.redis.away = True
        world.call("one", BAD, BAD, BAD)
        await world.look()
        assert (view.decided, view.weight) == (None, 10)
        assert "canary" in world.fakes.region.reads.troubles
        world.redis.away = False
        await world.look()
        assert view.decided is Decision.ROLL_BACK

    canary(story)


def test_a_verdict_is_for_good_and_calls_after_it_do_not_count() -> None:
    async def story(world: World) -> None:
        view = world.replica(leads=True)
        await world.look()
        world.call("one", BAD, BAD, BAD)
        await world.look()
        assert view.decided is Decision.ROLL_BACK
        world.redis.open_calls.clear()
        kept = dict(world.redis.hashes)
        await world.replicas[0].canary_figures.note_over(world.call("late", *[GOOD] * 100))
        await world.look(100.0)
        assert view.decided is Decision.ROLL_BACK
        assert world.redis.hashes == kept

    canary(story)


def test_calls_from_before_it_began_do_not_count() -> None:
    async def story(world: World) -> None:
        world.call("old", BAD, BAD, BAD)
        await world.fakes.clock.sleep(1.0)
        view = world.replica(leads=True)
        await world.look()
        await world.look()
        assert view.decided is None
        assert view.evidence is not None
        assert view.evidence.calls == 0

    canary(story)


def test_workers_that_do_not_start_are_waited_for_and_then_it_is_rolled_back() -> None:
    async def story(world: World) -> None:
        region = world.fakes.region
        region.fleet = cast(Any, SimpleNamespace(trouble=lambda: "3 failed starts in a row; last: exit code 2"))
        region.pool = cast(Any, SimpleNamespace(decision=SimpleNamespace(desired=1)))
        await region.reports.read()
        view = world.replica(leads=True)
        for _ in range(5):
            await region.reports.read()
            await world.look(5.0)
        assert view.decided is None, "a slow start is none"
        for _ in range(4):
            await region.reports.read()
            await world.look(5.0)
        assert view.decided is Decision.ROLL_BACK
        assert view.verdict is not None
        assert "exit code 2" in view.verdict.reason

    canary(story)
