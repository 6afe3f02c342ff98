"""Which region a new call goes to, and why. Pure over what is known.

    where the call should go           among those that
    1. the region that is asked for    are in its residency group,
    2. the nearest as measured         are well,
    3. the team's table                and have room now, or soon
    4. the most free slots

Invariant: a call with a residency group gets a region of that group, or none.

A region that comes first is passed over for the next one only when that is better for the caller: when its slots are
taken, or calls fail there. One that was asked for by name is passed over only when it is full at its maximum or unwell,
and only for those that its `spill_to` names: whoever names it means it.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voicefleet.controller.placement.probe_tokens import VALID_S, RoundTripTaken
from voicefleet.controller.regions.capacity import RegionCapacity

SLACK_MS = 250.0
"""Between Redis's clock and what we reckon of it from the last scan."""
LONGEST_MS = 10_000.0
"""A round trip that takes longer was no measurement of the network."""


class Reason(enum.StrEnum):
    """What led a call to its region."""

    ASKED = "asked"
    ROUND_TRIP = "round_trip"
    NETWORK = "network"
    COUNTRY = "country"
    FREE = "free"
    SPILL = "spill"


class Verdict(enum.StrEnum):
    """What became of a region that a call might have gone to."""

    CHOSEN = "chosen"
    BEHIND = "behind"
    NO_ROOM_YET = "no_room_yet"
    UNKNOWN = "unknown"
    UNWELL = "unwell"
    UNUSED_TICKETS = "unused_tickets"
    FULL = "full"
    OUTSIDE = "outside"


class Ignored(enum.StrEnum):
    """Why a measured round trip was ignored."""

    FORGED = "forged"
    """Its token is not of ours, or of another key, or its time was changed."""
    OLD = "old"
    """Its token was given too long ago, or is not to be given yet."""
    IMPOSSIBLE = "impossible"
    """It is no time, or longer than its token is old."""
    NO_CLOCK = "no_clock"
    """What time it is on Redis's clock is not known, so soon after the start."""


@dataclass(frozen=True, slots=True)
class RegionSeen:
    """A region as the placement of one call sees it: one of its pools, with what that can take."""

    region: str
    capacity: RegionCapacity
    residency: str = ""
    """The residency group that it is in; empty: none."""
    spill_to: tuple[str, ...] = ()
    """Regions that take the calls that it has no room for, in order."""
    well: bool = True
    """False: calls that go there fail."""

    @property
    def stage(self) -> int:
        """How good it is for a caller now; 0 is best, and within one stage the preference decides."""
        now = self.capacity.free_now
        if not self.well:
            return 3
        if now is None:
            return 2
        return 0 if now + self.capacity.soon > self.capacity.reserved else 1


_STAGES = (Verdict.BEHIND, Verdict.NO_ROOM_YET, Verdict.UNKNOWN, Verdict.UNWELL)
"""Of a region that was not chosen, by its stage."""


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """Where a call should go, as far as anybody says."""

    asked: str = ""
    """The region that it asks for by name; empty: none."""
    round_trips: tuple[RoundTripTaken, ...] = ()
    near: tuple[str, ...] = ()
    """The regions that the team's table gives, in order."""
    near_by: Reason = Reason.COUNTRY
    """Which part of the table did."""
    residency: str = ""
    """The call's residency group, by its key or its request; empty: that of the region that it asks for, or that the
    table gives first, else none."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A region that a call might have gone to."""

    region: str
    verdict: Verdict
    round_trip_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """The answer. `pool` is None where no region may or can take the call."""

    pool: str | None
    region: str
    reason: Reason
    considered: tuple[Considered, ...]
    residency: str = ""
    """The group that the call stays in; empty: none."""
    alternatives: tuple[str, ...] = ()
    """Pools of other regions that could take it too, the best first."""
    ignored: Counter[Ignored] = field(default_factory=Counter)
    """Round trips that were not believed."""

    @property
    def spent(self) -> bool:
        """Nothing has room for this key, and a region has for others: its own unused tickets are in the way."""
        return self.pool is None and any(c.verdict is Verdict.UNUSED_TICKETS for c in self.considered)

    @property
    def text(self) -> str:
        """Why, in a few words, for logs and the call's history."""
        chosen = next((c for c in self.considered if c.verdict is Verdict.CHOSEN), None)
        parts = [_WORDS[self.reason]]
        if chosen is not None and chosen.round_trip_ms is not None:
            parts.append(f"{chosen.round_trip_ms:.0f} ms")
        passed = [c for c in self.considered if c.verdict not in (Verdict.CHOSEN, Verdict.BEHIND)]
        parts += [f"{c.region} {_WORDS_OF[c.verdict]}" for c in passed]
        if self.residency:
            parts.append(f"stays in {self.residency}")
        return ", ".join(parts)


_WORDS = {
    Reason.ASKED: "asked for",
    Reason.ROUND_TRIP: "nearest as measured",
    Reason.NETWORK: "by the caller's network",
    Reason.COUNTRY: "by the caller's country",
    Reason.FREE: "most free slots",
    Reason.SPILL: "the next with room",
}
_WORDS_OF = {
    Verdict.NO_ROOM_YET: "has no room yet",
    Verdict.UNKNOWN: "is not known",
    Verdict.UNWELL: "is unwell",
    Verdict.UNUSED_TICKETS: "has unused tickets of this key",
    Verdict.FULL: "is full",
    Verdict.OUTSIDE: "is outside of the residency group",
}


def place(request: PlacementRequest, view: Sequence[RegionSeen], now_ms: int | None) -> Placement:
    """Where the call goes.

    Args:
        view: the regions whose pools can serve the call, whatever their calls are now; of each one pool.
        now_ms: on Redis's clock; None: not known.
    """
    trips, ignored = believed(request.round_trips, now_ms)
    by_name = {seen.region: seen for seen in view}
    group = request.residency or _group_of(request, by_name)
    allowed = {seen.region: seen for seen in view if not group or seen.residency == group}
    order, reason = _preference(request, trips, allowed)
    able = [s for s in order if not s.capacity.full and not s.capacity.spent]
    ranks = {seen.region: number for number, seen in enumerate(order)}

    def rank(seen: RegionSeen) -> tuple[int, int]:
        # Whoever names a region gets it while it can have room at all.
        named = seen.region == request.asked and seen.well
        return (0 if named else seen.stage), ranks[seen.region]

    best = sorted(able, key=rank)
    chosen = best[0] if best else None
    told = [*order, *(seen for seen in view if seen.region not in allowed)]
    return Placement(
        pool=None if chosen is None else chosen.capacity.region,
        region="" if chosen is None else chosen.region,
        reason=reason if reason is Reason.FREE or chosen in (None, *order[:1]) else Reason.SPILL,
        considered=tuple(Considered(s.region, _verdict(s, chosen, allowed), trips.get(s.region)) for s in told),
        residency=group,
        alternatives=tuple(seen.capacity.region for seen in best[1:]),
        ignored=ignored,
    )


def believed(round_trips: Sequence[RoundTripTaken], now_ms: int | None) -> tuple[Mapping[str, float], Counter[Ignored]]:
    """Region -> milliseconds, the least that was measured; and why others are not believed."""
    found: dict[str, float] = {}
    ignored: Counter[Ignored] = Counter()
    for trip in round_trips:
        if now_ms is None:
            ignored[Ignored.NO_CLOCK] += 1
            continue
        age_ms = now_ms - trip.issued_ms
        if not -SLACK_MS <= age_ms <= VALID_S * 1000:
            ignored[Ignored.OLD] += 1
        elif not math.isfinite(trip.ms) or not 0 < trip.ms <= min(LONGEST_MS, age_ms + SLACK_MS):
            ignored[Ignored.IMPOSSIBLE] += 1
        else:
            found[trip.region] = min(trip.ms, found.get(trip.region, math.inf))
    return found, ignored


def spill_order(region: str, spill_to: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The regions that take what `region` has no room for: its own first, then theirs. The settings have no cycle."""
    found: list[str] = []
    todo = list(spill_to.get(region, ()))
    while todo:
        following = todo.pop(0)
        if following not in found and following != region:
            found.append(following)
            todo += spill_to.get(following, ())
    return tuple(found)


def _group_of(request: PlacementRequest, view: Mapping[str, RegionSeen]) -> str:
    """Measured times are no wish of the team's: only who names a region, or the table, says where a call belongs."""
    first = request.asked or ("" if request.round_trips else next(iter(request.near), ""))
    return view[first].residency if first in view else ""


def _preference(
    request: PlacementRequest, trips: Mapping[str, float], allowed: Mapping[str, RegionSeen]
) -> tuple[list[RegionSeen], Reason]:
    """The regions in the order in which they would do, were there room everywhere; and what made that order."""
    spills = {name: seen.spill_to for name, seen in allowed.items()}
    if request.asked:
        names = (request.asked, *spill_order(request.asked, spills))
        return [allowed[name] for name in names if name in allowed], Reason.ASKED
    rest = sorted(allowed.values(), key=_free)
    measured = sorted((name for name in trips if name in allowed), key=lambda name: trips[name])
    if measured:
        first, reason = measured, Reason.ROUND_TRIP
    elif near := [name for name in request.near if name in allowed]:
        first, reason = list(dict.fromkeys([*near, *spill_order(near[0], spills)])), request.near_by
    else:
        return rest, Reason.FREE
    firsts = [allowed[name] for name in first if name in allowed]
    return [*firsts, *(seen for seen in rest if seen not in firsts)], reason


def _free(seen: RegionSeen) -> tuple[bool, int, int]:
    """The most free slots first, reservations taken off; then at its maximum; unknown ones last."""
    now, most = seen.capacity.free_now, seen.capacity.free_at_most
    reserved = seen.capacity.reserved
    return now is None, reserved - (now or 0), reserved - (most or 0)


def _verdict(seen: RegionSeen, chosen: RegionSeen | None, allowed: Mapping[str, RegionSeen]) -> Verdict:
    if seen is chosen:
        return Verdict.CHOSEN
    if seen.region not in allowed:
        return Verdict.OUTSIDE
    if seen.capacity.full:
        return Verdict.FULL
    return Verdict.UNUSED_TICKETS if seen.capacity.spent else _STAGES[seen.stage]
