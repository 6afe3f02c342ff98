"""A pod's manifest as the API gives it, and the one state it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet.controller.adapters.kubernetes.pods import LOWEST_COST, read_pod
from voicefleet.controller.ports import InstanceState

pytestmark = pytest.mark.unit

S = InstanceState
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}
READY = {"type": "Ready", "status": "True"}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient cpu.",
}


def manifest(
    *,
    node: str = "n1",
    phase: str = "Pending",
    conditions: list[dict[str, Any]] | None = None,
    container: dict[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "worker-abc-1",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"pod-template-hash": "abc"},
            **metadata,
        },
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase,
            "conditions": [SCHEDULED] if conditions is None else conditions,
            **({"containerStatuses": [container]} if container else {}),
        },
    }


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"name": "worker", "state": {"waiting": {"reason": reason, "message": message}}, **more}


def running(**more: Any) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
    return {"name": "worker", "state": state, "ready": True, "started": True, **more}


TERMINATED = {"terminated": {"exitCode": 2, "reason": "Error", "message": "no key\n"}}


@pytest.mark.parametrize(
    ("given", "state", "detail"),
    [
        (manifest(node="", conditions=[]), S.PENDING, ""),
        (
            manifest(node="", conditions=[UNSCHEDULABLE]),
            S.UNSCHEDULABLE,
            "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
        ),
        (
            manifest(node="", conditions=[{**UNSCHEDULABLE, "reason": "SchedulingGated", "message": ""}]),
            S.PENDING,
            "SchedulingGated",
        ),
        (manifest(), S.STARTING, ""),
        (manifest(container=waiting("ContainerCreating")), S.STARTING, ""),
        (manifest(container=waiting("ErrImagePull", "denied")), S.PULLING, "ErrImagePull: denied"),
        (
            manifest(container=waiting("CreateContainerConfigError", 'secret "k" not found')),
            S.STARTING,
            'CreateContainerConfigError: secret "k" not found',
        ),
        (
            manifest(phase="Running", container=waiting("CrashLoopBackOff", restartCount=3, lastState=TERMINATED)),
            S.CRASH_LOOPING,
            "3 restarts, last exit code 2 (Error): no key",
        ),
        # Between two crashes it runs for a moment, and is none the better for it.
        (
            manifest(phase="Running", container=running(ready=False, restartCount=2, lastState=TERMINATED)),
            S.CRASH_LOOPING,
            "2 restarts, last exit code 2 (Error): no key",
        ),
        (manifest(phase="Running", container=running(restartCount=2, lastState=TERMINATED)), S.RUNNING, ""),
        (manifest(phase="Running", container=running(started=False, ready=False)), S.STARTING, ""),
        (manifest(phase="Running", container=running(ready=False)), S.RUNNING, ""),
        (manifest(phase="Running", container=running(), deletionTimestamp="2026-01-01T01:00:00Z"), S.STOPPING, ""),
        (manifest(phase="Failed"), S.STOPPING, "Failed"),
    ],
)
def test_states(given: dict[str, Any], state: InstanceState, detail: str) -> None:
    pod = read_pod(given)
    assert (pod.state, pod.detail) == (state, detail)


def test_times_cost_and_readiness() -> None:
    annotations = {"controller.kubernetes.io/pod-deletion-cost": str(LOWEST_COST)}
    pod = read_pod(
        manifest(phase="Running", container=running(), conditions=[SCHEDULED, READY], annotations=annotations)
    )
    assert (pod.scheduled_s or 0) - pod.created_s == 2.0
    assert (pod.running_s or 0) - pod.created_s == 5.0
    assert (pod.ready, pod.marked, pod.active, pod.generation) == (True, True, True, "abc")


@pytest.mark.parametrize("cost", ["low", "", "1.5"])
def test_a_cost_that_is_no_number_counts_as_none(cost: str) -> None:
    pod = read_pod(manifest(annotations={"controller.kubernetes.io/pod-deletion-cost": cost}))
    assert (pod.cost, pod.marked) == (0, False)


@pytest.mark.parametrize(
    ("given", "ended"),
    [
        (manifest(node=""), True),
        (manifest(), False),  # a container may run that was not reported yet
        (manifest(container=waiting("ContainerCreating")), True),
        (manifest(phase="Running", container=running()), False),
        (manifest(phase="Running", container={"name": "worker", "state": TERMINATED}), True),
        (manifest(phase="Succeeded"), True),
    ],
)
def test_whether_anything_of_it_runs(given: dict[str, Any], ended: bool) -> None:
    assert read_pod(given).ended is ended


def test_a_pod_on_its_way_out_is_not_active() -> None:
    assert not read_pod(manifest(deletionTimestamp="2026-01-01T01:00:00Z")).active
    assert not read_pod(manifest(phase="Failed")).active


def test_a_long_reason_is_cut() -> None:
    pod = read_pod(manifest(node="", conditions=[{**UNSCHEDULABLE, "message": "x" * 5000}]))
    assert len(pod.detail) == 300
