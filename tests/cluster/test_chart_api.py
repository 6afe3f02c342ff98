"""The chart before a real API server: every object is taken, and the controller can touch nothing but its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from chart.matrix import MATRIX, PRODUCTION
from chart.render import name_of, render
from chart.values_table import CHART

from cluster.control_plane import ControlPlane

pytestmark = pytest.mark.cluster

RELEASE, NAMESPACE = "fleet", "rights"
CONTROLLER = "system:serviceaccount:rights:fleet-voicefleet-controller"
NOBODY = "system:serviceaccount:rights:nobody"
EU, LEASE = "fleet-voicefleet-eu", "fleet-voicefleet-controller"
EVERYWHERE = ("default", "kube-system", NAMESPACE, f"{NAMESPACE}-eu", f"{NAMESPACE}-us-east")
Rule = tuple[str, str, str, str]
"""Verb, group, resource, name; an empty name means all objects."""


@pytest.mark.parametrize("case", MATRIX, ids=str)
def test_the_api_server_takes_every_object(case: str, control_plane: ControlPlane) -> None:
    namespace = f"dry-{list(MATRIX).index(case)}"
    # The monitors' kinds are the Prometheus operator's: without it, they are not rendered.
    objects = render(MATRIX[case], namespace=namespace)
    for needed in {name_of(found)[0] for found in objects} - {""}:
        control_plane.namespace(needed, **{"pod-security.kubernetes.io/enforce": "restricted"})
    # Pods are refused where the RuntimeClass is not known; Deployments are not.
    control_plane.apply(
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "runc"}, "handler": "runc"}
    )
    said = control_plane.kubectl(
        *("apply", "--dry-run=server", "--warnings-as-errors", "--validate=strict", "-f", "-"),
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
    )
    lines = said.splitlines()
    assert len(lines) == len(objects)
    assert all(line.endswith(("created (server dry run)", "configured (server dry run)")) for line in lines), said


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    control_plane.helm(
        # No node: the pod of the check before the installation would stay pending.
        *("install", RELEASE, str(CHART), "-n", NAMESPACE, "--create-namespace", "--no-hooks", "--values", "-"),
        stdin=json.dumps(PRODUCTION),
    )
    return control_plane


def rules(plane: ControlPlane, user: str, namespace: str) -> set[Rule]:
    """All that a user may do there, as the API server's authorizers say."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    groups = ("--as-group=system:serviceaccounts", f"--as-group=system:serviceaccounts:{NAMESPACE}")
    everyone = "--as-group=system:authenticated"
    answer = json.loads(
        plane.kubectl(
            *("create", "--validate=false", "-f", "-", "-o", "json", f"--as={user}", *groups, everyone),
            stdin=json.dumps(review),
        )
    )
    return {
        (verb, group, resource, name)
        for rule in answer["status"]["resourceRules"]
        for verb in rule["verbs"]
        for group in rule.get("apiGroups") or [""]
        for resource in rule.get("resources") or [""]
        for name in rule.get("resourceNames") or [""]
    }


def test_the_controller_may_do_this_and_nothing_else(installed: ControlPlane) -> None:
    granted = {space: rules(installed, CONTROLLER, space) - rules(installed, NOBODY, space) for space in EVERYWHERE}
    in_a_pool = {
        region: {
            *((verb, "apps", "deployments", f"fleet-voicefleet-{region}") for verb in ("get", "list", "watch")),
            *((verb, "apps", "deployments/scale", f"fleet-voicefleet-{region}") for verb in ("get", "update", "patch")),
            *((verb, "", "pods", "") for verb in ("get", "list", "watch", "patch")),
            *((verb, "", "events", "") for verb in ("get", "list", "watch")),
        }
        for region in ("eu", "us-east")
    }
    assert granted == {
        "default": set(),
        "kube-system": set(),
        NAMESPACE: {
            *((verb, "coordination.k8s.io", "leases", LEASE) for verb in ("get", "update", "patch")),
            ("create", "", "events", ""),
        },
        f"{NAMESPACE}-eu": in_a_pool["eu"],
        f"{NAMESPACE}-us-east": in_a_pool["us-east"],
    }


POOL = f"{NAMESPACE}-eu"
MAY: list[tuple[str, str, str, str]] = [
    ("get", f"apps/deployments/{EU}", "", POOL),
    ("list", f"apps/deployments/{EU}", "", POOL),
    ("update", f"apps/deployments/{EU}", "scale", POOL),
    ("patch", f"apps/deployments/{EU}", "scale", POOL),
    ("patch", "/pods/any", "", POOL),
    ("watch", "/pods", "", POOL),
    ("watch", "/events", "", POOL),
    ("update", f"coordination.k8s.io/leases/{LEASE}", "", NAMESPACE),
    ("create", "/events", "", NAMESPACE),
]
MAY_NOT: list[tuple[str, str, str, str]] = [
    ("list", "apps/deployments", "", POOL),
    ("get", "apps/deployments/another", "", POOL),
    ("patch", f"apps/deployments/{EU}", "", POOL),
    ("update", f"apps/deployments/{EU}", "", POOL),
    ("delete", f"apps/deployments/{EU}", "", POOL),
    ("update", "apps/deployments/another", "scale", POOL),
    ("create", "apps/deployments", "", POOL),
    ("patch", "apps/replicasets/any", "", POOL),
    ("delete", "/pods/any", "", POOL),
    ("deletecollection", "/pods", "", POOL),
    ("create", "/pods", "", POOL),
    ("create", "/pods/any", "eviction", POOL),
    ("create", "/pods/any", "exec", POOL),
    ("patch", "/pods/any", "ephemeralcontainers", POOL),
    ("get", "/pods/any", "log", POOL),
    ("get", "/secrets/livekit-eu", "", POOL),
    ("list", "/secrets", "", POOL),
    ("get", "/configmaps/any", "", POOL),
    ("create", "/events", "", POOL),
    ("create", "/serviceaccounts/any", "token", POOL),
    ("create", "rbac.authorization.k8s.io/rolebindings", "", POOL),
    ("get", "coordination.k8s.io/leases/another", "", NAMESPACE),
    ("list", "coordination.k8s.io/leases", "", NAMESPACE),
    ("create", "coordination.k8s.io/leases", "", NAMESPACE),
    ("delete", f"coordination.k8s.io/leases/{LEASE}", "", NAMESPACE),
    ("get", "/secrets/redis", "", NAMESPACE),
    ("list", "/pods", "", NAMESPACE),
    ("patch", "apps/deployments/fleet-voicefleet-controller", "scale", NAMESPACE),
    ("list", "/pods", "", "default"),
    ("list", "/pods", "", ""),
    ("list", "/namespaces", "", ""),
    ("list", "/nodes", "", ""),
    ("get", "/secrets/any", "", "kube-system"),
    ("impersonate", "/users/anyone", "", ""),
]


def answers(plane: ControlPlane, questions: Sequence[tuple[str, str, str, str]]) -> list[bool]:
    """Whether the controller may; a question is a verb, GROUP/RESOURCE[/NAME], a subresource and a namespace."""
    reviews: list[dict[str, Any]] = []
    for verb, what, subresource, namespace in questions:
        group, resource, *name = what.split("/")
        asked = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace}
        reviews.append(
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": CONTROLLER,
                    "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
                    "resourceAttributes": {**asked, "name": "".join(name)},
                },
            }
        )
    said = plane.kubectl("create", "-f", "-", "-o", "json", stdin="\n".join(map(json.dumps, reviews)))
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(said.rstrip()):
        one, at = decoder.raw_decode(said, at)
        found.append(bool(one["status"]["allowed"]))
        at += len(said[at:]) - len(said[at:].lstrip())
    return found


def test_can_i(installed: ControlPlane) -> None:
    assert dict(zip(MAY, answers(installed, MAY), strict=True)) == dict.fromkeys(MAY, True)
    assert dict(zip(MAY_NOT, answers(installed, MAY_NOT), strict=True)) == dict.fromkeys(MAY_NOT, False)


def test_workers_may_nothing_and_have_no_token(installed: ControlPlane) -> None:
    for region in ("eu", "us-east"):
        namespace = f"{NAMESPACE}-{region}"
        account = f"system:serviceaccount:{namespace}:fleet-voicefleet-{region}"
        assert rules(installed, account, namespace) == rules(installed, NOBODY, namespace)
        found = installed.get("serviceaccount", f"fleet-voicefleet-{region}", "-n", namespace)
        assert found["automountServiceAccountToken"] is False
