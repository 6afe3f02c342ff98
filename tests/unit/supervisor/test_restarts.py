"""When a process is started again: the pure decision, then the loop around it in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import virtual_time
from voicefleet.runtime.supervisor.keep_running import keep_running
from voicefleet.runtime.supervisor.restarts import Backoff, Ended, RestartPolicy

pytestmark = pytest.mark.unit

POLICY = RestartPolicy(first_wait_s=1.0, longest_wait_s=30.0, proven_after_s=60.0, orderly_after_s=10.0)


@pytest.mark.parametrize(
    ("ended", "proven"),
    [
        (Ended(0.0, 0), False),
        (Ended(9.9, 0), False),
        (Ended(10.0, 0), True),
        (Ended(10.0, 1), False),
        (Ended(59.9, -9), False),
        (Ended(10.0, None), False),
        (Ended(60.0, 1), True),
        (Ended(60.0, None), True),
    ],
)
def test_a_long_life_or_an_orderly_end_is_no_failure(ended: Ended, proven: bool) -> None:
    assert POLICY.proven(ended) is proven


def test_without_an_orderly_limit_code_0_counts_as_any_other() -> None:
    assert not RestartPolicy(1.0, 30.0, 60.0).proven(Ended(59.0, 0))


def test_failures_in_a_row_double_the_wait_up_to_the_longest() -> None:
    backoff, now_s, waits = Backoff(POLICY), 0.0, []
    for _ in range(20):
        backoff = backoff.after(Ended(0.1, 1), now_s)
        waits.append(backoff.wait_s(now_s))
        now_s += waits[-1]
    assert waits[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert waits[-1] == 30.0
    assert backoff.failures == 20


def test_a_proven_process_makes_up_for_the_failures_before_it() -> None:
    backoff = Backoff(POLICY)
    for now_s in (0.0, 10.0, 20.0):
        backoff = backoff.failed(now_s)
    backoff = backoff.after(Ended(60.0, 1), 100.0)
    assert (backoff.failures, backoff.wait_s(100.0)) == (0, 0.0)
    assert backoff.failed(100.0).wait_s(100.0) == 1.0


def test_without_a_failure_for_as_long_as_a_process_takes_to_be_proven_all_are_forgotten() -> None:
    backoff = Backoff(POLICY).failed(0.0).failed(10.0)
    assert backoff.at(71.9) == backoff, "the next start was due at 12 s"
    assert backoff.at(72.0) == Backoff(POLICY)
    assert Backoff(POLICY).at(0.0) == Backoff(POLICY)


def test_failures_of_one_moment_are_one() -> None:
    backoff = Backoff(POLICY).failed(5.0)
    assert backoff.failed(5.0) == backoff.failed(5.9) == backoff
    assert backoff.failed(6.0).failures == 2


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.sampled_from([None, 0, 1, -9])), max_size=40))
def test_a_wait_is_never_longer_than_the_longest(ends: list[tuple[float, float, int | None]]) -> None:
    backoff, now_s = Backoff(POLICY), 0.0
    for later_s, lived_s, code in ends:
        now_s += later_s
        before = backoff
        backoff = backoff.after(Ended(lived_s, code), now_s)
        assert 0.0 <= backoff.wait_s(now_s) <= POLICY.longest_wait_s + 1e-9, "but for the sum of two times"
        assert backoff.failures in (0, before.failures, before.failures + 1)


def run_for(lives_s: list[float]) -> list[tuple[float, float]]:
    """(Moment of each end, wait after it) of processes that live so long, in virtual time."""
    ends: list[tuple[float, float]] = []

    async def work() -> None:
        lives, done = iter(lives_s), asyncio.Event()

        async def run_once() -> Ended:
            if (life_s := next(lives, None)) is None:
                done.set()
                await asyncio.Event().wait()
            assert life_s is not None
            await asyncio.sleep(life_s)
            return Ended(life_s, 1)

        def report(_: Ended, wait_s: float) -> None:
            ends.append((round(virtual_time.now_s(), 6), wait_s))

        keeper = asyncio.create_task(keep_running(run_once, POLICY, virtual_time.LoopClock(), report))
        await done.wait()
        keeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeper

    virtual_time.run(work())
    return ends


def test_the_next_process_starts_after_the_wait_and_at_once_after_a_proven_one() -> None:
    assert run_for([0.5, 0.5, 100.0, 0.5]) == [(0.5, 1.0), (2.0, 2.0), (104.0, 0.0), (104.5, 1.0)]


def test_a_process_that_cannot_be_started_does_not_keep_the_loop_busy() -> None:
    assert run_for([0.0] * 5) == [(0.0, 1.0), (1.0, 2.0), (3.0, 4.0), (7.0, 8.0), (15.0, 16.0)]


def test_keeping_can_be_cancelled_when_there_is_nothing_to_wait_for() -> None:
    async def work() -> int:
        runs = 0

        async def run_once() -> Ended:
            nonlocal runs
            runs += 1
            return Ended(100.0)

        keeper = asyncio.create_task(keep_running(run_once, POLICY, virtual_time.LoopClock(), lambda *_: None))
        for _ in range(10):
            await asyncio.sleep(0)
        keeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeper
        return runs

    assert virtual_time.run(work()) > 1
