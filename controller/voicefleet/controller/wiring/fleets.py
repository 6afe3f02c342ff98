"""What runs the workers of each region, and who leads: built from the settings, opened, and closed at the end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING

from voicefleet.contract.errors import ConfigError
from voicefleet.contract.metrics import controller as catalogue
from voicefleet.controller.adapters.processes.fleet import ProcessFleet
from voicefleet.controller.adapters.processes.pool_lease import PoolLease, RedisLease
from voicefleet.controller.leader.election import Election, Terms
from voicefleet.controller.leader.leadership import AlwaysLeads, Leadership
from voicefleet.controller.regions.region import Region
from voicefleet.controller.settings.controller import Settings
from voicefleet.controller.settings.kubernetes import KubernetesSettings, LeaseSettings
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.wiring.shared import Loops, Shared
from voicefleet.runtime.clock import Clock

if TYPE_CHECKING:
    # Half a second and 30 MB, for those who run no pods.
    from voicefleet.controller.adapters.kubernetes.client import Clusters

DEPLOYMENT_VARIABLE = "LIVEKIT_AGENT_DEPLOYMENT"
"""The SDK's: dispatches that name it reach the worker, and no others do."""
_FIRST_LOOK_S = 3.0


async def open_fleets(stack: contextlib.AsyncExitStack, shared: Shared) -> tuple[Leadership, Loops]:
    """Give each region its fleet, until `stack` is closed.

    A cluster that does not answer makes its regions unknown, and is no error.

    Returns:
        Who leads, and the loops of the election and of the leases, to be run until before `stack` is closed.

    Raises:
        ConfigError: a program or directory of the settings cannot be used, or another controller runs a pool.
    """
    settings, regions = shared.settings, shared.regions
    leadership: Leadership = AlwaysLeads(settings.replica)
    loops: Loops = {}
    lease = settings.kubernetes_lease
    shared.metrics.gauges[catalogue.LEADER].set(lease is None)
    clusters = _clusters(stack) if lease or any(r.settings.kubernetes for r in regions.values()) else None
    if lease is not None and clusters is not None:
        leadership, loops = await _stand_for_election(shared, lease, clusters)
    looks = []
    for region in regions.values():
        if region.settings.process is not None:
            looks.append(_run_processes(stack, shared, region, loops))
        elif region.settings.kubernetes is not None and clusters is not None:
            looks.append(_watch(stack, settings, region, region.settings.kubernetes, clusters, leadership))
    # All of them end before an error of one is raised: what they opened is closed with `stack`.
    for failure in await asyncio.gather(*looks, return_exceptions=True):
        if failure is not None:
            raise failure
    return leadership, loops


async def _run_processes(stack: contextlib.AsyncExitStack, shared: Shared, region: Region, loops: Loops) -> None:
    assert region.settings.process is not None
    lease = PoolLease(
        RedisLease(shared.redis, region.name),
        region.name,
        region.settings.process.state_dir,
        shared.clock,
        field=f"{region.settings.path}.process.state_dir",
    )
    fleet = _processes(shared.settings, region.settings, shared.clock, lease)
    await lease.take()
    fleet.open()
    # The lease is given up when the workers have ended, not before.
    stack.push_async_callback(lease.release)
    stack.push_async_callback(fleet.close)
    region.fleet = fleet
    loops[f"lease of {region.name}"] = lease.run


def _clusters(stack: contextlib.AsyncExitStack) -> Clusters:
    from voicefleet.controller.adapters.kubernetes.client import Clusters

    clusters = Clusters()
    stack.push_async_callback(clusters.close)
    return clusters


async def _stand_for_election(shared: Shared, lease: LeaseSettings, clusters: Clusters) -> tuple[Leadership, Loops]:
    from voicefleet.controller.adapters.kubernetes.event_recorder import EventRecorder
    from voicefleet.controller.adapters.kubernetes.lease import KubeLease

    regions, clock, replica = shared.regions, shared.clock, shared.settings.replica

    def changed(leads: bool) -> None:
        shared.metrics.gauges[catalogue.LEADER].set(leads)
        for region in regions.values():
            region.pool_wake.set()

    election = Election(
        KubeLease(lease, clusters.get(lease.cluster), clock),
        replica,
        Terms(lease.duration_s, lease.renew_deadline_s, lease.retry_s),
        clock,
        changed=changed,
    )
    # A first look, so that a controller without a rival scales from its first tick.
    await election.once()

    def troubles() -> dict[str, str]:
        return {name: region.fleet.trouble() for name, region in regions.items() if region.fleet is not None}

    recorder = EventRecorder(lease, replica, clusters.get(lease.cluster), election, clock, troubles)
    return election, {"election": election.run, "events": recorder.run}


async def _watch(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    region: Region,
    kubernetes: KubernetesSettings,
    clusters: Clusters,
    leadership: Leadership,
) -> None:
    from voicefleet.controller.adapters.kubernetes.fleet import KubeFleet

    fleet = KubeFleet(
        region.name,
        kubernetes,
        clusters.get(kubernetes.cluster),
        region.clock,
        leadership,
        owner=settings.owner,
    )
    fleet.open()
    stack.push_async_callback(fleet.close)
    region.fleet = fleet
    await fleet.known(_FIRST_LOOK_S)


def _processes(settings: Settings, region: RegionSettings, clock: Clock, lease: PoolLease) -> ProcessFleet:
    assert region.process is not None
    if shutil.which(region.process.command[0]) is None:
        raise ConfigError(
            "no such program",
            field=f"{region.path}.process.command",
            value=region.process.command[0],
            hint="Give a program of PATH, or its whole path.",
        )
    environment = {
        "VOICEFLEET_REGION": region.name,
        "VOICEFLEET_SLOTS": str(region.pool.slots),
        "VOICEFLEET_AGENT_NAME": region.agent_name,
        "VOICEFLEET_REDIS_URL": settings.redis_address,
        "LIVEKIT_URL": region.livekit.url,
        "LIVEKIT_API_KEY": region.livekit.key,
        "LIVEKIT_API_SECRET": region.livekit.secret,
        **({DEPLOYMENT_VARIABLE: region.livekit.deployment} if region.livekit.deployment else {}),
    }
    hidden = settings.secret_variables
    return ProcessFleet(region, clock, environment=environment, hidden=hidden, refusal=lambda: lease.refusal)
