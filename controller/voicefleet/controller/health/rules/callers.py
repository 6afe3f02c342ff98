"""The callers: who waits for an agent, hears nothing, or was refused."""

from __future__ import annotations

from collections.abc import Iterator

from voicefleet.contract.health import Finding, HealthState
from voicefleet.controller.health.observation import HealthObservation
from voicefleet.scaling import SupplyState

LONG_WAIT_S = 10.0
SILENT_RATIO = 0.2
REFUSED_RATIO = 0.05


def callers(seen: HealthObservation, now_s: float) -> Iterator[Finding]:
    """What callers suffer now."""
    yield from _refused(seen)
    if seen.waiting:
        yield _waiting(seen, seen.waiting)
    if seen.silent:
        # A single caller may have put the phone down; a share of them has a common cause.
        bad = seen.silent >= SILENT_RATIO * max(1, seen.live or 0)
        cause = f"{_calls(seen.silent)} heard no voice for more than 10 s"
        hint = "See which providers fail (`voicefleet status`), and `voicefleet call show ROOM` for one of them."
        yield Finding("silent_calls", HealthState.FAILING if bad else HealthState.DEGRADED, cause, hint)


def _waiting(seen: HealthObservation, waiting: int) -> Finding:
    state = HealthState.FAILING if seen.oldest_wait_s > LONG_WAIT_S else HealthState.DEGRADED
    who = "1 caller waits" if waiting == 1 else f"{waiting} callers wait"
    cause = f"{who} for an agent, the first for {seen.oldest_wait_s:.0f} s"
    starting = seen.count(SupplyState.STARTING)
    if seen.workers_known and seen.ready >= seen.max_workers:
        hint = "Raise the pool's `max_workers`: it has as many as it may."
    elif starting:
        start = "1 worker starts" if starting == 1 else f"{starting} workers start"
        hint = f"Wait: {start}. If callers wait often, raise `min_workers` or lower `wait_ratio`."
    else:
        hint = "See `voicefleet explain REGION` for why no worker is added."
    return Finding("callers_wait", state, cause, hint.replace("REGION", seen.region))


def _refused(seen: HealthObservation) -> Iterator[Finding]:
    full, limited = seen.refused.get("full", 0), seen.refused.get("limited", 0)
    failed = seen.refused.get("unavailable", 0) + seen.refused.get("failed", 0)
    if full:
        bad = full >= REFUSED_RATIO * (full + seen.accepted)
        cause = f"{_callers(full)} refused within the last minute (503): every slot was taken"
        hint = f"Raise the pool's `max_workers` ({seen.max_workers}), or `slots` where the machine has room."
        yield Finding("refused_full", HealthState.FAILING if bad else HealthState.DEGRADED, cause, hint)
    if failed:
        bad = failed >= REFUSED_RATIO * (failed + seen.accepted)
        cause = f"{_callers(failed)} refused within the last minute (500 or 503), and not because every slot was taken"
        hint = "Look at the controller's log; without Redis the calls of keys with a limit cannot be counted."
        yield Finding("refused_errors", HealthState.FAILING if bad else HealthState.DEGRADED, cause, hint)
    if limited:
        cause = f"{_callers(limited)} refused within the last minute (429): their key was at its limit"
        hint = "Raise `limits` in the controller's file, or have the front end place calls more slowly."
        yield Finding("refused_limits", HealthState.DEGRADED, cause, hint)


def _callers(count: int) -> str:
    return "1 caller was" if count == 1 else f"{count} callers were"


def _calls(count: int) -> str:
    return "1 caller has" if count == 1 else f"{count} callers have"
