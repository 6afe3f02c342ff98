"""What the controller cannot read or write, by the dependency that does not answer."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet.contract.errors import Dependency
from voicefleet.contract.health import Finding, HealthState
from voicefleet.controller.health.observation import HealthObservation
from voicefleet.controller.regions.read_results import FailedRead

_MEANWHILE = {
    Dependency.REDIS: "live calls go on and new ones get an agent, nothing is scaled",
    Dependency.LIVEKIT: "whether its calls go on cannot be told",
    Dependency.KUBERNETES: "live calls go on and new ones get an agent, nothing is scaled",
}
_HINTS = {
    Dependency.REDIS: "Look at Redis and at the network to it; its address is `redis_url` of the controller's file.",
    Dependency.LIVEKIT: "Look at the LiveKit server and at the network to it; its address is `livekit` of the region.",
    Dependency.KUBERNETES: "Look at the API server, and at the region's `kubernetes` settings and rights.",
}


def dependencies(seen: HealthObservation, now_s: float) -> Iterator[Finding]:
    """One finding for each dependency that fails, and for each other read that does."""
    known = seen.calls_known and seen.workers_known
    state = HealthState.DEGRADED if known else HealthState.UNKNOWN
    by_dependency: dict[str, list[FailedRead]] = {}
    for source, read in sorted(seen.failed_reads.items()):
        by_dependency.setdefault(read.dependency or source, []).append(read)
    for name, reads in by_dependency.items():
        # The one that failed first is nearest to the cause.
        first = min(reads, key=lambda read: read.since_s)
        lasts = f", for {now_s - first.since_s:.0f} s"
        if name in _HINTS:
            dependency = Dependency(name)
            yield Finding(name, state, f"{first.text}{lasts}: {_MEANWHILE[dependency]}", _HINTS[dependency])
        else:
            hint = "Look at the controller's log."
            yield Finding(f"read_{name.replace(' ', '_')}", state, f"{name}: {first.text}{lasts}", hint)
    if not known and not by_dependency:
        what = "calls" if not seen.calls_known else "workers"
        hint = "Wait some seconds; if it stays, look at the controller's log."
        yield Finding("not_read_yet", HealthState.UNKNOWN, f"the {what} are not read yet", hint)
    if seen.access_ends_s is not None and Dependency.KUBERNETES not in by_dependency:
        cause = f"the token of the workers' cluster was not renewed and ends in {seen.access_ends_s / 3600:.1f} h"
        hint = "Look at the job that renews it: once the token has ended, nothing there can be scaled. Calls go on."
        yield Finding("token_ends", HealthState.DEGRADED, cause, hint)
    if seen.election:
        cause = f"no controller can be elected to scale: {seen.election}"
        hint = "Look at the API server, and at the controller's rights to its Lease."
        yield Finding("no_leader", HealthState.DEGRADED, cause, hint)
