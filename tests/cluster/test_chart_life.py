"""A release's life on a real API server: installed, upgraded, rolled back, removed. No node: pods stay pending."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from chart.matrix import TRIAL
from chart.values_table import CHART

from cluster.control_plane import ControlPlane
from cluster.kube import CommandError, wait_for

pytestmark = pytest.mark.cluster

LIMIT_S = 60.0


class Release:
    """One installation of the chart."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace

    def helm(self, verb: str, values: Mapping[str, Any] | None = None, *options: str) -> str:
        chart = (str(CHART),) if verb in ("install", "upgrade") else ()
        given = ("--values", "-") if values is not None else ()
        return self.plane.helm(
            *(verb, "voicefleet", *chart, "-n", self.namespace, *given, *options), stdin=json.dumps(values or {})
        )

    def pool(self, region: str = "local") -> dict[str, Any]:
        found: dict[str, Any] = self.plane.get("deployment", f"voicefleet-{region}", "-n", f"{self.namespace}-{region}")
        return found

    def secret(self, name: str, namespace: str | None = None) -> dict[str, str]:
        found = self.plane.get("secret", name, "-n", namespace or self.namespace)
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    def all_but_secrets(self) -> str:
        """Every object of the release's namespaces that is no Secret, as text."""
        kinds = "deployments,replicasets,pods,services,configmaps,leases,events,networkpolicies,serviceaccounts"
        spaces = [self.namespace, f"{self.namespace}-local"]
        return "".join(self.plane.kubectl("get", kinds, "-n", space, "-o", "yaml") for space in spaces)


def test_a_release_from_its_first_day_to_its_last(control_plane: ControlPlane) -> None:
    release = Release(control_plane, "life")
    notes = release.helm("install", TRIAL, "--create-namespace")
    assert "helm test voicefleet -n life" in notes
    assert "http://voicefleet-controller.life.svc:8080/v1/calls" in notes
    # Pods are made under the restricted standard, which the pools' namespaces enforce.
    wait_for(lambda: control_plane.items("pods", "-n", "life-local") or None, LIMIT_S, "a worker pod is made")
    first = release.pool()
    drawn = (
        release.secret("voicefleet-livekit"),
        release.secret("voicefleet-redis"),
        release.secret("voicefleet-api-keys"),
    )
    assert release.secret("voicefleet-livekit", "life-local").items() <= drawn[0].items()

    # What controllers write, no upgrade and no rollback may undo.
    control_plane.kubectl("scale", "deployment/voicefleet-local", "-n", "life-local", "--replicas=3")
    holder = {"spec": {"holderIdentity": "voicefleet-controller-x", "leaseDurationSeconds": 6, "leaseTransitions": 4}}
    control_plane.kubectl(
        *("patch", "lease", "voicefleet-controller", "-n", "life", "--type=merge", "-p", json.dumps(holder))
    )

    def held() -> None:
        pool = release.pool()
        assert pool["spec"]["replicas"] == 3
        assert pool["spec"]["selector"] == first["spec"]["selector"]
        assert pool["metadata"]["uid"] == first["metadata"]["uid"]
        assert control_plane.get("lease", "voicefleet-controller", "-n", "life")["spec"] == holder["spec"]
        assert drawn == (
            release.secret("voicefleet-livekit"),
            release.secret("voicefleet-redis"),
            release.secret("voicefleet-api-keys"),
        )

    release.helm("upgrade", {**TRIAL, "image": {"tag": "next"}, "pool": {"maxWorkers": 9}})
    held()
    assert release.pool()["spec"]["template"]["spec"]["containers"][0]["image"] == "voicefleet/worker:next"
    release.helm("rollback", None, "1")
    held()
    assert release.pool()["spec"]["template"] == first["spec"]["template"]

    release.helm("uninstall")
    left = "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,leases,pdb,networkpolicies"
    wait_for(
        lambda: "life-local" not in control_plane.kubectl("get", "namespaces", "-o", "name"),
        LIMIT_S,
        "the pool is gone",
    )
    selector = "app.kubernetes.io/instance=voicefleet"
    assert control_plane.kubectl("get", left, "-n", "life", "-l", selector, "-o", "name") == ""
    wait_for(
        lambda: control_plane.kubectl("get", "pods", "-n", "life", "-o", "name") == "", LIMIT_S, "its pods are gone"
    )


def test_keys_that_somebody_changed_stay_and_are_nowhere_but_in_secrets(control_plane: ControlPlane) -> None:
    release = Release(control_plane, "keys")
    release.helm("install", TRIAL, "--create-namespace")
    marks = {"voicefleet-livekit": "apiSecret", "voicefleet-redis": "password", "voicefleet-api-keys": "caller"}
    for name, key in marks.items():
        patch = json.dumps({"stringData": {key: f"recognisable-{key}"}})
        control_plane.kubectl("patch", "secret", name, "-n", "keys", "--type=merge", "-p", patch)
    release.helm("upgrade", {**TRIAL, "secretsRevision": "2"})
    for name, key in marks.items():
        assert release.secret(name)[key] == f"recognisable-{key}"
    assert "recognisable-password" in release.secret("voicefleet-redis")["url"]
    assert list(release.secret("voicefleet-redis", "keys-local")) == ["url-worker-local"]
    assert release.secret("voicefleet-livekit", "keys-local")["apiSecret"] == "recognisable-apiSecret"
    assert release.secret("voicefleet-livekit")["keys"] == "devstack: recognisable-apiSecret"
    text = release.all_but_secrets()
    assert "voicefleet.dev/secrets-revision" in text
    assert "recognisable" not in text


def test_a_region_can_come_and_go(control_plane: ControlPlane) -> None:
    release = Release(control_plane, "regions")
    release.helm("install", {**TRIAL, "regions": [{"name": "eu"}]}, "--create-namespace")
    before = release.pool("eu")
    release.helm("upgrade", {**TRIAL, "regions": [{"name": "eu", "agentName": "voicefleet"}, {"name": "us"}]})
    assert release.pool("eu")["spec"]["template"] == before["spec"]["template"], "a new region must not roll the others"
    assert release.pool("us")
    release.helm("upgrade", {**TRIAL, "regions": [{"name": "eu"}]})
    wait_for(
        lambda: "regions-us" not in control_plane.kubectl("get", "namespaces", "-o", "name"),
        LIMIT_S,
        "the pool is gone",
    )
    assert release.pool("eu")["metadata"]["uid"] == before["metadata"]["uid"]


def test_what_is_there_already_is_not_taken_over(control_plane: ControlPlane) -> None:
    control_plane.namespace("taken-local")
    with pytest.raises(CommandError, match='Namespace "taken-local" in namespace "" exists and cannot be imported'):
        Release(control_plane, "taken").helm("install", TRIAL, "--create-namespace")
    Release(control_plane, "taken").helm(
        "upgrade", {**TRIAL, "createNamespace": False}, "--install", "--create-namespace"
    )
    Release(control_plane, "taken").helm("uninstall")
    assert control_plane.get("namespace", "taken-local")["status"]["phase"] == "Active"


MONITORS = ("podmonitors", "PodMonitor"), ("servicemonitors", "ServiceMonitor")


def test_monitors_come_with_the_kinds_that_the_cluster_has(control_plane: ControlPlane) -> None:
    release = Release(control_plane, "watched")
    monitors = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    wanted = {**TRIAL, **monitors, "networkPolicy": {"monitoringNamespace": "monitoring"}}
    notes = release.helm("install", wanted, "--create-namespace")
    assert "podMonitor.enabled: this cluster does not know the kind PodMonitor" in notes
    assert "serviceMonitor.enabled: this cluster does not know the kind ServiceMonitor" in notes
    control_plane.apply(*(definition(plural, kind) for plural, kind in MONITORS))
    try:
        named = [f"crd/{plural}.monitoring.coreos.com" for plural, _ in MONITORS]
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *named)
        notes = wait_for(lambda: upgraded(release, wanted), LIMIT_S, "helm sees the new kinds")
        assert "does not know the kind" not in notes
        assert control_plane.get("podmonitor", "voicefleet-local", "-n", "watched-local")
        assert control_plane.get("servicemonitor", "voicefleet-controller", "-n", "watched")
        release.helm("uninstall")
        assert control_plane.items("servicemonitors", "-n", "watched") == []
    finally:
        control_plane.kubectl("delete", "crd", *(f"{plural}.monitoring.coreos.com" for plural, _ in MONITORS))


def upgraded(release: Release, wanted: Mapping[str, Any]) -> str | None:
    """The notes of an upgrade that made a PodMonitor; the server lists a new kind a moment late."""
    notes = release.helm("upgrade", wanted)
    return notes if "does not know the kind" not in notes else None


def definition(plural: str, kind: str) -> dict[str, Any]:
    """A kind of the Prometheus operator, as far as its name; the operator's own schema is not here."""
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": loose}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
