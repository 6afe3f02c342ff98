"""What a region's workers cost while they run."""

from __future__ import annotations

from dataclasses import dataclass

from voicefleet.controller.ports import InstanceState
from voicefleet.controller.regions.region import Region

_NO_NODE = frozenset({InstanceState.PENDING, InstanceState.UNSCHEDULABLE})
"""No machine has such an instance yet: nobody pays for it."""


@dataclass(frozen=True, slots=True)
class Cost:
    per_hour: float
    currency: str


def cost_of(region: Region) -> Cost | None:
    """At the price of the settings. None: there is none, or what runs is not known now."""
    pool, reports = region.settings.pool, region.reports.fresh()
    if pool.price_per_worker_hour is None or pool.currency is None or not region.fresh_instances():
        return None
    if region.fleet is not None:
        running = sum(instance.state not in _NO_NODE for instance in region.instances.last)
    elif reports is not None:
        running = sum(reported.fresh for reported in reports.values())
    else:
        return None
    return Cost(round(running * pool.price_per_worker_hour, 4), pool.currency)
