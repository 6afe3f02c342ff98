"""The worker's own count of slots decides, at every interleaving of offers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from support.virtual_time import LoopClock, run
from voicefleet.contract.claims import Claim
from voicefleet.contract.errors import UnknownStateError
from voicefleet.runtime.redis.claim_store import Accepted, Refused
from voicefleet.worker.server.admission import EPOCH_ATTRIBUTE, Admission, Answer, Slots

pytestmark = pytest.mark.unit


@dataclass
class Offer:
    """Stands in for the SDK's JobRequest."""

    id: str
    active: set[str]
    accept_error: Exception | None = None
    rejected: list[bool] = field(default_factory=list)
    accepted: dict[str, str] | None = None

    job = SimpleNamespace(metadata="")

    @property
    def room(self) -> SimpleNamespace:
        return SimpleNamespace(name=f"room-{self.id}", sid=f"RM_{self.id}")

    async def accept(self, *, name: str, metadata: str, attributes: dict[str, str]) -> None:
        self.named = (name, metadata)
        await asyncio.sleep(0)
        if self.accept_error:
            raise self.accept_error
        self.accepted = attributes
        self.active.add(self.id)

    async def reject(self, *, terminate: bool = True) -> None:
        self.rejected.append(terminate)


@dataclass
class Claims:
    """Stands in for the claim store."""

    answer: Accepted | Refused | Exception = field(default_factory=lambda: Accepted(7))
    released: list[str] = field(default_factory=list)
    only_accepted: list[str] = field(default_factory=list)

    async def accept(self, room: str, sid: str, *, worker: str, job: str, attempt: int) -> Accepted | Refused:
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def release(self, room: str, *, job: str, only_accepted: bool = False) -> bool:
        self.released.append(job)
        self.only_accepted += [job] if only_accepted else []
        return True


def make(total: int, claims: Claims) -> tuple[Admission, Slots, set[str], list[Answer]]:
    active: set[str] = set()
    answers: list[Answer] = []
    slots = Slots(total, lambda: frozenset(active))
    admission = Admission(slots, claims, worker="w", count=answers.append, wake=lambda: None)  # type: ignore[arg-type]
    return admission, slots, active, answers


async def offer(admission: Admission, request: Offer) -> None:
    await admission.answer(request)  # type: ignore[arg-type]


@pytest.mark.parametrize("total", range(1, 30))
def test_only_a_full_worker_reports_full(total: int) -> None:
    active: set[str] = set()
    slots = Slots(total, lambda: frozenset(active))
    for n in range(total):
        assert slots.load() < 0.7
        active.add(str(n))
    assert slots.load() >= 0.7


async def test_a_burst_never_overbooks() -> None:
    admission, slots, active, answers = make(3, Claims())
    offers = [Offer(str(n), active) for n in range(8)]
    await asyncio.gather(*(offer(admission, o) for o in offers))
    assert answers.count(Answer.ACCEPTED) == 3
    assert answers.count(Answer.FULL) == 5
    assert [o.rejected for o in offers if o.accepted is None] == [[False]] * 5, "the next worker must be asked"
    assert slots.busy == 3
    assert slots.pending == 0


def test_the_room_of_a_call_is_reported_once_from_its_acceptance() -> None:
    active: set[str] = set()
    slots = Slots(3, lambda: frozenset(active), {"a": "room-a", "b": "room-b"})
    assert (slots.pending, slots.pending_rooms()) == (2, ["room-a", "room-b"])
    active.add("a")
    assert (slots.pending, slots.pending_rooms(), slots.busy) == (1, ["room-b"], 2)


async def test_accepted_job_carries_its_epoch() -> None:
    admission, _, active, _ = make(1, Claims())
    request = Offer("a", active)
    await offer(admission, request)
    assert request.accepted is not None
    assert request.accepted[EPOCH_ATTRIBUTE] == "7"


async def test_a_cordoned_worker_sends_calls_on() -> None:
    admission, slots, active, answers = make(1, Claims())
    slots.cordoned = True
    request = Offer("a", active)
    await offer(admission, request)
    assert request.rejected == [False]
    assert answers == [Answer.DRAINING]
    assert slots.load() == 1.0


async def test_a_call_that_another_job_holds_is_refused_for_good() -> None:
    held = Refused(Claim("other", "j0", 3, "live"))
    admission, slots, active, answers = make(1, Claims(held))
    request = Offer("a", active)
    await offer(admission, request)
    assert request.rejected == [True]
    assert answers == [Answer.HELD]
    assert slots.busy == 0


async def test_redis_away_accepts_and_settles_later() -> None:
    admission, _, active, answers = make(1, Claims(UnknownStateError("away")))
    request = Offer("a", active)
    await offer(admission, request)
    assert answers == [Answer.ACCEPTED_UNCLAIMED]
    assert request.accepted is not None
    assert request.accepted[EPOCH_ATTRIBUTE] == "0"


async def test_failed_accept_gives_slot_and_claim_back() -> None:
    claims = Claims()
    admission, slots, active, answers = make(1, claims)
    await offer(admission, Offer("a", active, accept_error=TimeoutError()))
    assert answers == [Answer.FAILED]
    assert claims.released == ["a"]
    assert slots.busy == 0


@pytest.mark.parametrize(("epoch", "pause_s"), [(1, 0.0), (2, 0.0), (4, 2.0)])
def test_a_job_that_fails_at_once_gives_its_call_back_after_a_pause_that_grows(epoch: int, pause_s: float) -> None:
    async def go() -> None:
        claims, clock = Claims(Accepted(epoch)), LoopClock()
        admission, _, active, _ = make(1, claims)
        await offer(admission, Offer("a", active))
        began_s = clock.monotonic()
        await admission.job_ended("a")
        assert claims.only_accepted == ["a"], "what came alive is looked after by others"
        assert clock.monotonic() - began_s == pytest.approx(pause_s)
        await admission.job_ended("a")
        await admission.job_ended("of another life of ours")
        assert claims.released == ["a"]

    run(go())
