"""Whether what a region depends on answers: Redis, LiveKit, and Kubernetes where it runs the workers."""

from __future__ import annotations

from collections.abc import Mapping

from voicefleet.controller.regions.region import Region

AWAY_AFTER_S = 3.0
"""A read that fails for less is a restart or a moment's load, which everything here bears without anybody's help."""
PERIODIC = frozenset({"queue", "reports", "listing", "instances"})
"""Sources that are read again and again. A read that only an event causes keeps its failure until the next event, when
all may have been well for long."""


def dependencies(region: Region) -> Mapping[str, bool]:
    """Dependency -> whether it answers, as far as this controller sees."""
    now_s = region.clock.monotonic()
    away = {
        failed.dependency
        for source, failed in region.reads.failing().items()
        if source in PERIODIC and now_s - failed.since_s > AWAY_AFTER_S
    }
    needed = ("redis", "livekit", *(("kubernetes",) if region.settings.kubernetes is not None else ()))
    return {dependency: dependency not in away for dependency in needed}
