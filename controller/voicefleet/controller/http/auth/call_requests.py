"""Counts what became of requests for calls (`POST /v1/calls` with a valid key), by region.

A caller who is refused is in no room, so nothing else would ever count it. A request that is wrong in itself (400,
403) counts as nothing: no caller was turned away for want of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.http.auth.keys import Key
from voicefleet.controller.metrics import Metrics
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.runtime.logs.setup import get_logger

log = get_logger(__name__)

REGION = web.RequestKey("voicefleet_call_region", str)
"""Set by the handler once it knows which pool the call is for: its name, which is the region's where that has one."""
FULL = web.RequestKey("voicefleet_call_full", bool)
"""Set by the handler when it refuses for want of slots."""


def result_of(status: int, *, full: bool) -> str:
    """The label of an answer with `status`; empty: it does not count."""
    if status >= 500:
        return "full" if full else "unavailable" if status == 503 else "failed"
    return {201: "ticket", 202: "dialled", 429: "limited"}.get(status, "")


class CallRequests:
    """The counter, for all regions of one controller."""

    def __init__(self, pools: Mapping[str, RegionSettings], regions: Mapping[str, Region], metrics: Metrics) -> None:
        self._regions = regions
        self._counter = metrics.counters[catalogue.CALL_REQUESTS]
        self._places = {name: pool.place.region for name, pool in pools.items()}
        # A request that names no region, or was not even read, counts for the largest one that its key may use.
        self._largest_first = sorted(pools, key=lambda name: (-_slots(pools[name]), name))

    def answered(self, request: web.Request, key: Key, status: int) -> None:
        """`request`, of `key`, was answered with `status`."""
        result = result_of(status, full=request.get(FULL, False))
        region = request.get(REGION) or next((name for name in self._largest_first if key.sees(self._places[name])), "")
        if result and region:
            self._counter.labels(region, result).inc()
            if status >= 400:
                log.warning("ticket refused", region=region, key=key.name, status=status, result=result)
            if region in self._regions:
                self._regions[region].refusals.note(result)


def _slots(region: RegionSettings) -> int:
    return region.pool.max_workers * region.pool.slots
