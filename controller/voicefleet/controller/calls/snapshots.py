"""The calls of a region as values: what one scan saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from voicefleet.contract.aside import Aside, Why
from voicefleet.contract.claims import Claim, ClaimState
from voicefleet.runtime.redis.values import read_value

_UNREADABLE = Claim(worker="", job="", epoch=0, state=ClaimState.LIVE)
"""Stands for a claim that this release cannot read: somebody has the call."""
_UNREADABLE_ASIDE = Aside(Why.RELEASED, reason="unknown")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as one scan saw it. Times are milliseconds of the Redis server's clock."""

    room: str
    joined_ms: int
    rank: float | None
    """Place in the queue, lower first; None when it does not wait. Below zero: it had an agent, which died."""
    claim: Claim | None
    held_since_ms: int = field(default=0, compare=False)
    """When a scan first saw its claim in the hands of this job; 0 without a claim."""
    aside: Aside | None = None
    """Why it wants no agent; None: it has one, or wants one."""
    wants_since_ms: int = field(default=0, compare=False)
    """Since when it is without an agent and wants one: since it was joined, or since its agent was lost; 0: it has one,
    or wants none."""

    @property
    def state(self) -> str:
        """joining, waiting, accepted, live, released or neighbour."""
        if self.claim is not None:
            return str(ClaimState(self.claim.state))
        if self.aside is not None:
            return self.aside.why
        return "joining" if self.rank is None else "waiting"


@dataclass(frozen=True)
class Snapshot:
    """Every call of the region at one moment.

    A claim's time of renewal is that of the last look at it, which is old for jobs that go on renewing: see `overdue`.
    """

    now_ms: int
    calls: tuple[Call, ...]
    """The one who joined first is first."""
    served_after_s: tuple[float, ...]
    """Joined -> claim of the calls whose waiting this scan ended; a call that lost its agent is not among them."""
    overdue: frozenset[str] = frozenset()
    """Rooms whose live claim was not renewed for `RENEWAL_OVERDUE_MS`; their claims are as they are now."""
    not_listening: frozenset[str] = frozenset()
    """Jobs that hold a call, as Redis has it, and do not listen; the claims of their calls are as they are now."""
    in_trouble: bool = False
    """A job says that something is wrong with its call; the claims of such calls are as they are now."""
    server: str = ""
    """Which life of Redis says so: another one after a restart, or when a replica took over. Empty: unknown."""
    abandoned: int = 0
    """Callers who waited until this scan, and are gone without an agent."""
    counted: tuple[int, int, int] | None = None
    """Calls with a claim, waiting ones, and those that want no agent, where that is known already."""

    @property
    def live(self) -> int:
        return self._counts[0]

    @property
    def waiting(self) -> int:
        return self._counts[1]

    @property
    def joining(self) -> int:
        return len(self.calls) - self.live - self.waiting - self.set_aside

    @property
    def set_aside(self) -> int:
        """Calls that want no agent: released ones, and those of a neighbour. They are nobody's load."""
        return self._counts[2]

    def oldest_wait_s(self, now_ms: int) -> float:
        """How long the call has waited at `now_ms` (Redis's clock) that waits longest; 0.0: none waits."""
        return max((now_ms - call.wants_since_ms for call in self.calls if call.state == "waiting"), default=0) / 1000

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        """Calls with a claim, waiting ones, and those that want no agent."""
        if self.counted is not None:
            return self.counted
        without = [call for call in self.calls if call.claim is None]
        aside = sum(call.aside is not None for call in without)
        return len(self.calls) - len(without), sum(call.rank is not None for call in without), aside

    @cached_property
    def calls_of(self) -> Counter[str]:
        """Worker -> calls that its jobs hold."""
        return Counter(call.claim.worker for call in self.calls if call.claim)

    @cached_property
    def rooms(self) -> frozenset[str]:
        """The rooms of all calls."""
        return frozenset(call.room for call in self.calls)


def read_call(
    room: str, joined: str, rank: str, claim: Claim | None, aside: Aside | None, now_ms: int, before: Call | None
) -> Call:
    """One row of a scan; `before` is what was known of the call."""
    joined_ms, place = int(float(joined)), float(rank) if rank else None
    since_ms = wants_since_ms = 0
    if claim is not None:
        same = before is not None and before.claim is not None and before.claim.job == claim.job
        since_ms = before.held_since_ms if before is not None and same else now_ms
    elif aside is None:
        # One that had an agent, which died while nobody of us looked: since when is not known.
        first_ms = joined_ms if before is None and (place is None or place >= 0) else now_ms
        wants_since_ms = before.wants_since_ms if before is not None and before.wants_since_ms else first_ms
    return Call(room, joined_ms, place, claim, since_ms, aside, wants_since_ms)


def read_claim(text: str | bytes) -> Claim | None:
    """The claim in `text`; None without one."""
    if not text:
        return None
    # One value of another release must not hide every other call.
    return read_value(Claim, text) or _UNREADABLE


def read_aside(text: str | bytes) -> Aside | None:
    """Why a call wants no agent, as `text` says; None: it may have one."""
    if not text:
        return None
    return read_value(Aside, text) or _UNREADABLE_ASIDE
