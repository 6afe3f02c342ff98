"""The workers: none is ready, they do not start, some hang, all slots are taken."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet.contract.errors import Dependency
from voicefleet.contract.health import Finding, HealthState
from voicefleet.controller.health.observation import HealthObservation, WorkerSeen
from voicefleet.controller.health.rules.callers import LONG_WAIT_S
from voicefleet.controller.ports import InstanceState
from voicefleet.scaling import SupplyState

_STARTS: dict[InstanceState, tuple[str, str]] = {
    InstanceState.UNSCHEDULABLE: ("unschedulable", "Add nodes, or lower `resources.requests` of the workers."),
    InstanceState.PULLING: ("image", "Correct the image's repository and tag, or its pull secret."),
    InstanceState.PENDING: ("quota", "Raise the quota that the message names, or lower `max_workers`."),
}
"""Id and hint by the state of the instances that do not run."""
_ERROR = (
    "starts_fail",
    "Correct what the error names; `voicefleet check --agent FILE --tiers FILE` finds it before a start.",
)
"""Of those that run, and end."""

_KILLED = "killed by signal"


def supply(seen: HealthObservation, now_s: float) -> Iterator[Finding]:
    """What is wrong with the workers, as far as they are known."""
    if not seen.workers_known:
        return
    wanted = seen.wanted or 0
    if Dependency.LIVEKIT not in {read.dependency for read in seen.failed_reads.values()}:
        # Workers register with LiveKit: without it their absence is its consequence.
        if seen.managed and seen.ready < wanted and seen.trouble:
            yield _starts_fail(seen)
        elif seen.ready == 0 and (wanted > 0 or not seen.managed):
            yield _none_ready(seen)
    yield from _hung(seen)
    if seen.free == 0 and seen.ready >= seen.max_workers > 0 and not seen.refused.get("full"):
        cause = f"every slot of the {seen.max_workers} workers that there may be is taken: the next caller is refused"
        yield Finding("full", HealthState.DEGRADED, cause, "Raise the pool's `max_workers`.")


def _starts_fail(seen: HealthObservation) -> Finding:
    stuck = [w.instance for w in seen.workers if w.detail and w.instance in _STARTS]
    id_, hint = _STARTS.get(stuck[0], _ERROR) if stuck and stuck[0] else _ERROR
    if _KILLED in seen.trouble:
        hint = (
            "Look who killed it: the kernel does so when memory runs out (`dmesg`): give workers more, or fewer slots."
        )
    if seen.ready == 0:
        return Finding(id_, HealthState.FAILING, f"no worker is ready: {seen.trouble}", hint)
    cause = f"{seen.ready} of {seen.wanted} workers are ready: {seen.trouble}"
    state = HealthState.FAILING if seen.oldest_wait_s > LONG_WAIT_S else HealthState.DEGRADED
    return Finding(id_, state, cause, hint)


def _none_ready(seen: HealthObservation) -> Finding:
    id_ = "no_ready_workers"
    if not seen.managed:
        cause = "no worker is ready: none has registered with this region's LiveKit and reported"
        hint = f"Start one: `voicefleet worker --agent FILE --region {seen.region}`."
        return Finding(id_, HealthState.FAILING, cause, hint)
    starting = [w for w in seen.workers if w.state is SupplyState.STARTING]
    oldest_s = max((w.age_s for w in starting), default=0.0)
    if starting and oldest_s < seen.start_timeout_s:
        cause = f"no worker is ready yet; {_workers(len(starting))} since {oldest_s:.0f} s"
        return Finding(
            id_, HealthState.DEGRADED, cause, "Wait until it has registered; `min_workers` keeps some ready."
        )
    if starting:
        cause = f"no worker is ready; {_workers(len(starting))} since {oldest_s:.0f} s"
        return Finding(id_, HealthState.FAILING, cause, "Look at the log of the worker that starts.")
    return Finding(id_, HealthState.FAILING, "no worker is ready, and none starts", "Look at the controller's log.")


def _workers(count: int) -> str:
    return "one starts" if count == 1 else f"{count} start"


def _hung(seen: HealthObservation) -> Iterator[Finding]:
    hung = [w for w in seen.workers if w.state is SupplyState.UNKNOWN]
    if not hung:
        return
    state = HealthState.FAILING if seen.ready == 0 and seen.wanted else HealthState.DEGRADED
    named = ", ".join(_silent(w) for w in hung[:3]) + (f" and {len(hung) - 3} more" if len(hung) > 3 else "")
    calls = sum(w.calls or 0 for w in hung)
    whose = "its" if len(hung) == 1 else "their"
    what = f"; {whose} {calls} {'call is' if calls == 1 else 'calls are'} moved" if calls else ""
    hint = "Wait some seconds: a worker that hangs is ended and replaced. If it stays, look at its machine and its log."
    yield Finding("workers_silent", state, f"no reports of {named}{what}", hint)


def _silent(worker: WorkerSeen) -> str:
    return f"{worker.id} for {worker.silent_s:.0f} s"
