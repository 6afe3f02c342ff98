"""A canary of tiers: how its calls are judged, when it is decided, and what the jobs are told."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from support.fake_region import FakeRegion, with_region
from voicefleet.contract.call_log import CallLog
from voicefleet.contract.errors import ConfigError
from voicefleet.contract.keys import Keys
from voicefleet.contract.parsing.validation import validated
from voicefleet.contract.tier_choice import TierChoice
from voicefleet.controller.canary.analysis import EVALUATE_EVERY_S
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.canary.look import difference
from voicefleet.controller.canary.sequential import Comparison, compare
from voicefleet.controller.canary.tier_analysis import TierAnalysis
from voicefleet.controller.canary.tiers import compare_tiers, decide_tiers, drawn_tier, good_call, missing
from voicefleet.controller.canary.trial import TierTrial, TierView
from voicefleet.controller.settings.tier import TierCanarySettings, TierPart

pytestmark = pytest.mark.unit

CALLS, ROUNDS = 200, 40


def trial(weight: int, **rule: Any) -> TierTrial:
    return TierTrial("eu", "", "quick", "steady", "eu", weight, TierCanarySettings(**rule), "abc")


ANSWERED = {"e": "turn", "outcome": "completed", "ttfa_s": 0.5}
DRAWN = {"e": "tier_drawn", "tier": "quick", "trial": "abc"}


def verdict(stable: float, canary: float, *, weight: int, seed: int, margin: float = 0.0) -> Decision:
    """What 200 calls decide, of which each is good with this chance."""
    chance = random.Random(seed)
    calls = []
    for _ in range(CALLS):
        tried = chance.random() * 100 < weight
        calls.append(("quick" if tried else "steady", chance.random() < (canary if tried else stable)))
    given = trial(weight, margin_ratio=margin)
    return decide_tiers(compare_tiers(calls, given), given.rule).decision


@pytest.mark.parametrize(
    ("stable", "canary", "weight", "right"),
    [
        (0.9, 0.65, 50, Decision.ROLL_BACK),
        (0.65, 0.9, 50, Decision.PROMOTE),
        (0.95, 0.5, 10, Decision.ROLL_BACK),
    ],
)
def test_two_tiers_that_truly_differ_are_decided_rightly_within_200_calls(
    stable: float, canary: float, weight: int, right: Decision
) -> None:
    found = [verdict(stable, canary, weight=weight, seed=seed) for seed in range(ROUNDS)]
    assert found.count(right) >= 0.95 * ROUNDS, "which differences these are, `make bench` says: --only tier_canary"
    assert set(found) <= {right, Decision.WAIT}


@pytest.mark.parametrize(("good", "weight"), [(0.95, 50), (0.5, 50), (0.8, 10)])
def test_two_equal_tiers_are_not_decided(good: float, weight: int) -> None:
    # One of 20 may be, by chance; the next test counts exactly how many.
    found = [verdict(good, good, weight=weight, seed=seed) for seed in range(ROUNDS)]
    assert found.count(Decision.WAIT) >= 0.9 * ROUNDS


@pytest.mark.parametrize(("stable", "canary"), [(100, 100), (180, 20), (900, 100)])
def test_a_look_at_two_equal_tiers_decides_as_rarely_as_its_error_says(stable: int, canary: int) -> None:
    """Over all results there are, each with its chance, for every share of good calls."""

    def decided(a: int, b: int) -> bool:
        low, high = difference(a, stable, b, canary, 0.045)
        return low >= 0 or high <= 0

    lost = [[decided(a, b) for b in range(canary + 1)] for a in range(stable + 1)]
    for percent in range(2, 99, 4):
        chance = chances(stable, percent / 100) @ np.array(lost, dtype=float) @ chances(canary, percent / 100)
        assert chance < 0.05, percent


def chances(total: int, ratio: float) -> NDArray[np.float64]:
    """Of 0 to `total` good calls, when each is one with the chance `ratio`."""
    return np.array([math.comb(total, k) * ratio**k * (1 - ratio) ** (total - k) for k in range(total + 1)])


def test_a_margin_promotes_what_is_as_good() -> None:
    found = [verdict(0.95, 0.95, weight=50, seed=seed, margin=0.3) for seed in range(20)]
    assert found.count(Decision.PROMOTE) >= 19


def test_an_interval_of_nothing_and_of_one_stream_is_everything() -> None:
    for stable, canary in (([], []), ([True] * 40, []), ([], [False] * 40), ([True] * 8, [False])):
        seen = compare(stable, canary, stable_per_canary=9, error=0.05)
        assert (seen.low, seen.high) == (-1.0, 1.0)
        assert decide_tiers(seen, TierCanarySettings()).decision is Decision.WAIT


def test_a_verdict_says_what_was_counted_and_how_sure_it_is() -> None:
    seen = compare([True] * 30, [False] * 30, stable_per_canary=1, error=0.05)
    found = decide_tiers(seen, TierCanarySettings())
    assert found.decision is Decision.ROLL_BACK
    assert found.reason.startswith("0 of 30 calls good, the stable tier 30 of 30: -100 points, between -100 and -")
    assert found.reason.endswith("with 95% certainty")
    for calls, when in ((200, "18 of 200 calls"), (20, "18 of 20 calls")):
        told = decide_tiers(Comparison(5, 9, 5, 9, -0.4, 0.4, 0.05), TierCanarySettings(calls=calls)).reason
        assert told.startswith(f"not decided ({when}): 5 of 9")
    late = decide_tiers(Comparison(5, 10, 5, 10, -0.4, 0.4, 0.05), TierCanarySettings(calls=20)).reason
    assert late.startswith("not decided (looked at after 20 calls, tried on): 5 of 10")


def call(*facts: dict[str, Any]) -> CallLog:
    return CallLog("c", "eu", {"room": "r", "opened_ms": "0"}, tuple({"t": 1, **fact} for fact in facts))


@pytest.mark.parametrize(
    ("facts", "by_responses", "by_tasks"),
    [
        ((), None, None),
        ((ANSWERED,), True, False),
        ((ANSWERED, {"e": "response", "result": "asked_again"}), False, False),
        (({"e": "turn", "outcome": "error"},), False, False),
        ((ANSWERED, {"e": "silence"}), False, False),
        ((ANSWERED, {"e": "lost"}), False, False),
        ((ANSWERED, {"e": "task", "result": "success"}), True, True),
        ((ANSWERED, {"e": "task", "result": "success"}, {"e": "task", "result": "failure"}), True, False),
    ],
)
def test_what_makes_a_call_a_good_one(
    facts: tuple[dict[str, Any], ...], by_responses: bool | None, by_tasks: bool | None
) -> None:
    assert good_call(call(*facts), "responses") is by_responses
    assert good_call(call(*facts), "tasks") is by_tasks


def test_a_call_counts_for_the_canary_that_it_was_drawn_for() -> None:
    assert drawn_tier(call(DRAWN), "abc") == "quick"
    assert drawn_tier(call({**DRAWN, "trial": "before"}), "abc") == ""
    assert drawn_tier(call(ANSWERED), "abc") == "", "its caller asked for the tier: it was not drawn"
    assert missing(None, "quick") == ""
    assert (
        missing(frozenset({"steady", "slow"}), "steady", "quik")
        == "no worker has the tier quik; they have slow, steady"
    )


def test_what_is_told_of_a_pool_is_read_as_it_was_written() -> None:
    choice = TierChoice("steady", "quick", 10, "abc")
    assert TierChoice.decode(choice.encode()) == choice
    assert [TierChoice.decode(text) for text in ("", "[]", '{"v":3}', '{"stable":"a","canary":"b","weight":"x"}')] == [
        None
    ] * 4
    picked = [choice.pick(f"room-{n}") for n in range(2000)]
    assert 0.07 < picked.count("quick") / 2000 < 0.13
    assert {TierChoice("steady").pick(f"room-{n}") for n in range(50)} == {"steady"}


def test_a_pool_has_one_tier_or_two_whose_shares_add_up() -> None:
    def read(tier: Any, **rule: Any) -> TierPart:
        return validated(TierPart, {"tier": tier, "tier_canary": rule}, source="controller.yaml")

    assert (read("fast").only_tier, read("fast").tier_split) == ("fast", None)
    assert read({"a": 100, "b": 0}).only_tier == "a"
    split = read({"b": 10, "a": 90}).tier_split
    assert split is not None
    assert (split.stable, split.canary, split.weight) == ("a", "b", 10)
    for equal in ({"b": 50, "a": 50}, {"a": 50, "b": 50}):
        with pytest.raises(ConfigError, match="nobody says which one is tried"):
            read(equal)
        named = read(equal, tried="a").tier_split
        assert named is not None
        assert (named.stable, named.canary, named.weight) == ("b", "a", 50)
    with pytest.raises(ConfigError) as caught:
        read({"steady": 90, "quick": 10}, tried="quik")
    assert (caught.value.field, caught.value.hint) == ("tier_canary.tried", "Did you mean quick?")
    for tier, what in (
        ({"a": 90, "b": 20}, "add up to 110"),
        ({"a": 80, "b": 10, "c": 10}, "more than one canary"),
        ({"A b": 100}, ""),
        ({"a": -1, "b": 101}, ""),
    ):
        with pytest.raises(ConfigError) as caught:
            read(tier)
        assert what in str(caught.value)
        assert caught.value.field.startswith("tier")


class FakeRedis:
    """The few commands that are sent."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.lists: dict[str, list[str]] = {}
        self.strings: dict[str, str] = {}
        self.done: list[Any] = []

    async def hgetall(self, key: str) -> dict[str, str]:
        return dict(self.hashes.get(key, {}))

    async def lrange(self, key: str, _first: int, _last: int) -> list[str]:
        return list(self.lists.get(key, []))

    async def set(self, key: str, value: str, *, px: int) -> None:
        assert px > 0
        self.strings[key] = value

    def pipeline(self, transaction: bool) -> FakeRedis:
        self.done = []
        return self

    async def __aenter__(self) -> FakeRedis:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def hsetnx(self, key: str, name: str, value: str) -> None:
        here = self.hashes.setdefault(key, {})
        self.done.append(int(name not in here))
        here.setdefault(name, value)

    def rpush(self, key: str, value: int) -> None:
        self.lists.setdefault(key, []).append(str(value))
        self.done.append(1)

    def ltrim(self, key: str, first: int, last: int) -> None:
        self.lists[key] = self.lists[key][first : last + 1]
        self.done.append(1)

    def pexpire(self, _key: str, _ms: int) -> None:
        self.done.append(1)

    async def execute(self) -> list[Any]:
        return self.done


class World:
    """A canary of tiers in one pool, as its leader sees it."""

    def __init__(self, fakes: FakeRegion) -> None:
        self.fakes = fakes
        self.redis = FakeRedis()
        self.view = TierView(trial(50))
        leadership = cast(Any, SimpleNamespace(leads=True))
        self.analysis = TierAnalysis(cast(Any, self.redis), self.view, fakes.region, leadership)

    @property
    def told(self) -> TierChoice | None:
        return TierChoice.decode(self.redis.strings.get(Keys("eu").tier_choice, ""))

    async def over(self, tier: str, *facts: dict[str, Any]) -> None:
        await self.analysis.note_over(call({**DRAWN, "tier": tier}, *facts))

    async def look(self) -> None:
        await self.fakes.clock.sleep(EVALUATE_EVERY_S)
        await self.analysis.once()


def canary(story: Callable[[World], Awaitable[None]]) -> None:
    async def go(fakes: FakeRegion) -> None:
        await story(World(fakes))

    with_region(go)


def test_a_worse_tier_is_rolled_back_and_the_jobs_are_told() -> None:
    async def story(world: World) -> None:
        await world.look()
        assert world.told == TierChoice("steady", "quick", 50, "abc")
        for _ in range(12):
            await world.over("steady", ANSWERED)
            await world.over("quick", {"e": "turn", "outcome": "error"})
        await world.look()
        assert world.view.decided is Decision.ROLL_BACK
        assert world.told == TierChoice("steady")
        kept = dict(world.redis.lists)
        await world.over("quick", ANSWERED)
        assert world.redis.lists == kept, "a verdict is for good"
        (incident,) = await world.fakes.region.incidents.read(1)
        assert "canary tier quick rolled back: 0 of 12 calls good" in incident.text

    canary(story)


def test_a_better_tier_is_promoted() -> None:
    async def story(world: World) -> None:
        await world.look()
        for _ in range(12):
            await world.over("quick", ANSWERED)
            await world.over("steady", ANSWERED, {"e": "response", "result": "hung_up"})
        await world.look()
        assert world.view.decided is Decision.PROMOTE
        assert world.told == TierChoice("quick")

    canary(story)


def test_calls_of_another_canary_or_that_asked_for_the_tier_do_not_count() -> None:
    async def story(world: World) -> None:
        await world.look()
        await world.analysis.note_over(call({**DRAWN, "trial": "old"}, ANSWERED))
        await world.analysis.note_over(call(ANSWERED))
        await world.over("quick")
        assert world.redis.lists == {}

    canary(story)
