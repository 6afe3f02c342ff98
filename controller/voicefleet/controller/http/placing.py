"""From a request for a call to its place: its residency group, the pools that can serve it, what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from aiohttp import web

from voicefleet.contract.api import CallRequest
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.contract.placement import Alternative, ConsideredView, PlacementView
from voicefleet.controller.http.auth.access import Access, seen
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.http.problems import problem
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.placement.place import (
    Ignored,
    Placement,
    PlacementRequest,
    Reason,
    place,
    spill_order,
)
from voicefleet.controller.placement.probe_tokens import RoundTripTaken, region_in, signing_key, verify
from voicefleet.controller.placement.view import RegionsView, redis_now_ms
from voicefleet.controller.regions.capacity import capacity_of
from voicefleet.controller.regions.region import Region
from voicefleet.controller.regions.routing import UnknownChoiceError, pools_for
from voicefleet.controller.settings.controller import Settings


class Placing:
    """Places calls. One for all requests."""

    def __init__(self, settings: Settings, regions: Mapping[str, Region], access: Access, metrics: Metrics) -> None:
        self._settings = settings.placement
        self._table = settings.placement.table
        self._regions = regions
        self._access = access
        self._metrics = metrics
        self._view = RegionsView()
        self._of_place = {pool.place: pool.settings for pool in regions.values()}
        self._signing = signing_keys(regions)
        self.several = len(self._of_place) > 1
        """Whether there is anything to place."""

    def residency(self, key: Key, wanted: CallRequest) -> str | web.Response:
        """The residency group that the call must not leave; empty: none is said. Or the refusal."""
        groups = {settings.residency for settings in self._of_place.values()} - {""}
        bound, asked = self._settings.residency.get(key.name, ""), wanted.residency or ""
        if asked and asked not in groups:
            known = ", ".join(sorted(groups)) or "none"
            return problem(400, f"no residency group {asked}", field="residency", hint=f"Known: {known}.")
        if asked and bound and asked != bound:
            return problem(
                403,
                f"the calls of the key {key.name} stay in the residency group {bound}",
                field="residency",
                hint="Leave it out, or use another key.",
            )
        group = asked or bound
        if group and not any(self._in(group, pool) for pool in seen(self._regions, key, wanted.region).values()):
            theirs = {pool.place for pool in seen(self._regions, key).values() if self._in(group, pool)}
            named = f"Its regions: {', '.join(sorted(theirs))}." if theirs else "The key is for none of its regions."
            what = f"the call stays in the residency group {group}"
            return problem(403, f"{what}, and this is outside of it", field="region", hint=named)
        return group

    @staticmethod
    def _in(group: str, pool: Region) -> bool:
        return pool.settings.residency == group

    def pools(self, key: Key, wanted: CallRequest, group: str) -> list[Region]:
        """The pools that can serve the call where it is asked for, within its residency group. Raises
        `UnknownChoiceError`."""
        named = seen(self._regions, key, wanted.region).values()
        allowed = [pool for pool in named if not group or self._in(group, pool)]
        return pools_for(allowed, wanted.agent, wanted.tier, key.name)

    def place(self, key: Key, wanted: CallRequest, group: str, pools: Sequence[Region], room: str) -> Placement:
        """Where the call in `room` goes. `pools`: as above."""
        asked = pools[0].place if wanted.region is not None and pools else ""
        if wanted.region is not None and wanted.region == asked:
            pools = [*pools, *self._spill(key, wanted, asked)]
        ratio = self._access.unused_ratio
        view = self._view.see(pools, room, lambda pool: capacity_of(pool, key.name, ratio(pool.place)))
        near, near_by = self._near(wanted)
        request = PlacementRequest(asked, self._taken(key, wanted), near, near_by, group)
        now_ms = redis_now_ms(list(self._regions.values())) if request.round_trips else None
        found = place(request, view, now_ms)
        for why, count in found.ignored.items():
            self._ignore(why, count)
        if self.several and found.pool is not None:
            self._metrics.counters[catalogue.PLACEMENTS].labels(found.pool, found.reason.value).inc()
        return found

    def _spill(self, key: Key, wanted: CallRequest, asked: str) -> list[Region]:
        """Pools of other regions that take the calls of the one that is asked for; those that lack the agent or the
        tier do not."""
        found: list[Region] = []
        for name in spill_order(asked, {at: settings.spill_to for at, settings in self._of_place.items()}):
            with contextlib.suppress(UnknownChoiceError):
                there = list(seen(self._regions, key, name).values())
                found += pools_for(there, wanted.agent, wanted.tier, key.name)
        return found

    def _near(self, wanted: CallRequest) -> tuple[tuple[str, ...], Reason]:
        if wanted.address is not None and (found := self._table.of_address(wanted.address)):
            return tuple(found), Reason.NETWORK
        return tuple(self._table.of_country(wanted.country or "")), Reason.COUNTRY

    def _taken(self, key: Key, wanted: CallRequest) -> tuple[RoundTripTaken, ...]:
        found = []
        for trip in wanted.round_trips or ():
            signing = self._signing.get(region_in(trip.token))
            taken = None if signing is None else verify(signing, trip.token, key.name, trip.ms)
            if taken is None:
                self._ignore(Ignored.FORGED)
            else:
                found.append(taken)
        return tuple(found)

    def _ignore(self, why: Ignored, count: int = 1) -> None:
        self._metrics.counters[catalogue.ROUND_TRIPS_IGNORED].labels(why.value).inc(count)

    def view(self, found: Placement) -> PlacementView | None:
        """What the ticket says of it; None: there is one region."""
        if not self.several:
            return None
        considered = [
            ConsideredView(region=c.region, verdict=c.verdict.value, round_trip_ms=c.round_trip_ms)
            for c in found.considered
        ]
        return PlacementView(reason=found.reason.value, considered=considered)

    def alternatives(self, found: Placement) -> tuple[Alternative, ...]:
        """Where else the call could go."""
        others = (self._regions[name] for name in found.alternatives)
        return tuple(Alternative(region=pool.place, url=pool.settings.livekit.url) for pool in others)


def signing_keys(regions: Mapping[str, Region]) -> dict[str, bytes]:
    """Region -> the key that signs the tokens of its probes."""
    return {pool.place: signing_key(pool.settings.livekit.secret) for pool in regions.values()}
