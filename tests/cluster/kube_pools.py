"""A pool as the chart makes it: a Deployment of workers, and a controller with the rights of the chart's Role."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.kube import Account, Plane
from cluster.played_node import PlayedNode, node_selector, played_node
from support.controlling import region
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import Clusters
from voicefleet.controller.adapters.kubernetes.fleet import KubeFleet
from voicefleet.controller.leader.leadership import AlwaysLeads, Leadership
from voicefleet.controller.ports import Instance, InstanceState
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import SystemClock
from voicefleet.stack import servers

DEPLOYMENT = "voice-worker"
OWNER = "voice/release"
_RUN = secrets.token_hex(3)
"""Two runs at once on one cluster keep out of each other's way."""
_numbers: Iterator[int] = itertools.count(1)


def deployment(namespace: str, *, owner: str | None = OWNER, cpu: str = "10m", **spec: Any) -> dict[str, Any]:
    """The Deployment of a pool."""
    labels = {"app.kubernetes.io/name": "voicefleet", "app.kubernetes.io/component": "worker"}
    container = {"name": "worker", "image": "localhost/none", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": DEPLOYMENT,
            "namespace": namespace,
            "annotations": {"voicefleet.dev/controller": owner} if owner else {},
        },
        "spec": {
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [container],
                    "nodeSelector": node_selector(namespace),
                    "terminationGracePeriodSeconds": 600,
                },
            },
            **spec,
        },
    }


def pods_of(namespace: str, kubeconfig: Path, livekit: servers.LiveKit, **more: Any) -> dict[str, Any]:
    """A region whose workers are pods."""
    where = {"namespace": namespace, "deployment": DEPLOYMENT, "kubeconfig": str(kubeconfig)}
    pool = {"min_workers": 1, "max_workers": 4, "slots": 2, "policy": "buffer", "buffer": 0, "scale_down_delay_s": 0}
    pool |= more.pop("pool", {})
    return region(livekit, kubernetes=where, pool=pool, **more)


def rights(namespace: str, user: str) -> list[dict[str, Any]]:
    """The Role that the chart gives the controller in a pool's namespace, and nothing else."""
    api = "rbac.authorization.k8s.io"
    names = [DEPLOYMENT]
    rules = [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "resourceNames": names,
            "verbs": ["get", "list", "watch"],
        },
        {
            "apiGroups": ["apps"],
            "resources": ["deployments/scale"],
            "resourceNames": names,
            "verbs": ["get", "update", "patch"],
        },
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "list", "watch"]},
    ]
    meta = {"name": "controller", "namespace": namespace}
    return [
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": api, "kind": "Role", "name": "controller"},
            "subjects": [{"kind": "User", "name": user, "apiGroup": api}],
        },
    ]


@dataclass
class KubePool:
    """A Deployment with `replicas` pods, and a fleet that watches it."""

    plane: Plane
    namespace: str
    kubeconfig: Path
    node: PlayedNode
    fleet: KubeFleet

    def replicas(self) -> int:
        found: int = self.plane.get("deployment", DEPLOYMENT, "-n", self.namespace)["spec"]["replicas"]
        return found

    async def states(self) -> dict[str, InstanceState]:
        return {i.id: i.state for i in await self.fleet.instances()}

    async def until(
        self, what: str, true: Callable[[tuple[Instance, ...]], Any], limit_s: float = 20.0
    ) -> tuple[Instance, ...]:
        """Wait until `true` of the instances."""
        deadline, found = time.monotonic() + limit_s, None
        while time.monotonic() < deadline:
            with contextlib.suppress(UnknownStateError):
                found = await self.fleet.instances()
                if true(found):
                    return found
            await asyncio.sleep(0.05)
        pytest.fail(f"not within {limit_s} s: {what}; there is {found}")

    async def until_running(self, count: int) -> list[str]:
        """Wait until there are `count` instances and all of them run; their names, in order."""

        def running(found: tuple[Instance, ...]) -> bool:
            return len(found) == count and all(i.state is InstanceState.RUNNING for i in found)

        return sorted(i.id for i in await self.until(f"{count} run", running))


def controller_account(plane: Plane, namespace: str) -> Account:
    """Somebody who may do in `namespace` what a controller may."""
    account = plane.account(f"controller-{namespace}")
    plane.apply(*rights(namespace, account.user))
    return account


@contextlib.asynccontextmanager
async def kube_fleet(
    kubeconfig: Path, namespace: str, *, owner: str | None = OWNER, leadership: Leadership | None = None
) -> AsyncIterator[KubeFleet]:
    """A fleet of a controller for the Deployment in `namespace`."""
    clusters, clock = Clusters(), SystemClock()
    settings = KubernetesSettings(namespace=namespace, deployment=DEPLOYMENT, kubeconfig=kubeconfig)
    leader = leadership or AlwaysLeads("test")
    fleet = KubeFleet("eu", settings, clusters.get(settings.cluster), clock, leader, owner=owner)
    fleet.open()
    try:
        await fleet.known(5.0)
        yield fleet
    finally:
        await fleet.close()
        await clusters.close()


def new_namespace(plane: Plane) -> str:
    return plane.namespace(f"pool-{_RUN}-{next(_numbers)}")


@contextlib.asynccontextmanager
async def kube_pool(plane: Plane, replicas: int = 1, **more: Any) -> AsyncIterator[KubePool]:
    """A pool in a namespace of its own, with a played node. All of its pods run when the block begins."""
    namespace = new_namespace(plane)
    kubeconfig = controller_account(plane, namespace).kubeconfig
    async with played_node(plane, namespace) as node:
        plane.apply(deployment(namespace, replicas=replicas, **more))
        try:
            async with kube_fleet(kubeconfig, namespace) as fleet:
                pool = KubePool(plane, namespace, kubeconfig, node, fleet)
                await pool.until_running(replicas)
                yield pool
        finally:
            plane.kubectl("delete", "deployment", DEPLOYMENT, "-n", namespace, "--wait=false")
