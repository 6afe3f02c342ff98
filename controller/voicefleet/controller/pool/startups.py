"""How long each new worker took, from the request for it to its registration with LiveKit. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from voicefleet.controller.pool.worker_store import Reported
from voicefleet.controller.ports import Instance, StartupTimestamps


@dataclass(frozen=True, slots=True)
class Startup:
    """One worker that has registered: seconds of each phase, and in all."""

    worker: str
    phases: Mapping[str, float]
    total_s: float


def startups(
    instances: Iterable[Instance], reported: Mapping[str, Reported], known: frozenset[str], now_s: float
) -> tuple[tuple[Startup, ...], frozenset[str]]:
    """Workers that have registered since the last look, and all that are known now.

    Args:
        known: those of earlier looks. A worker counts once: what it does after a crash is no start of a pod.
        now_s: the clock of `StartupTimestamps`.
    """
    found: list[Startup] = []
    seen: set[str] = set()
    for instance in instances:
        last = reported.get(instance.id)
        if instance.id in known:
            seen.add(instance.id)
        elif last is not None and last.report.startup_s is not None:
            seen.add(instance.id)
            # The worker's report says when that was; the tick that reads it may be seconds later.
            ago_s = max(0.0, last.report.uptime_s - last.report.startup_s) + last.silent_s
            if instance.startup is not None:
                found.append(_startup(instance.id, instance.startup, now_s - ago_s))
            elif instance.pid:
                began = {"registration": last.report.startup_s}
                found.append(Startup(instance.id, began, last.report.startup_s))
    return tuple(found), frozenset(seen)


def _startup(worker: str, startup: StartupTimestamps, registered_s: float) -> Startup:
    steps = [
        ("asked", startup.asked_s),
        ("creation", startup.made_s),
        ("scheduling", startup.placed_s),
        ("start", startup.running_s),
        ("registration", registered_s),
    ]
    taken = [(name, at_s) for name, at_s in steps if at_s is not None]
    phases = {name: max(0.0, at_s - before_s) for (_, before_s), (name, at_s) in itertools.pairwise(taken)}
    return Startup(worker, phases, max(0.0, registered_s - taken[0][1]))
