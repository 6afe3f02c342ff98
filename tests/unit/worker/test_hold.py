"""A job that lost its call never speaks again; a Redis that is away costs no call."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from voicefleet.contract.claims import RENEW_EVERY_S
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.claims import Live
from voicefleet.worker.hold import Hold

pytestmark = pytest.mark.unit


class VirtualClock:
    """Time that passes only when slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Claims:
    """Answers of the claim store, one a renewal."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers = list(answers)
        self.epochs: list[int] = []

    async def live(self, room: str, sid: str, *, worker: str, job: str, epoch: int, trouble: str = "") -> Live | None:
        self.epochs.append(epoch)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Live(answer, None) if answer else None


def hold(claims: Claims, clock: VirtualClock) -> Hold:
    return Hold(claims, room="r", room_sid="RM", worker="w", job="j", clock=clock)  # type: ignore[arg-type]


async def test_lost_at_once() -> None:
    h = hold(Claims(None), VirtualClock())
    assert not await h.take(4)
    assert h.lost


async def test_redis_away_at_first_keeps_the_call_and_takes_an_epoch_later() -> None:
    claims, clock = Claims(UnknownStateError("away"), UnknownStateError("away"), 9, 9, None), VirtualClock()
    h = hold(claims, clock)
    assert await h.take(0)
    await h.keep(lambda: True)
    assert claims.epochs == [0, 0, 0, 9, 9]
    assert h.lost
    assert clock.now == pytest.approx(4 * RENEW_EVERY_S)


async def test_no_renewal_while_the_room_is_gone() -> None:
    claims, clock = Claims(4, None), VirtualClock()
    h = hold(claims, clock)
    assert await h.take(4)
    connected = iter([False, False, True])
    await h.keep(lambda: next(connected))
    assert clock.now == pytest.approx(3 * RENEW_EVERY_S)
    assert claims.epochs == [4, 4]


async def test_a_process_that_did_not_run_is_silent_until_its_claim_is_confirmed() -> None:
    clock, told = VirtualClock(), list[bool]()
    claims = Claims(1, UnknownStateError("away"), 1, None)
    h = hold(claims, clock)
    assert await h.take(1)
    jumps = iter([10.0, 0.0, 0.0, 0.0])

    def connected() -> bool:
        return True

    sleep = clock.sleep

    async def stall(seconds: float) -> None:
        await sleep(seconds + next(jumps))

    clock.sleep = stall  # type: ignore[method-assign]
    await h.keep(connected, stalled=told.append)
    assert told == [True, False]
    assert h.lost


async def test_without_a_claim_to_decide_the_later_agent_leaves() -> None:
    h = hold(Claims(UnknownStateError("away")), VirtualClock())
    assert not await h.take(0, others=True)
    assert h.lost
