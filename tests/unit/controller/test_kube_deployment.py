"""Deployments and events as the API gives them."""

from __future__ import annotations

from typing import Any

import pytest

from voicefleet.controller.adapters.kubernetes.deployment import (
    KubeEvent,
    ownership,
    pulling,
    read_deployment,
    read_event,
    refused_creation,
)
from voicefleet.controller.adapters.kubernetes.pod_startups import PodStartups
from voicefleet.controller.adapters.kubernetes.pods import Pod, read_pod

pytestmark = pytest.mark.unit

FORBIDDEN = 'pods "w-1" is forbidden: exceeded quota'


def deployment(owner: str | None = "voice/main", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "worker",
            "uid": "u",
            "resourceVersion": "17",
            "annotations": {"voicefleet.dev/controller": owner} if owner else None,
        },
        "spec": {
            "replicas": 3,
            "selector": {
                "matchLabels": {"b": "2", "a": "1"},
                "matchExpressions": [
                    {"key": "c", "operator": "In", "values": ["x", "y"]},
                    {"key": "d", "operator": "NotIn", "values": ["z"]},
                    {"key": "e", "operator": "Exists"},
                    {"key": "f", "operator": "DoesNotExist"},
                ],
            },
        },
        "status": status,
    }


def test_a_deployment() -> None:
    pool = read_deployment(deployment(replicas=4, updatedReplicas=1))
    assert (pool.replicas, pool.total, pool.updated, pool.version, pool.stalled) == (3, 4, 1, 17, False)
    assert pool.selector == "a=1,b=2,c in (x,y),d notin (z),e,!f"


def test_a_rollout_that_kubernetes_gave_up() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    assert read_deployment(deployment(conditions=[condition])).stalled


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("voice/main", "voice/main", ""),
        (None, None, ""),
        ("voice/main", "voice/other", "belongs to the controller of voice/main; this one is voice/other's"),
        ("voice/main", None, "belongs to the controller of voice/main; this one has no owner in its settings"),
        (
            None,
            "voice/main",
            "is nobody's, and this controller is voice/main's. Annotate it voicefleet.dev/controller=",
        ),
    ],
)
def test_whose_it_is(theirs: str | None, ours: str | None, said: str) -> None:
    found = ownership(read_deployment(deployment(theirs)), ours)
    assert (said in found) if said else not found


def event(name: str = "worker-5d-1", reason: str = "Pulling", **more: Any) -> dict[str, Any]:
    base = {"metadata": {"creationTimestamp": "1970-01-01T00:01:00Z"}, "involvedObject": {"name": name}}
    return {**base, "reason": reason, "message": "m", **more}


def test_events() -> None:
    assert read_event(event(), "worker") == KubeEvent("worker-5d-1", "Pulling", "m", 60.0)
    last = read_event(event(reason="FailedCreate", lastTimestamp="1970-01-01T00:02:00Z"), "worker")
    assert last is not None
    assert last.at_s == 120.0
    micro = read_event(event(lastTimestamp=None, eventTime="1970-01-01T00:03:00.500000Z"), "worker")
    assert micro is not None
    assert micro.at_s == 180.5
    assert read_event(event(name="other-5d-1"), "worker") is None
    assert read_event(event(reason="Scheduled"), "worker") is None


def test_why_pods_were_not_made() -> None:
    events = [
        KubeEvent("worker-5d", "FailedCreate", "older", 50.0),
        KubeEvent("worker-5d", "FailedCreate", FORBIDDEN, 60.0),
        KubeEvent("worker-5d-1", "Pulling", "image", 70.0),
    ]
    assert refused_creation(events, 100.0) == FORBIDDEN
    assert refused_creation(events, 5000.0) == ""
    assert pulling(events) == {"worker-5d-1"}


def pod(uid: str, created: str = "1970-01-01T00:01:40Z", **status: Any) -> Pod:
    return read_pod({"metadata": {"name": uid, "uid": uid, "creationTimestamp": created}, "status": status})


SCHEDULED = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]
RUNS = [{"state": {"running": {"startedAt": "1970-01-01T00:01:41Z"}}}]


def test_births_are_seen_by_our_own_clock() -> None:
    startups = PodStartups()
    startups.asked(2, 10.0)
    startups.seen(pod("a"), 10.25, 100.5)
    startups.seen(pod("a", conditions=SCHEDULED), 10.5, 100.75)
    startups.seen(pod("a", conditions=SCHEDULED, containerStatuses=RUNS), 11.5, 101.75)
    startups.seen(pod("a", conditions=SCHEDULED, containerStatuses=RUNS), 20.0, 111.0)
    found = startups.of(pod("a"))
    assert found is not None
    assert (found.asked_s, found.made_s, found.placed_s, found.running_s) == (10.0, 10.25, 10.5, 11.5)
    startups.gone(pod("a"))
    assert startups.of(pod("a")) is None


def test_a_pod_that_was_there_before_us_has_no_birth() -> None:
    startups = PodStartups()
    startups.seen(pod("old"), 10.0, 200.0)
    assert startups.of(pod("old")) is None


def test_what_was_asked_for_and_taken_back_is_not_waited_for() -> None:
    startups = PodStartups()
    startups.asked(2, 10.0)
    startups.asked(-2, 11.0)
    startups.seen(pod("a"), 12.0, 100.0)
    found = startups.of(pod("a"))
    assert found is not None
    assert found.asked_s is None
