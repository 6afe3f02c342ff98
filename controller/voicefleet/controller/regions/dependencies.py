"""Whether what a region depends on answers: Redis, LiveKit, and Kubernetes where it runs the workers."""

from __future__ import annotations

from collections.abc import Mapping

from voicefleet.contract.errors import Dependency
from voicefleet.controller.regions.read_results import STEADY
from voicefleet.controller.regions.region import Region

AWAY_AFTER_S = 3.0
"""Reads that fail for less are a restart or a moment's load, which everything here bears without anybody's help."""


def dependencies(region: Region) -> Mapping[Dependency, bool]:
    """Dependency -> whether it answers, as far as this controller sees: what is read all the time says so."""
    now_s = region.clock.monotonic()
    away = {
        read.dependency
        for source, read in region.reads.failing().items()
        if source in STEADY and now_s - read.since_s > AWAY_AFTER_S
    }
    needed = [Dependency.REDIS, Dependency.LIVEKIT]
    if region.settings.kubernetes is not None:
        needed.append(Dependency.KUBERNETES)
    return {dependency: dependency not in away for dependency in needed}
