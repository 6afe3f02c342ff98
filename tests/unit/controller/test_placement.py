"""Where a call goes, and why: the decision, the tokens of probes, the team's table."""

from __future__ import annotations

import ipaddress
import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from voicefleet.controller.placement.caller_table import CallerTable
from voicefleet.controller.placement.place import (
    SLACK_MS,
    Considered,
    Ignored,
    PlacementRequest,
    Reason,
    RegionSeen,
    Verdict,
    place,
    spill_order,
)
from voicefleet.controller.placement.probe_tokens import VALID_S, RoundTripTaken, region_in, sign, signing_key, verify
from voicefleet.controller.regions.capacity import RegionCapacity

pytestmark = pytest.mark.unit

NOW_MS = 1_000_000


def seen(region: str, free: int | None = 4, most: int | None = 8, *, reserved: int = 0, **more: Any) -> RegionSeen:
    held = {name: more.pop(name) for name in ("own", "held", "soon", "ratio") if name in more}
    capacity = RegionCapacity(region, free, most, reserved=reserved, slots=8, **held)
    return RegionSeen(region, capacity, **more)


def trips(issued_ms: int = NOW_MS - 1_000, **measured: float) -> tuple[RoundTripTaken, ...]:
    return tuple(RoundTripTaken(region, ms, issued_ms) for region, ms in measured.items())


def verdicts(view: Sequence[RegionSeen], request: PlacementRequest) -> dict[str, Verdict]:
    return {c.region: c.verdict for c in place(request, view, NOW_MS).considered}


NEAREST = PlacementRequest(round_trips=trips(eu=20, us=80, ap=180))


def test_the_nearest_as_measured_with_room() -> None:
    found = place(NEAREST, [seen("ap"), seen("us", 90), seen("eu", 1)], NOW_MS)
    assert (found.pool, found.reason, found.alternatives) == ("eu", Reason.ROUND_TRIP, ("us", "ap"))
    assert found.considered == (
        Considered("eu", Verdict.CHOSEN, 20),
        Considered("us", Verdict.BEHIND, 80),
        Considered("ap", Verdict.BEHIND, 180),
    )
    assert found.text == "nearest as measured, 20 ms"


@pytest.mark.parametrize(
    ("eu", "verdict"),
    [
        (seen("eu", 0, 0), Verdict.FULL),
        (seen("eu", 0, 8), Verdict.NO_ROOM_YET),
        (seen("eu", 2, 8, reserved=2), Verdict.NO_ROOM_YET),
        (seen("eu", None, None), Verdict.UNKNOWN),
        (seen("eu", well=False), Verdict.UNWELL),
        (seen("eu", own=4, held=4, ratio=0.5), Verdict.UNUSED_TICKETS),
    ],
)
def test_the_next_one_where_the_nearest_is_of_no_use_now(eu: RegionSeen, verdict: Verdict) -> None:
    found = place(NEAREST, [eu, seen("us", 1), seen("ap", 90)], NOW_MS)
    assert (found.pool, found.reason) == ("us", Reason.SPILL)
    assert verdicts([eu, seen("us", 1), seen("ap", 90)], NEAREST)["eu"] is verdict
    assert "eu " in found.text


def test_a_worker_that_starts_is_worth_waiting_for_and_one_that_would_have_to_is_not() -> None:
    assert place(NEAREST, [seen("eu", 0, 8, soon=4), seen("us")], NOW_MS).pool == "eu"
    assert place(NEAREST, [seen("eu", 0, 8, soon=4, reserved=4), seen("us")], NOW_MS).pool == "us"
    assert place(NEAREST, [seen("eu", 0, 8), seen("us", 0, 8)], NOW_MS).pool == "eu", "both would have to start one"
    assert place(NEAREST, [seen("eu", well=False), seen("us", 0, 0)], NOW_MS).pool == "eu", "better than none"


def test_a_region_asked_for_by_name_is_left_only_when_it_can_have_no_room_and_only_for_those_it_names() -> None:
    def where(*view: RegionSeen, asked: str = "eu") -> str | None:
        return place(PlacementRequest(asked=asked, round_trips=trips(us=1)), view, NOW_MS).pool

    assert where(seen("eu", 0, 8), seen("us", 90)) == "eu"
    assert where(seen("eu", None, None), seen("us", 90), seen("ap")) == "eu"
    assert where(seen("eu", 0, 0), seen("us", 90)) is None
    spills = (seen("us", 0, 0, spill_to=("ap",)), seen("ap"), seen("sa", 90))
    assert where(seen("eu", 0, 0, spill_to=("us",)), *spills) == "ap", "those of the next one after it"
    assert where(seen("eu", well=False, spill_to=("us", "ap")), *spills) == "ap"
    assert where(*spills, asked="nowhere") is None


def test_the_table_leads_where_nothing_was_measured_and_measured_times_go_before_it() -> None:
    view = [seen("eu", 1, spill_to=("sa",)), seen("us", 90), seen("sa", 1), seen("ap", 50)]
    table = PlacementRequest(near=("eu", "us"), near_by=Reason.NETWORK)
    assert place(table, view, NOW_MS).reason is Reason.NETWORK
    assert [c.region for c in place(table, view, NOW_MS).considered] == ["eu", "us", "sa", "ap"]
    both = PlacementRequest(near=("eu",), round_trips=trips(ap=30))
    assert (place(both, view, NOW_MS).pool, place(both, view, NOW_MS).reason) == ("ap", Reason.ROUND_TRIP)
    assert place(PlacementRequest(near=("gone",)), view, NOW_MS).reason is Reason.FREE


def test_without_a_word_the_most_free_slots_and_unknown_ones_last() -> None:
    nothing = PlacementRequest()
    assert place(nothing, [seen("a", 1, 9), seen("b", 3, 3), seen("c", None, None)], NOW_MS).pool == "b"
    assert place(nothing, [seen("a", 8, 8, reserved=7), seen("b", 2, 8)], NOW_MS).pool == "b"
    assert place(nothing, [seen("a", 0, 0), seen("c", None, None)], NOW_MS).pool == "c"
    assert place(nothing, [seen("a", 0, 3), seen("b", 0, 9)], NOW_MS).pool == "b"
    assert place(nothing, [seen("a", 9, well=False), seen("b", 1)], NOW_MS).pool == "b"
    none = place(nothing, [seen("a", 0, 0), seen("b", -2, 0)], NOW_MS)
    assert (none.pool, none.spent, none.alternatives) == (None, False, ())
    assert place(nothing, [seen("a", 0, 0), seen("b", own=4, ratio=0.5)], NOW_MS).spent
    assert place(nothing, [], NOW_MS).pool is None


def test_a_residency_group_is_never_left() -> None:
    """Whatever is asked for, measured, full, unwell or unknown: all small worlds of three regions, many requests."""
    states: list[dict[str, Any]] = [{}, {"free": 0, "most": 0}, {"free": None, "most": None}, {"well": False}]
    drawn = random.Random(7)
    for parts in itertools.product(states, repeat=3):
        view = [
            seen(name, residency=group, spill_to=("us", "ap") if name == "eu" else (), **part)
            for name, group, part in zip(("eu", "us", "ap"), ("g", "", "g"), parts, strict=True)
        ]
        for group in ("g", "h"):
            request = PlacementRequest(
                asked=drawn.choice(["", "eu", "us", "ap"]),
                round_trips=tuple(
                    RoundTripTaken(name, drawn.uniform(1, 90), NOW_MS - 500)
                    for name in drawn.sample(["eu", "us", "ap"], 2)
                ),
                near=tuple(drawn.sample(["eu", "us", "ap"], drawn.randint(0, 3))),
                residency=group,
            )
            found = place(request, view, NOW_MS)
            assert {found.region, *found.alternatives} <= ({"eu", "ap", ""} if group == "g" else {""})
            assert {c.region for c in found.considered if c.verdict is Verdict.OUTSIDE} >= {"us"}


def test_who_names_a_region_or_is_in_the_table_stays_in_its_group_and_who_measured_does_not() -> None:
    view = [seen("eu", 0, 0, residency="g", spill_to=("eu2",)), seen("eu2", 0, 0, residency="g"), seen("us")]
    for request in (PlacementRequest(asked="eu"), PlacementRequest(near=("eu",))):
        found = place(request, view, NOW_MS)
        assert (found.pool, found.residency) == (None, "g")
    assert place(NEAREST, view, NOW_MS).pool == "us"
    assert "stays in g" in place(PlacementRequest(asked="eu"), [seen("eu", residency="g")], NOW_MS).text


@pytest.mark.parametrize(
    ("measured", "now_ms", "why"),
    [
        (trips(issued_ms=NOW_MS - round(VALID_S * 1000) - 1, eu=20), NOW_MS, Ignored.OLD),
        (trips(issued_ms=NOW_MS + round(SLACK_MS) + 1, eu=20), NOW_MS, Ignored.OLD),
        (trips(issued_ms=NOW_MS - 100, eu=400), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(eu=0), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(eu=-3), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(eu=float("nan")), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(eu=float("inf")), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(issued_ms=NOW_MS - 30_000, eu=20_000), NOW_MS, Ignored.IMPOSSIBLE),
        (trips(eu=20), None, Ignored.NO_CLOCK),
    ],
)
def test_a_time_that_cannot_be_is_ignored_and_counted(
    measured: tuple[RoundTripTaken, ...], now_ms: int | None, why: Ignored
) -> None:
    found = place(PlacementRequest(round_trips=measured), [seen("eu", 1), seen("us", 9)], now_ms)
    assert (found.pool, found.reason, found.ignored) == ("us", Reason.FREE, {why: 1})


def test_of_several_measurements_of_a_region_the_least_counts() -> None:
    request = PlacementRequest(round_trips=(*trips(eu=90, us=30), *trips(eu=20)))
    assert place(request, [seen("eu"), seen("us")], NOW_MS).considered[0].round_trip_ms == 20


def test_a_token_is_of_one_region_one_key_and_one_moment() -> None:
    signing = signing_key("the-secret-of-livekit")
    token = sign(signing, "eu", "web", NOW_MS)
    assert (region_in(token), verify(signing, token, "web", 20.0)) == ("eu", RoundTripTaken("eu", 20.0, NOW_MS))
    assert verify(signing, token, "other", 20.0) is None
    assert verify(signing_key("another-secret"), token, "web", 20.0) is None
    forged = [
        token.replace(str(NOW_MS), str(NOW_MS + 1)),
        token.replace(".eu.", ".us."),
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        token + "=",
        "v1.eu.1.short",
        "",
        "v1.eu.\u0661.AAAAAAAAAAAAAAAAAAAAAA",
    ]
    assert [verify(signing, text, "web", 20.0) for text in forged] == [None] * len(forged)
    assert "the-secret" not in token


def test_the_smallest_network_counts_and_an_address_that_is_none_has_none() -> None:
    net = ipaddress.ip_network
    table = CallerTable(
        countries={"DE": ("eu", "us")},
        networks={net("10.0.0.0/8"): ("us",), net("10.1.0.0/16"): ("eu",), net("2001:db8::/32"): ("ap",)},
    )
    addresses = ("10.1.2.3", "10.9.2.3", "2001:db8::7", "::ffff:10.1.0.1", "192.0.2.1", "nowhere")
    assert [tuple(table.of_address(a)) for a in addresses] == [("eu",), ("us",), ("ap",), ("eu",), (), ()]
    assert [table.of_country(c) for c in ("DE", "FR", "")] == [("eu", "us"), (), ()]


def test_spill_goes_on_behind_the_next_ones_and_names_each_once() -> None:
    spills = {"eu": ("us", "sa"), "us": ("ap",), "sa": ("ap",), "ap": ()}
    assert spill_order("eu", spills) == ("us", "sa", "ap")
    assert spill_order("ap", spills) == ()
