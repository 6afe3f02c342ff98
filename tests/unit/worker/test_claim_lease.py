"""A job that lost its call never speaks again; a Redis that is away costs no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from support import virtual_time
from voicefleet.contract.claims import RENEW_EVERY_S, Handoff, HandoffState
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.redis.claim_store import Renewed, Yielded
from voicefleet.worker.job.claim_lease import SETTLE_LIMIT_S, ClaimLease

pytestmark = pytest.mark.unit

AWAY = UnknownStateError("away")
READY = Handoff("j", "w", HandoffState.READY, "k", "v")


class Claims:
    """Answers of the claim store, one a renewal: an epoch, `Renewed`, None for lost, or an error."""

    def __init__(self, *answers: int | Renewed | Exception | None, yields: Yielded | Exception = Yielded.KEPT) -> None:
        self.answers = list(answers)
        self.yields = yields
        self.asked: list[tuple[float, int]] = []
        self.troubles: list[str] = []
        self.during: Callable[[], Any] = lambda: None
        """Called while Redis is thinking."""

    async def renew(
        self, room: str, sid: str, *, worker: str, job: str, epoch: int, attempt: int, trouble: str = ""
    ) -> Renewed | None:
        self.asked.append((virtual_time.now_s(), epoch))
        self.troubles.append(trouble)
        answer = self.answers.pop(0)
        self.during()
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        return Renewed(answer, None) if isinstance(answer, int) else answer

    async def hand_over(self, room: str, *, job: str) -> Yielded:
        if isinstance(self.yields, Exception):
            raise self.yields
        return self.yields


def lease_of(claims: Claims, epoch: int = 0) -> ClaimLease:
    return ClaimLease(claims, room="r", room_sid="RM", worker="w", job="j", epoch=epoch, clock=virtual_time.LoopClock())  # type: ignore[arg-type]


def stop_the_process(seconds: float) -> None:
    """Time goes by, and nothing here runs."""
    asyncio.get_running_loop()._jumping.now_s += seconds  # type: ignore[attr-defined]


def test_lost_at_once() -> None:
    async def case() -> None:
        lease = lease_of(Claims(None), 4)
        assert not await lease.acquire()
        assert lease.lost

    virtual_time.run(case())


def test_redis_away_at_first_keeps_the_call_and_takes_an_epoch_later() -> None:
    async def case() -> None:
        claims = Claims(AWAY, AWAY, 9, 9, None)
        lease = lease_of(claims, 0)
        assert await lease.acquire()
        await lease.renew_until_lost(lambda: True)
        assert [epoch for _, epoch in claims.asked] == [0, 0, 0, 9, 9]
        assert lease.lost
        assert virtual_time.now_s() == pytest.approx(4 * RENEW_EVERY_S, abs=0.01)

    virtual_time.run(case())


def test_redis_away_and_another_is_there_already() -> None:
    async def case() -> None:
        lease = lease_of(Claims(AWAY), 0)
        assert not await lease.acquire(others=True)
        assert lease.lost

    virtual_time.run(case())


def test_no_renewal_while_the_room_is_gone() -> None:
    async def case() -> None:
        claims = Claims(4, None)
        lease = lease_of(claims, 4)
        assert await lease.acquire()
        connected = iter([False, False, True])
        await lease.renew_until_lost(lambda: next(connected), trouble=lambda: "media")
        assert [at_s for at_s, _ in claims.asked] == pytest.approx([0.0, 3 * RENEW_EVERY_S], abs=0.01)
        assert claims.troubles == ["", "media"]

    virtual_time.run(case())


def test_a_wake_renews_at_once() -> None:
    async def case() -> None:
        claims = Claims(None)
        lease = lease_of(claims)
        asyncio.get_running_loop().call_later(0.2, lease.renew_soon)
        await lease.renew_until_lost(lambda: True)
        assert claims.asked[0][0] == pytest.approx(0.2)

    virtual_time.run(case())


def test_a_process_that_did_not_run_is_silent_until_its_claim_is_confirmed() -> None:
    async def case() -> None:
        claims = Claims(1, AWAY, 1, None)
        lease, told = lease_of(claims), list[tuple[float, bool]]()
        asyncio.get_running_loop().call_later(1.2, stop_the_process, 10.0)
        await lease.renew_until_lost(lambda: True, stalled=lambda yes: told.append((virtual_time.now_s(), yes)))
        assert [yes for _, yes in told] == [True, False]
        assert told[0][0] == pytest.approx(11.2, abs=0.01), "at once"
        assert told[1][0] == pytest.approx(12.2, abs=0.01), "with the first answer"

    virtual_time.run(case())


def test_an_answer_from_before_the_stall_does_not_confirm() -> None:
    async def case() -> None:
        claims = Claims(1, 1, None)
        lease, told = lease_of(claims), list[bool]()
        stops = iter([10.0, 0.0, 0.0])
        # It is stopped while Redis answers: the answer is as old as the stall is long.
        claims.during = lambda: stop_the_process(next(stops))
        await lease.renew_until_lost(lambda: True, stalled=told.append, renewed=lambda: told.append(False))
        assert told[0] is False, "the renewal itself"
        assert told[1] is True
        assert told[2:] == [False, False], "confirmed by the next one only"

    virtual_time.run(case())


def test_a_long_wait_for_redis_is_no_stall() -> None:
    async def case() -> None:
        claims = Claims(1, None)

        async def slow(*_: Any, **__: Any) -> Renewed | None:
            await asyncio.sleep(8.0)
            return None

        lease, told = lease_of(claims), list[bool]()
        claims.renew = slow  # type: ignore[method-assign]
        await lease.renew_until_lost(lambda: True, stalled=told.append)
        assert told == []

    virtual_time.run(case())


@pytest.mark.parametrize(
    ("yields", "answers", "gone"),
    [
        (Yielded.DONE, [], True),
        (Yielded.LOST, [], True),
        (Yielded.KEPT, [], False),
        # Nobody knows whether it was made: the claim tells.
        (AWAY, [AWAY, None], True),
        (AWAY, [AWAY, 5, 5], False),
        # The order may be on its way still when the claim is first read.
        (AWAY, [5, None], True),
        (AWAY, [5, AWAY, 5, 5], False),
        (AWAY, [AWAY] * 12, None),
    ],
)
def test_hand_over(yields: Yielded | Exception, answers: list[int | Exception | None], gone: bool | None) -> None:
    async def case() -> None:
        lease = lease_of(Claims(*answers, yields=yields))
        assert await lease.hand_over() is gone
        assert lease.lost == lease.handed_over == (gone is True)
        assert virtual_time.now_s() <= SETTLE_LIMIT_S + 0.4

    virtual_time.run(case())


def test_only_a_ready_successor_counts() -> None:
    async def case() -> None:
        wanted = Handoff("j", "w", HandoffState.WANTED)
        claims, seen = Claims(Renewed(1, wanted), Renewed(1, READY), 1, None), list[Handoff | None]()
        lease = lease_of(claims)
        await lease.renew_until_lost(lambda: True, renewed=lambda: seen.append(lease.handoff))
        assert seen == [None, READY, None]

    virtual_time.run(case())


def test_no_renewal_beside_a_handover() -> None:
    async def case() -> None:
        claims = Claims(1, yields=AWAY)
        claims.answers = [1, AWAY, 1, 1, None]
        lease = lease_of(claims)
        keeping = asyncio.create_task(lease.renew_until_lost(lambda: True))
        await asyncio.sleep(1.5)
        assert await lease.hand_over() is False
        await keeping
        times = [round(at_s, 1) for at_s, _ in claims.asked]
        assert times[:4] == [1.0, 1.8, 2.1, 2.4], "one question at a time"

    virtual_time.run(case())


@dataclass
class Releases:
    """A claim store to which the claim is given back."""

    answers: list[bool | Exception]
    asked: list[dict[str, str]] = field(default_factory=list)

    async def release(self, room: str, **what: str) -> bool:
        self.asked.append(what)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def released(store: Releases, reason: str, *, lost: bool = False) -> tuple[bool, ClaimLease]:
    lease = lease_of(store)  # type: ignore[arg-type]
    lease.lost = lost
    return virtual_time.run(lease.release(reason)), lease


def test_a_released_call_is_not_this_jobs_any_more() -> None:
    store = Releases([True])
    done, lease = released(store, "session_closed")
    assert done
    assert lease.lost
    assert store.asked == [{"job": "j", "released": "session_closed", "room_sid": "RM"}]


def test_a_release_on_purpose_waits_for_redis_for_a_while() -> None:
    away = UnknownStateError("away")
    assert released(Releases([away, away, True]), "session_closed")[0]
    never = Releases([away] * 100)
    assert not released(never, "session_closed")[0]
    assert 10 < len(never.asked) < 20
    once = Releases([away] * 100)
    assert not released(once, "")[0], "a claim runs out by itself"
    assert len(once.asked) == 1


def test_a_job_that_lost_the_call_releases_nothing() -> None:
    store = Releases([True])
    done, _ = released(store, "session_closed", lost=True)
    assert not done
    assert [asked["released"] for asked in store.asked] == [""]
