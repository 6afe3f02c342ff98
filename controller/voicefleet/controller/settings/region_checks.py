"""What the regions of a file must agree on: each its own place in Kubernetes, spill that comes to an end, residency
groups that there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from voicefleet.contract.parsing.validation import check_all, nearest, refused
from voicefleet.contract.rooms import ORDERED
from voicefleet.controller.settings.kubeconfig import cluster_of
from voicefleet.controller.settings.placement import PlacementSettings
from voicefleet.controller.settings.region import RegionSettings


def check_regions(
    regions: Mapping[str, RegionSettings],
    placement: PlacementSettings,
    keys: Collection[str],
    environment: Mapping[str, str],
) -> None:
    """Refuse all that is wrong. Raises what `refused` makes.

    Args:
        keys: the names of the API keys.
        environment: as the controller has it: it may name a kubeconfig.
    """
    check_all(
        *(lambda name=name: _check_spill(name, regions) for name in regions),
        lambda: _check_cycles(regions),
        lambda: _check_table(placement, regions),
        lambda: _check_residency(placement.residency, regions, keys),
        lambda: _check_clusters(regions, environment),
        lambda: _check_deployments(regions),
    )


def _check_spill(name: str, regions: Mapping[str, RegionSettings]) -> None:
    own = regions[name]
    for number, target in enumerate(own.spill_to):
        field = f"regions.{name}.spill_to.{number}"
        if target not in regions:
            raise refused("no such region", field=field, value=target, hint=nearest(target, regions))
        if own.residency and regions[target].residency != own.residency:
            raise refused(
                f"the calls of {name} stay in the residency group {own.residency}, and this region is not in it",
                field=field,
                value=target,
                hint="Remove it: calls would never spill there.",
            )


def _check_cycles(regions: Mapping[str, RegionSettings]) -> None:
    done: set[str] = set()
    for start in regions:
        way: list[str] = []
        _walk(start, way, done, regions)


def _walk(name: str, way: list[str], done: set[str], regions: Mapping[str, RegionSettings]) -> None:
    if name in done or name not in regions:
        return
    way.append(name)
    for number, target in enumerate(regions[name].spill_to):
        if target in way:
            circle = " -> ".join([*way[way.index(target) :], target])
            raise refused(
                f"calls would spill in a circle: {circle}",
                field=f"regions.{name}.spill_to.{number}",
                value=target,
                hint="Remove one of these steps: who places a call elsewhere must not get it back.",
            )
        _walk(target, way, done, regions)
    way.pop()
    done.add(name)


def _check_table(placement: PlacementSettings, regions: Mapping[str, RegionSettings]) -> None:
    for what in ("networks", "countries"):
        for of, names in getattr(placement, what).items():
            for name in names:
                if name not in regions:
                    raise refused(
                        f"no region {name}", field=f"placement.{what}.{of}", value=name, hint=nearest(name, regions)
                    )


def _check_residency(
    residency: Mapping[str, str], regions: Mapping[str, RegionSettings], keys: Collection[str]
) -> None:
    groups = {region.residency for region in regions.values()} - {""}
    for key, group in residency.items():
        field = f"placement.residency.{key}"
        if group not in groups:
            hint = nearest(group, groups) if groups else f"Add `residency: {group}` to the regions that it may use."
            raise refused("no region is in this residency group", field=field, value=group, hint=hint)
        if key not in keys:
            raise refused("no API key has this name", field=field, value=key, hint=nearest(key, keys))


def _check_clusters(regions: Mapping[str, RegionSettings], environment: Mapping[str, str]) -> None:
    seen: dict[Any, str] = {}
    for name, region in regions.items():
        if region.kubernetes is None:
            continue
        field = f"regions.{name}.kubernetes"
        at = (cluster_of(region.kubernetes.cluster, environment, field=field), region.kubernetes.namespace)
        if at in seen:
            raise refused(
                f"the region {seen[at]} has this namespace of this cluster already",
                field=f"{field}.namespace",
                value=region.kubernetes.namespace,
                hint="Give each region a namespace of its own; several pools of one region are its `agents`.",
            )
        seen[at] = name


def _check_deployments(regions: Mapping[str, RegionSettings]) -> None:
    """Regions that share a LiveKit by `deployment` each need their own."""
    seen: dict[tuple[str, str], str] = {}
    for name, region in regions.items():
        pinned = region.livekit.deployment
        if not pinned:
            continue
        at = (region.livekit.http_url, pinned)
        if at in seen:
            raise refused(
                f"the region {seen[at]} has this deployment of this LiveKit already",
                field=f"regions.{name}.livekit.deployment",
                value=pinned,
                hint="Give each region a deployment of its own.",
            )
        seen[at] = name
        agents = {f".agents.{agent}": settings.rooms for agent, settings in region.agents.items()}
        for at_agent, rooms in {"": region.rooms, **agents}.items():
            if rooms != ORDERED:
                raise refused(
                    "rooms that nobody ordered an agent for cannot be pinned to a deployment",
                    field=f"regions.{name}{at_agent}.rooms",
                    value=rooms,
                    hint="Use `rooms: ordered`, or a LiveKit of its own.",
                )
