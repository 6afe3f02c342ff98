"""The controller's own account, in other hands: what it can do to a cluster, asked of a real API server.

RBAC grants it `patch` on the pods of its pools' namespaces, for one annotation. Everything else that a patch could do
is tried here with the account's own token.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chart.matrix import PRODUCTION
from chart.values_table import CHART

from cluster.conftest import or_skip
from cluster.control_plane import ControlPlane
from cluster.control_plane import control_plane as run_control_plane
from cluster.kube import CommandError, Kube, inline, wait_for, write_kubeconfig
from cluster.played_node import node_selector, played_node
from voicefleet.controller.adapters.kubernetes.client import Clusters
from voicefleet.controller.adapters.kubernetes.fleet import KubeFleet
from voicefleet.controller.adapters.kubernetes.scale_plan import ScalePlan
from voicefleet.controller.leader.leadership import AlwaysLeads
from voicefleet.controller.ports import InstanceState
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import SystemClock

pytestmark = pytest.mark.cluster

LIMIT_S = 30.0
RELEASE, POOL = "fleet", "fleet-voicefleet-eu"
COST = "controller.kubernetes.io/pod-deletion-cost"
LABELS = {
    "app.kubernetes.io/name": "voicefleet",
    "app.kubernetes.io/instance": RELEASE,
    "app.kubernetes.io/component": "worker",
    "voicefleet.dev/region": "eu",
}
MARK: dict[str, Any] = {"metadata": {"annotations": {COST: "-2147483648"}}}
TRIED = ("--type=strategic", "--dry-run=server")
IMAGE = {"spec": {"containers": [{"name": "worker", "image": "example/of-the-attacker"}]}}


@dataclass(frozen=True)
class Release:
    """An installation of the chart with one pool, and the controller's account with a token of its own."""

    plane: ControlPlane
    account: Kube
    namespace: str

    @property
    def pool_namespace(self) -> str:
        return f"{self.namespace}-eu"

    def worker(self) -> str:
        """A pod of the pool; there is one at least."""
        pods = wait_for(self.workers, LIMIT_S, "the pool has a pod")
        return str(pods[0]["metadata"]["name"])

    def workers(self) -> list[dict[str, Any]] | None:
        selector = ",".join(f"{key}={value}" for key, value in LABELS.items())
        return self.plane.items("pods", "-n", self.pool_namespace, "-l", selector) or None


@contextlib.contextmanager
def installed(plane: ControlPlane, namespace: str, **values: Any) -> Iterator[Release]:
    """The chart in `namespace`, removed when the block ends."""
    pool = {"nodeSelector": node_selector(f"{namespace}-eu"), **PRODUCTION["worker"]}
    given = {**PRODUCTION, "regions": PRODUCTION["regions"][:1], "worker": pool, **values}
    plane.helm(
        # No node of its own to run the check before the installation on.
        *("install", RELEASE, str(CHART), "-n", namespace, "--create-namespace", "--no-hooks", "--values", "-"),
        stdin=json.dumps(given),
    )
    try:
        yield Release(plane, Kube(token_of(plane, namespace)), namespace)
    finally:
        plane.helm("uninstall", RELEASE, "-n", namespace, "--wait=false")


def token_of(plane: ControlPlane, namespace: str) -> Path:
    """A kubeconfig with a token of the controller's ServiceAccount, as the chart's README has it made."""
    token = plane.kubectl("create", "token", "fleet-voicefleet-controller", "-n", namespace, "--duration=1h")
    server = {"server": plane.server, "certificate-authority-data": inline(plane.authority.certificate)}
    path = plane.folder / f"controller-{namespace}.kubeconfig"
    return write_kubeconfig(path, name=plane.name, cluster=server, user={"token": token.strip()})


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with or_skip(run_control_plane()) as running:
        yield running


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[Release]:
    """Installed with the chart's own choice, and held: an API server takes a moment to hear of a policy."""
    with installed(plane, "guarded") as found:
        worker = found.worker()
        wait_for(lambda: "may change nothing" in said(found, worker, IMAGE, *TRIED), LIMIT_S, "the policy holds")
        yield found


def said(release: Release, pod: str, patch: Any, *options: str, namespace: str = "") -> str:
    """What the API server says to the account's patch of a pod; empty when it took it."""
    where = ("-n", namespace or release.pool_namespace)
    try:
        release.account.kubectl(
            "patch", "pod", pod, *where, "-p", json.dumps(patch), *(options or ("--type=strategic",))
        )
    except CommandError as error:
        return str(error)
    return ""


ATTEMPTS: dict[str, tuple[Any, str]] = {
    "another image": (IMAGE, "strategic"),
    "another image beside the mark": ({**MARK, **IMAGE}, "strategic"),
    "another image, as a JSON patch": (
        [{"op": "replace", "path": "/spec/containers/0/image", "value": "example/of-the-attacker"}],
        "json",
    ),
    "a node that it may run on": (
        [{"op": "add", "path": "/spec/tolerations/-", "value": {"operator": "Exists"}}],
        "json",
    ),
    "an end": ({"spec": {"activeDeadlineSeconds": 1}}, "merge"),
    "a label that a Service goes by": ({"metadata": {"labels": {"app": "bank"}}}, "merge"),
    "a label of the pool taken away": ({"metadata": {"labels": {"voicefleet.dev/region": None}}}, "merge"),
    "another annotation": ({"metadata": {"annotations": {"example.com/inject": "true"}}}, "merge"),
    "an annotation taken away": (
        {"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": None}}},
        "merge",
    ),
    "an annotation changed beside the mark": (
        {"metadata": {"annotations": {COST: "1", "kubectl.kubernetes.io/default-container": "x"}}},
        "merge",
    ),
    "an owner taken away": ({"metadata": {"ownerReferences": None}}, "merge"),
    "a finalizer, so that it never goes": ({"metadata": {"finalizers": ["example.com/never"]}}, "merge"),
}


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=str)
def test_the_api_server_refuses_the_controllers_account(attempt: str, release: Release) -> None:
    patch, kind = ATTEMPTS[attempt]
    worker = release.worker()
    refused = said(release, worker, patch, f"--type={kind}")
    assert "ValidatingAdmissionPolicy 'guarded.fleet-voicefleet-controller'" in refused
    assert f"may change nothing of a pod but its annotation {COST}" in refused
    # Nothing but the policy is in the way: somebody who may do all gets it done.
    release.plane.kubectl(
        *("patch", "pod", worker, "-n", release.pool_namespace, f"--type={kind}", "-p", json.dumps(patch)),
        "--dry-run=server",
    )


def pod(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    """A pod of somebody else's, under the restricted standard."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [{"name": "worker", "image": "localhost/none", "securityContext": security}],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "nodeSelector": {"for": "nobody"},
        },
    }


FOREIGN: dict[str, dict[str, str]] = {
    "without a label": {},
    "of another release": {**LABELS, "app.kubernetes.io/instance": "another"},
    "of another region": {**LABELS, "voicefleet.dev/region": "us"},
    "of another component": {**LABELS, "app.kubernetes.io/component": "redis"},
}


@pytest.mark.parametrize("which", FOREIGN, ids=str)
def test_a_pod_that_is_no_worker_of_its_pools_is_not_touched(which: str, release: Release) -> None:
    name = f"foreign-{list(FOREIGN).index(which)}"
    release.plane.apply(pod(name, release.pool_namespace, **FOREIGN[which]))
    assert "may change workers of its own pools, and no other pod" in said(release, name, MARK)


def test_a_wider_role_does_not_widen_it(release: Release) -> None:
    """Rights that somebody added in another namespace, where pods bear the pool's labels."""
    elsewhere = release.plane.namespace("elsewhere")
    release.plane.apply(pod("bank", elsewhere, **LABELS))
    account = f"--serviceaccount={release.namespace}:fleet-voicefleet-controller"
    release.plane.kubectl("create", "rolebinding", "wider", "-n", elsewhere, "--clusterrole=admin", account)
    refused = said(release, "bank", MARK, namespace=elsewhere)
    assert "may change workers of its own pools, and no other pod" in refused


def test_what_can_i_says_the_account_may_patch_is_what_the_policy_narrows(release: Release) -> None:
    where = ("-n", release.pool_namespace)
    assert release.account.kubectl("auth", "can-i", "patch", "pods", *where).strip() == "yes"
    for verb, what in (("delete", "pods"), ("create", "pods"), ("patch", "deployments"), ("get", "secrets")):
        with pytest.raises(CommandError, match="no"):
            release.account.kubectl("auth", "can-i", verb, what, *where)
    for subresource in ("ephemeralcontainers", "resize", "status", "exec"):
        with pytest.raises(CommandError, match="no"):
            release.account.kubectl("auth", "can-i", "patch", "pods", f"--subresource={subresource}", *where)


def test_the_policys_words_are_sound(release: Release) -> None:
    """The API server checks the types of what a policy says, and notes what it finds."""

    def checked() -> dict[str, Any] | None:
        found = release.plane.get("validatingadmissionpolicy", "guarded.fleet-voicefleet-controller")
        status: dict[str, Any] = found.get("status", {})
        return status if "typeChecking" in status else None

    assert wait_for(checked, LIMIT_S, "the policy's types are checked")["typeChecking"] == {}


@contextlib.asynccontextmanager
async def fleet_of(release: Release) -> AsyncIterator[KubeFleet]:
    """The controller's own adapter, signed in with the account's token."""
    clusters, clock = Clusters(), SystemClock()
    settings = KubernetesSettings(
        namespace=release.pool_namespace, deployment=POOL, kubeconfig=release.account.kubeconfig
    )
    owner = f"{release.namespace}/{RELEASE}"
    fleet = KubeFleet("eu", settings, clusters.get(settings.cluster), clock, AlwaysLeads("test"), owner=owner)
    fleet.open()
    try:
        await fleet.known(5.0)
        yield fleet
    finally:
        await fleet.close()
        await clusters.close()


async def until_running(fleet: KubeFleet, count: int) -> list[str]:
    """The names of the workers, once exactly `count` are there and all run."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found = await fleet.instances()
            if len(found) == count and all(i.state is InstanceState.RUNNING for i in found):
                return sorted(i.id for i in found)
            await asyncio.sleep(0.05)


async def test_the_controller_scales_up_and_down_under_the_policy(release: Release) -> None:
    async with played_node(release.plane, release.pool_namespace), fleet_of(release) as fleet:
        await until_running(fleet, 1)
        await fleet.scale(2, ())
        names = await until_running(fleet, 3)
        await fleet.scale(0, [names[1]])
        assert await until_running(fleet, 2) == [names[0], names[2]]
        # A mark that is taken back is a write too: with a cost on the wrong pod, that one would go next.
        await fleet._scale_client.mark(*await asyncio.to_thread(marks, release, names[0]))
        async with asyncio.timeout(LIMIT_S):
            while COST in await asyncio.to_thread(annotations_of, release, names[0]):
                await fleet.scale(0, ())
                await asyncio.sleep(0.05)
        assert fleet.trouble() == ""


def marks(release: Release, name: str) -> tuple[dict[str, str], ScalePlan]:
    """What the adapter's writer needs to mark that pod."""
    found = release.plane.get("pod", name, "-n", release.pool_namespace)
    return {name: found["metadata"]["uid"]}, ScalePlan(mark=(name,))


def annotations_of(release: Release, name: str) -> dict[str, str]:
    found: dict[str, str] = release.plane.get("pod", name, "-n", release.pool_namespace)["metadata"]["annotations"]
    return found


def test_without_the_policy_a_stolen_token_runs_other_images(plane: ControlPlane) -> None:
    """What `admissionPolicy.enabled: false` leaves open, as the README says."""
    with installed(plane, "open", admissionPolicy={"enabled": False}) as release:
        assert [
            found["metadata"]["name"]
            for found in release.plane.items("validatingadmissionpolicies")
            if found["metadata"]["name"].startswith("open.")
        ] == []
        worker = release.worker()
        release.account.kubectl(
            *("patch", "pod", worker, "-n", release.pool_namespace, "-p", json.dumps(IMAGE), "--dry-run=server")
        )


def test_two_releases_have_policies_of_their_own(release: Release) -> None:
    with installed(release.plane, "second") as second:
        worker = second.worker()
        wait_for(lambda: "second.fleet-voicefleet" in said(second, worker, IMAGE, *TRIED), LIMIT_S, "the policy holds")
        assert "guarded.fleet-voicefleet" in said(release, release.worker(), IMAGE)
        assert said(second, worker, MARK) == ""
    left = [found["metadata"]["name"] for found in release.plane.items("validatingadmissionpolicies")]
    assert left == ["guarded.fleet-voicefleet-controller"], "an uninstallation takes its own with it, and no other"
