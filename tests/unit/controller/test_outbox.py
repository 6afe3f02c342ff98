"""Which call event a receiver is told of next: each call in order, none lost, and a receiver that fails is spared."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicefleet.contract.call_events import CallEvent, EventType
from voicefleet.controller.call_events.outbox import (
    FAILING_AFTER,
    LONGEST_AGAIN_S,
    LONGEST_PAUSE_S,
    Entry,
    Outbox,
    again_s,
)

pytestmark = pytest.mark.unit


def entry(number: int, call: str, at_ms: int = 0) -> Entry:
    return Entry((number, 0), CallEvent(f"{call}.{number}", EventType.STARTED, call, "eu", at_ms, {}))


def outbox(*entries: Entry, at_once: int = 8) -> Outbox:
    made = Outbox(at_once=at_once, give_up_after_s=3600.0)
    made.add(entries)
    return made


def test_events_of_one_call_come_in_order_and_other_calls_do_not_wait_for_them() -> None:
    a1, a2, b1 = entry(1, "a"), entry(2, "a"), entry(3, "b")
    box = outbox(a1, a2, b1)
    assert box.take(0.0) == [a1, b1]
    assert box.take(0.0) == []
    assert not box.failed(a1, 0.0, 1.0)
    box.told(b1)
    assert box.take(0.5) == []
    assert box.take(2.0) == [a1], "the one that failed comes before the later one of its call"
    box.told(a1)
    assert box.take(2.0) == [a2]
    box.told(a2)
    assert (box.waiting, box.oldest_ms()) == (0, None)


def test_no_more_are_under_way_than_the_receiver_may_have() -> None:
    box = outbox(*(entry(n, str(n)) for n in range(5)), at_once=2)
    first = box.take(0.0)
    assert len(first) == 2
    assert box.take(0.0) == []
    box.told(first[0])
    assert len(box.take(0.0)) == 1


def test_a_receiver_that_fails_gets_one_request_at_a_time_further_and_further_apart() -> None:
    box = outbox(*(entry(n, str(n)) for n in range(200)), at_once=8)
    requests: list[float] = []
    for tenth in range(36_000):
        for taken in box.take(tenth / 10):
            requests.append(tenth / 10)
            box.failed(taken, tenth / 10, 1.0)
    late = [at for at in requests if at > 600]
    assert max(b - a for a, b in itertools.pairwise(late)) <= LONGEST_PAUSE_S + 0.2
    assert len(late) <= 3000 / LONGEST_PAUSE_S + 2, "a receiver that is down is not hammered"
    assert box.waiting == 200


def test_when_the_receiver_is_back_nobody_waits_for_the_end_of_a_pause() -> None:
    entries = [entry(n, str(n)) for n in range(20)]
    box = outbox(*entries)
    now_s = 0.0
    while now_s < 3000:
        for taken in box.take(now_s):
            box.failed(taken, now_s, 1.0)
        now_s += 1.0
    assert box.failing
    while not (probe := box.take(now_s)):
        now_s += 1.0
    assert len(probe) == 1
    box.told(probe[0])
    assert len(box.take(now_s)) == 8


def test_one_event_that_is_always_refused_holds_up_its_own_call_alone_and_is_given_up_in_the_end() -> None:
    bad, after = entry(1, "bad"), entry(2, "bad")
    box = outbox(bad, after, *(entry(n, f"good{n}") for n in range(3, 103)))
    told: list[str] = []
    now_s = 0.0
    while box.waiting and now_s < 5000:
        for taken in box.take(now_s):
            if taken is bad:
                given_up = box.failed(bad, now_s, now_s)
                assert given_up == (now_s >= 3600)
            else:
                box.told(taken)
                told.append(taken.event.call)
        if now_s < 60:
            assert after.event.call not in told
        now_s += 1.0
    assert len(told) == 101
    assert box.waiting == 0


def test_the_next_try_comes_later_and_later_and_not_for_all_at_once() -> None:
    assert 0.75 <= again_s("a", 1) <= 1.25
    assert again_s("a", 12) <= LONGEST_AGAIN_S * 1.25
    assert len({again_s(str(n), 3) for n in range(50)}) > 40
    assert FAILING_AFTER > 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(1, 4))
def test_whatever_fails_each_event_is_told_once_and_each_call_in_order(
    plan: list[tuple[str, bool]], at_once: int
) -> None:
    """The plan: each event's call, and whether its first try fails."""
    fails = {f"{call}.{n}": bad for n, (call, bad) in enumerate(plan)}
    box = outbox(*(entry(n, call) for n, (call, _) in enumerate(plan)), at_once=at_once)
    told: dict[str, list[int]] = defaultdict(list)
    now_s = 0.0
    while box.waiting:
        now_s += 0.5
        assert now_s < 10_000
        for taken in box.take(now_s):
            if fails.pop(taken.event.id, False):
                assert not box.failed(taken, now_s, 1.0)
            else:
                box.told(taken)
                told[taken.event.call].append(taken.place[0])
    assert sorted(n for numbers in told.values() for n in numbers) == list(range(len(plan)))
    assert all(numbers == sorted(numbers) for numbers in told.values())
