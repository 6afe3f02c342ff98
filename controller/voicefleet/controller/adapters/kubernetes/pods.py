"""Reads a pod's manifest: its state, and why it does not run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from voicefleet.controller.adapters.processes.redaction import redacted
from voicefleet.controller.ports import InstanceState

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
LOWEST_COST = -(2**31)
"""Among ready pods, Kubernetes ends the one with the lowest cost first."""
_HASH_LABEL = "pod-template-hash"
_IMAGE_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_BEGINS = frozenset({"", "ContainerCreating", "PodInitializing"})
_RESTARTS_OF_A_LOOP = 2
_LONGEST_DETAIL = 300

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a Deployment. Times are Unix seconds of the API server."""

    name: str
    uid: str
    created_s: float
    state: InstanceState
    detail: str
    """Why it does not run; empty when it does, or when nothing is known."""
    terminating: bool
    """It was told to end: a load as long as it has calls, never a capacity."""
    finished: bool
    """It has ended and only its object is there."""
    ended: bool
    """Nothing of it runs: every container ended, or none was ever started."""
    ready: bool
    cost: int
    generation: str
    """Pods of one ReplicaSet have the same."""
    ip: str
    scheduled_s: float | None
    running_s: float | None

    @property
    def active(self) -> bool:
        """It counts to the replicas of its Deployment."""
        return not self.terminating and not self.finished

    @property
    def marked(self) -> bool:
        """It is to be the first to go."""
        return self.cost == LOWEST_COST


def read_pod(manifest: Manifest) -> Pod:
    """Whatever a field may be missing, the answer is the more careful one."""
    metadata, status = manifest["metadata"], manifest.get("status", {})
    containers = list(status.get("containerStatuses") or ())
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    phase = status.get("phase", "")
    finished = phase in ("Succeeded", "Failed")
    terminating = metadata.get("deletionTimestamp") is not None
    scheduled = bool(manifest.get("spec", {}).get("nodeName"))
    if finished:
        state, detail = InstanceState.STOPPING, _clip(status.get("reason", ""), status.get("message", "")) or phase
    elif terminating:
        state, detail = InstanceState.STOPPING, ""
    elif not scheduled:
        state, detail = _unscheduled(conditions.get("PodScheduled"))
    else:
        state, detail = _of_containers([*(status.get("initContainerStatuses") or ()), *containers], containers)
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        created_s=_seconds(metadata.get("creationTimestamp")) or 0.0,
        state=state,
        detail=detail,
        terminating=terminating,
        finished=finished,
        ended=finished or not scheduled or (bool(containers) and all(_ended(c) for c in containers)),
        ready=conditions.get("Ready", {}).get("status") == "True",
        cost=_cost(metadata),
        generation=(metadata.get("labels") or {}).get(_HASH_LABEL, ""),
        ip=status.get("podIP", ""),
        scheduled_s=_scheduled_s(conditions.get("PodScheduled")),
        running_s=_running_s(containers),
    )


def _unscheduled(condition: Manifest | None) -> tuple[InstanceState, str]:
    if condition is None or condition.get("status") == "True":
        return InstanceState.PENDING, ""
    detail = _clip(condition.get("reason", ""), condition.get("message", ""))
    unschedulable = condition.get("reason") == "Unschedulable"
    return (InstanceState.UNSCHEDULABLE if unschedulable else InstanceState.PENDING), detail


def _of_containers(every: list[Manifest], main: list[Manifest]) -> tuple[InstanceState, str]:
    for container in every:
        if (waiting := container.get("state", {}).get("waiting")) is None:
            continue
        reason, last = waiting.get("reason", ""), container.get("lastState", {}).get("terminated")
        if reason == "CrashLoopBackOff":
            return InstanceState.CRASH_LOOPING, _loop(container, last)
        if reason in _IMAGE_TROUBLE:
            return InstanceState.PULLING, _clip(reason, waiting.get("message", ""))
        if reason not in _BEGINS:
            return InstanceState.STARTING, _clip(reason, waiting.get("message", ""))
        if not last:
            return InstanceState.STARTING, ""
    for container in main:
        last = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated")
        looping = container.get("restartCount", 0) >= _RESTARTS_OF_A_LOOP and not container.get("ready")
        if last and looping:
            return InstanceState.CRASH_LOOPING, _loop(container, last)
    if main and all(c.get("state", {}).get("running") and c.get("started") is not False for c in main):
        return InstanceState.RUNNING, ""
    return InstanceState.STARTING, ""


def _loop(container: Manifest, last: Manifest | None) -> str:
    restarts = container.get("restartCount", 0)
    if not last:
        return f"{restarts} restarts"
    how = f"exit code {last.get('exitCode')}"
    reason = last.get("reason", "")
    said = f": {last['message'].strip()}" if last.get("message") else ""
    return _clip("", f"{restarts} restarts, last {how}{f' ({reason})' if reason else ''}{said}")


def _ended(container: Manifest) -> bool:
    state = container.get("state", {})
    # A container that waits never ran, or ended before.
    return "terminated" in state or ("running" not in state and "waiting" in state)


def _cost(metadata: Manifest) -> int:
    try:
        return int((metadata.get("annotations") or {}).get(COST_ANNOTATION, 0))
    except ValueError:
        return 0  # as Kubernetes takes it


def _scheduled_s(condition: Manifest | None) -> float | None:
    if condition is None or condition.get("status") != "True":
        return None
    return _seconds(condition.get("lastTransitionTime"))


def _running_s(containers: list[Manifest]) -> float | None:
    begins = [_seconds((c.get("state", {}).get("running") or {}).get("startedAt")) for c in containers]
    known = [at for at in begins if at is not None]
    return max(known) if known and len(known) == len(begins) else None


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _clip(reason: str, message: str) -> str:
    # A container's last words are those of a program: there may be a secret in them.
    text = redacted(f"{reason}: {message}" if reason and message else reason or message, ())
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"
