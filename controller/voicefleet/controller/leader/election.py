"""Leader election by a Lease: of several controllers one scales.

Own, over the official client's API, because its `leaderelection` reads the wall clock, has no time limit on its
requests (a hung API server would leave an old leader leading), creates the Lease that the chart makes, ends at an
error of the connection, and does not release the Lease at the end.

Invariant: no two replicas lead at once, as long as their clocks run at about the same speed. A holder counts its lease
from the moment it *began* the renewal that succeeded; others count from when they saw it, which is later. The holder
stops at `renew_deadline_s`, others wait for `duration_s`: a write that began in time has arrived by then or is lost.
No two machines' clocks are compared; times in the Lease are for people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.leader.leadership import Term
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

_RELEASE_S = 1.0

log = get_logger(__name__)


class LeaseTakenError(UnknownStateError):
    """Somebody else wrote the Lease since it was read."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What stands in the Lease. `version` changes with every write, whoever's it is."""

    holder: str
    duration_s: int
    transitions: int
    acquired: str
    version: str
    uid: str = ""
    """Another one for a Lease that was deleted and made anew."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Invariant: ``retry_s < renew_deadline_s < duration_s``, all in seconds."""

    duration_s: int
    renew_deadline_s: float
    retry_s: float


class LeasePort(Protocol):
    """The Lease. Both methods raise `UnknownStateError` when it does not answer within `within_s`."""

    async def read(self, within_s: float) -> LeaseRecord: ...

    async def write(self, record: LeaseRecord, within_s: float) -> LeaseRecord:
        """Write over the version that `record` names, and return what stands now.

        Raises `LeaseTakenError` when another version stands there.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record, and since when nobody has changed it."""

    record: LeaseRecord
    since_s: float


def sighted(before: Sighting | None, record: LeaseRecord, now_s: float) -> Sighting:
    """`record` as seen now."""
    same = before is not None and before.record.version == record.version
    return before if before is not None and same else Sighting(record, now_s)


def free(sighting: Sighting, replica: str, terms: Terms, now_s: float) -> bool:
    """Whether `replica` may take the Lease: nobody has it, it is its own, or its holder has not renewed in time."""
    record = sighting.record
    lasts_s = max(record.duration_s, terms.duration_s)
    return record.holder in ("", replica) or now_s - sighting.since_s > lasts_s


def taken(record: LeaseRecord, replica: str, terms: Terms) -> LeaseRecord:
    """What `replica` writes to take or renew the Lease over `record`."""
    if record.holder == replica:
        return replace(record, duration_s=terms.duration_s)
    return replace(record, holder=replica, duration_s=terms.duration_s, transitions=record.transitions + 1, acquired="")


class Election:
    """One replica's part in the election, and the `Leadership` that its loops ask.

    Args:
        changed: told when this replica begins or ceases to lead.
    """

    def __init__(
        self,
        lease: LeasePort,
        replica: str,
        terms: Terms,
        clock: Clock,
        *,
        changed: Callable[[bool], None] = lambda leads: None,
    ) -> None:
        self._lease = lease
        self._replica = replica
        self._terms = terms
        self._clock = clock
        self._changed = changed
        self._sighting: Sighting | None = None
        self._until_s = 0.0
        self._led = False
        self._trouble = ""

    @property
    def leads(self) -> bool:
        return self.remaining_s() > 0

    @property
    def holder(self) -> str:
        if self.leads:
            return self._replica
        sighting = self._sighting
        if sighting is None or sighting.record.holder == self._replica:
            return ""
        lasts_s = max(sighting.record.duration_s, self._terms.duration_s)
        return sighting.record.holder if self._clock.monotonic() - sighting.since_s <= lasts_s else ""

    @property
    def term(self) -> Term | None:
        sighting = self._sighting
        return None if sighting is None else Term(sighting.record.uid, sighting.record.transitions)

    @property
    def trouble(self) -> str:
        return self._trouble

    def remaining_s(self) -> float:
        return max(0.0, self._until_s - self._clock.monotonic())

    async def run(self) -> None:
        """Take part until cancelled."""
        while True:
            await self.once()
            await self._clock.sleep(self._terms.retry_s)

    async def once(self) -> None:
        """One look; takes or renews the Lease when it may."""
        try:
            await self._once()
            if self._trouble:
                log.info("Lease known again")
            self._trouble = ""
        except LeaseTakenError:
            pass  # who has it shows at the next look
        except UnknownStateError as error:
            if not self._trouble:
                log.warning("Lease unknown", error=str(error), leads=self.leads)
            self._trouble = str(error)
        self._note()

    async def _once(self) -> None:
        terms, clock = self._terms, self._clock
        # Less than the deadline, so that a hung request leaves time for another one.
        limit_s = min(terms.renew_deadline_s / 2, max(terms.retry_s, 1.0))
        self._sighting = sighted(self._sighting, await self._lease.read(limit_s), clock.monotonic())
        if not free(self._sighting, self._replica, terms, clock.monotonic()):
            self._until_s = 0.0
            return
        began_s = clock.monotonic()
        record = await self._lease.write(taken(self._sighting.record, self._replica, terms), limit_s)
        self._sighting = Sighting(record, clock.monotonic())
        self._until_s = began_s + terms.renew_deadline_s

    async def release(self) -> None:
        """Give the Lease up, so that another replica leads at once."""
        sighting, leads = self._sighting, self.leads
        self._until_s = 0.0
        self._note()
        if not leads or sighting is None:
            return
        try:
            await self._lease.write(replace(sighting.record, holder=""), _RELEASE_S)
        except UnknownStateError as error:
            log.warning("Lease not released: it expires by itself", error=str(error))

    def _note(self) -> None:
        leads = self.leads
        if leads is not self._led:
            self._led = leads
            log.info(
                "this replica leads now" if leads else "this replica does not lead any more", replica=self._replica
            )
            self._changed(leads)
