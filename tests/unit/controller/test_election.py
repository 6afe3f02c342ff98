"""Leader election in virtual time, against a Lease in memory that behaves as the API's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field, replace

import pytest

from support.virtual_time import LoopClock, now_s, run
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.leader.election import Election, LeaseRecord, LeaseTakenError, Terms
from voicefleet.controller.leader.leadership import Term
from voicefleet.runtime.tasks import cancel_and_wait

pytestmark = pytest.mark.unit

TERMS = Terms(duration_s=6, renew_deadline_s=4.0, retry_s=1.0)
EMPTY = LeaseRecord("", 0, 0, "", "0")


@dataclass
class Lease:
    """One Lease. `down` refuses everybody; `slow_s` is how long each request takes."""

    record: LeaseRecord = EMPTY
    down: bool = False
    slow_s: float = 0.0
    writers: list[str] = field(default_factory=list)
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def read(self, within_s: float) -> LeaseRecord:
        await self._answer(within_s)
        return self.record

    async def write(self, record: LeaseRecord, within_s: float) -> LeaseRecord:
        await self._answer(within_s)
        if record.version != self.record.version:
            raise LeaseTakenError("taken")
        self.record = replace(record, version=str(next(self.versions)))
        self.writers.append(record.holder)
        return self.record

    async def _answer(self, within_s: float) -> None:
        if self.down or self.slow_s > within_s:
            await asyncio.sleep(min(within_s, self.slow_s or 0.01))
            raise UnknownStateError("no answer")
        await asyncio.sleep(self.slow_s)


def candidate(lease: Lease, name: str, told: list[bool] | None = None) -> Election:
    changed = (lambda leads: None) if told is None else told.append
    return Election(lease, name, TERMS, LoopClock(), changed=changed)


@contextlib.asynccontextmanager
async def running(*elections: Election):  # type: ignore[no-untyped-def]
    tasks = [asyncio.create_task(e.run()) for e in elections]
    try:
        yield tasks
    finally:
        await cancel_and_wait(tasks)


async def never_two(elections: list[Election], seconds: float) -> None:
    until_s = now_s() + seconds
    while now_s() < until_s:
        assert sum(e.leads for e in elections) <= 1, [e.remaining_s() for e in elections]
        await asyncio.sleep(0.05)


def test_one_of_three_leads_and_the_others_know_whom() -> None:
    async def story() -> None:
        lease = Lease()
        elections = [candidate(lease, name) for name in "abc"]
        async with running(*elections):
            await never_two(elections, 30.0)
            assert [e.leads for e in elections] == [True, False, False]
            assert {e.holder for e in elections} == {"a"}
            assert (lease.record.transitions, set(lease.writers)) == (1, {"a"})

    run(story())


def test_another_takes_over_from_one_that_died() -> None:
    async def story() -> None:
        lease, told = Lease(), list[bool]()
        a, b = candidate(lease, "a"), candidate(lease, "b", told)
        async with running(a) as (task,):
            await asyncio.sleep(3.0)
            async with running(b):
                await asyncio.sleep(3.0)
                task.cancel()
                died_s = now_s()
                while not b.leads:
                    assert sum(e.leads for e in (a, b)) <= 1
                    await asyncio.sleep(0.05)
                assert TERMS.duration_s - TERMS.retry_s < now_s() - died_s <= TERMS.duration_s + 2 * TERMS.retry_s
                assert told == [True]
                assert lease.record.transitions == 2

    run(story())


def test_a_lease_that_was_given_up_is_taken_at_once() -> None:
    async def story() -> None:
        lease = Lease()
        a, b = candidate(lease, "a"), candidate(lease, "b")
        async with running(b):
            async with running(a):
                pass
            await a.once()
            if not a.leads:  # b was first: it is the one that goes
                a, b = b, a
        async with running(b):
            await asyncio.sleep(2.0)
            assert not b.leads
            await a.release()
            assert not a.leads
            await asyncio.sleep(TERMS.retry_s + 0.1)
            assert b.leads

    run(story())


def test_with_the_server_away_the_leader_stops_before_another_may_begin() -> None:
    async def story() -> None:
        lease = Lease()
        a, b = candidate(lease, "a"), candidate(lease, "b")
        async with running(a, b):
            await asyncio.sleep(5.0)
            assert a.leads
            lease.down = True
            began_s = now_s()
            while a.leads:
                await asyncio.sleep(0.01)
            assert now_s() - began_s <= TERMS.renew_deadline_s
            assert "no answer" in a.trouble
            await never_two([a, b], 60.0)
            assert not b.leads
            assert b.holder == ""
            lease.down = False
            await never_two([a, b], 5.0)
            assert a.leads or b.leads
            assert a.trouble == b.trouble == ""

    run(story())


def test_a_renewal_counts_from_its_beginning() -> None:
    """Others may have seen it as soon as it was sent, however late its answer came."""

    async def story() -> None:
        lease = Lease(slow_s=0.9)
        a = candidate(lease, "a")
        await a.once()
        assert a.remaining_s() == pytest.approx(TERMS.renew_deadline_s - 0.9)

    run(story())


def test_one_that_was_paused_does_not_lead_when_it_wakes() -> None:
    async def story() -> None:
        lease = Lease()
        a, b = candidate(lease, "a"), candidate(lease, "b")
        await a.once()
        assert a.leads
        # Paused: nothing of `a` runs, its next step is a write over the version it read.
        old = lease.record
        async with running(b):
            await asyncio.sleep(TERMS.duration_s + 3.0)
            assert b.leads
            assert not a.leads
            with pytest.raises(LeaseTakenError):
                await lease.write(old, 1.0)
            await a.once()
            assert (a.leads, a.holder) == (False, "b")

    run(story())


def test_the_longer_of_two_durations_holds() -> None:
    """During an upgrade the old replica may have other settings."""

    async def story() -> None:
        lease = Lease(record=LeaseRecord("old", 20, 3, "", "7"))
        a = candidate(lease, "a")
        async with running(a):
            await asyncio.sleep(19.0)
            assert not a.leads
            await asyncio.sleep(3.0)
            assert a.leads

    run(story())


def test_two_that_begin_at_once() -> None:
    async def story() -> None:
        lease = Lease(slow_s=0.2)
        elections = [candidate(lease, name) for name in "abcd"]
        async with running(*elections):
            await never_two(elections, 20.0)
            assert sum(e.leads for e in elections) == 1

    run(story())


def test_every_leaders_term_is_later_than_the_one_before_and_a_sleeper_keeps_its_own() -> None:
    async def story() -> None:
        lease = Lease(replace(EMPTY, uid="u"))
        a, b = candidate(lease, "a"), candidate(lease, "b")
        assert candidate(lease, "c").term is None
        await a.once()
        assert a.term == Term("u", 1)
        await a.once()
        assert a.term == Term("u", 1), "a renewal is no new term"
        # `a` sleeps from here on: it looks at nothing, and nobody tells it.
        await b.once()
        await asyncio.sleep(TERMS.duration_s + 0.1)
        await b.once()
        assert (b.leads, b.term, a.term) == (True, Term("u", 2), Term("u", 1))

    run(story())
