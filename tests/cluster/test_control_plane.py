"""The control plane that other tests stand on: it has controllers, it enforces RBAC, and its API can be lost."""

from __future__ import annotations

import pytest

from cluster.control_plane import ControlPlane, control_plane
from cluster.kube import CommandError, Kube, wait_for
from voicefleet.runtime.supervisor.children import leftover_pids

pytestmark = pytest.mark.cluster

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "sleeper"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "sleeper"}},
        "template": {
            "metadata": {"labels": {"app": "sleeper"}},
            "spec": {"containers": [{"name": "sleeper", "image": "localhost/none"}]},
        },
    },
}


def test_controllers_make_pods_of_a_deployment(control_plane: ControlPlane) -> None:
    control_plane.namespace("made")
    control_plane.apply({**DEPLOYMENT, "metadata": {"name": "sleeper", "namespace": "made"}})
    pods = wait_for(
        lambda: found if len(found := control_plane.items("pods", "-n", "made")) == 2 else None, 20.0, "two pods exist"
    )
    assert {pod["status"]["phase"] for pod in pods} == {"Pending"}


def test_a_user_without_roles_may_nothing(control_plane: ControlPlane) -> None:
    nobody = Kube(control_plane.user_kubeconfig("nobody", "nobody"))
    with pytest.raises(CommandError, match='User "nobody" cannot list resource "pods"'):
        nobody.kubectl("get", "pods", "-n", "default")


def test_the_api_comes_back_with_what_it_held_and_nothing_is_left_behind() -> None:
    before = leftover_pids()
    with control_plane() as plane:
        plane.namespace("kept")
        plane.stop_api_server()
        assert not plane.answers()
        with pytest.raises(CommandError, match="refused"):
            plane.kubectl("get", "namespace", "kept")
        plane.start_api_server()
        assert plane.kubectl("get", "namespace", "kept", "-o", "name").strip() == "namespace/kept"
        folder = plane.folder
    assert leftover_pids() <= before
    assert not folder.exists()
