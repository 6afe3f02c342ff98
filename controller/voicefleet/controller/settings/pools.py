"""The pools of a region: one with the region's own name, or one for each version of each of its agents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from voicefleet.contract.keys import REGION_PATTERN
from voicefleet.contract.parsing.validation import refused
from voicefleet.contract.pools import PoolPlace, PoolRole
from voicefleet.contract.rooms import ORDERED
from voicefleet.controller.settings.agents import AgentSettings, VersionSettings, Workers, routes_of
from voicefleet.controller.settings.region import RegionSettings
from voicefleet.controller.settings.tier import TierPart


def pools_of(region: RegionSettings) -> Iterator[RegionSettings]:
    """The settings of each pool of `region`; of one without `agents` they are the region's own, as they are."""
    if not region.agents:
        yield region
        return
    routes = routes_of(region.agents, region.default_agent)
    for agent_name, agent in region.agents.items():
        for version_name in agent.versions or ("",):
            place = PoolPlace(region.name, agent_name, version_name)
            parts: list[Workers] = [agent, *([agent.versions[version_name]] if version_name else [])]
            first = version_name == agent.stable
            role = PoolRole.STABLE if first else PoolRole.CANARY if version_name == agent.canary else PoolRole.LEAVING
            pool = region.model_copy(
                update={
                    "agents": {},
                    "default_agent": None,
                    "agent_name": place.agent_name,
                    "rooms": _rooms(region, agent, first=first and routes.default == agent_name, stable=first),
                    "trunks": agent.trunks if first else {},
                    **_tier(region, agent),
                    "pool": next((part.pool for part in reversed(parts) if part.pool is not None), region.pool),
                    **_runs(region, place, parts),
                }
            )
            yield pool.placed(place, role, routes, trial=trial_id(agent, version_name))


def trial_id(agent: AgentSettings, version: str) -> str:
    """Fingerprint of a canary: another one is tried anew. Empty: the agent has none."""
    if not agent.canary:
        return ""
    canary: VersionSettings = agent.versions[agent.canary]
    told = canary.model_dump(mode="json", exclude={"weight", "pool"})
    text = json.dumps([agent.stable, agent.canary, told], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rooms(region: RegionSettings, agent: AgentSettings, *, first: bool, stable: bool) -> str:
    if agent.rooms != ORDERED and stable:
        return agent.rooms
    # Dialled numbers lead to an agent among the rooms that the region names.
    return region.rooms if first or (stable and agent.numbers) else ORDERED


def _tier(region: RegionSettings, agent: AgentSettings) -> Mapping[str, Any]:
    """The tier of the pool's calls: the agent's own, else the region's."""
    own: TierPart = agent if agent.tier is not None else region
    if own.tier_split is not None and agent.canary:
        # The version is what is tried; what the region says of all agents waits.
        return {"tier": own.tier_split.stable, "tier_canary": own.tier_canary}
    return {"tier": own.tier, "tier_canary": own.tier_canary}


def _runs(region: RegionSettings, place: PoolPlace, parts: list[Workers]) -> Mapping[str, Any]:
    """What runs the pool's workers."""
    if region.process is not None:
        own = next((part.command for part in reversed(parts) if part.command is not None), region.process.command)
        env = {**region.process.env, **{name: text for part in parts for name, text in part.env.items()}}
        return {"process": region.process.model_copy(update={"command": own, "env": env})}
    if region.kubernetes is not None:
        named = next((part.deployment for part in reversed(parts) if part.deployment is not None), None)
        deployment = named or f"{region.kubernetes.deployment}-{place.agent_name}"
        return {"kubernetes": region.kubernetes.model_copy(update={"deployment": deployment})}
    return {}


def named_once(regions: Mapping[str, RegionSettings]) -> dict[str, RegionSettings]:
    """Every pool by its name. Raises what `refused` makes: two have one name, or one has a name that none can have."""
    found: dict[str, RegionSettings] = {}
    for region in regions.values():
        for pool in pools_of(region):
            name, field = pool.name, pool.path
            if not REGION_PATTERN.match(name):
                hint = "Shorten the name of the agent, the version or the region."
                raise refused("the pool's name has more than 32 characters", field=field, value=name, hint=hint)
            if name in found:
                raise refused(
                    f"two pools have this name: this one and {found[name].path}",
                    field=field,
                    value=name,
                    hint="Rename the agent, the version or the region.",
                )
            found[name] = pool
    for field, same in _shared_deployments(found):
        hint = "Name another one in `deployment`."
        raise refused("two pools have this Deployment", field=f"{field}.deployment", value=same, hint=hint)
    return found


def _shared_deployments(pools: Mapping[str, RegionSettings]) -> Iterator[tuple[str, str]]:
    seen = set()
    for pool in pools.values():
        if pool.kubernetes is None or not pool.place.agent:
            continue
        at = (pool.kubernetes.cluster, pool.kubernetes.namespace, pool.kubernetes.deployment)
        if at in seen:
            yield pool.path, pool.kubernetes.deployment
        seen.add(at)
