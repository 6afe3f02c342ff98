"""Which pools may serve a new call: those of the agent that it asks for, and of its versions the one whose turn it is.
Pure over what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from voicefleet.contract.errors import VoicefleetError
from voicefleet.contract.pools import PoolRole
from voicefleet.contract.tier_choice import drawn
from voicefleet.controller.canary.decide import Decision
from voicefleet.controller.regions.capacity import RegionCapacity
from voicefleet.controller.regions.region import Region


class UnknownChoiceError(VoicefleetError):
    """A call asks for an agent or a tier that there is not.

    Attributes:
        field: what it asks for: ``agent`` or ``tier``.
        known: those that there are.
    """

    def __init__(self, field: str, what: str, known: Iterable[str]) -> None:
        super().__init__(what)
        self.field = field
        self.known = sorted(set(known))


def agent_of(region: Region) -> str:
    """The agent that the pool serves; that of a region without `agents` has the name that dispatches ask for."""
    return region.settings.place.agent or region.settings.agent_name


def pools_for(pools: Sequence[Region], agent: str | None, tier: str | None, key: str) -> list[Region]:
    """The pools that can serve the call of `key`, whatever their calls are now.

    Raises:
        UnknownChoiceError: none has this agent or tier, or several agents are there and none is meant.
    """
    new = [pool for pool in pools if pool.settings.role is not PoolRole.LEAVING]
    known = [agent_of(pool) for pool in new]
    if agent is not None:
        found = [pool for pool in new if agent_of(pool) == agent]
        if not found:
            raise UnknownChoiceError("agent", f"no agent {agent}", known)
    else:
        found = [pool for pool in new if pool.settings.place.agent in ("", pool.settings.routes.of_key(key))]
        if new and not found:
            raise UnknownChoiceError("agent", "several agents are there, and the call names none", known)
    if tier is None:
        return found
    able = [pool for pool in found if (tiers := pool.reports.tiers) is None or tier in tiers]
    if found and not able:
        raise UnknownChoiceError("tier", f"no tier {tier}", (t for pool in found for t in pool.reports.tiers or ()))
    return able


def by_version(
    pools: Iterable[Region], room: str, capacity: Callable[[Region], RegionCapacity]
) -> list[RegionCapacity]:
    """Of each region and agent the pool that the call in `room` is for, with what it can take now.

    A canary gets its share only while it has a free slot: nobody is to wait for it. One that was promoted gets all
    calls, and the stable version those that it has no slot for yet.
    """
    chosen: dict[tuple[str, str], RegionCapacity] = {}
    canaries: list[Region] = []
    for pool in pools:
        if pool.settings.role is PoolRole.CANARY:
            canaries.append(pool)
        else:
            chosen[_agent(pool)] = capacity(pool)
    for pool in canaries:
        stable, canary, trial = chosen.get(_agent(pool)), capacity(pool), pool.trial
        if stable is None or trial is None:
            continue  # the stable version lacks the tier: a canary serves nothing alone
        promoted = trial.decided is Decision.PROMOTE
        if (drawn(room, trial.weight) and _free(canary)) or (promoted and not _free(stable)):
            chosen[_agent(pool)] = canary
    return list(chosen.values())


def _agent(pool: Region) -> tuple[str, str]:
    return pool.place, pool.settings.place.agent


def _free(capacity: RegionCapacity) -> bool:
    return (capacity.free_now or 0) > capacity.reserved
