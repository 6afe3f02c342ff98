"""A node whose kubelet is played by the test: the objects and their changes are what a kubelet writes, through the
real API; what runs in the pods is whatever the test says. For states that no real kubelet shows on demand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration, CoreV1Api, V1DeleteOptions, V1Node, V1ObjectMeta

from cluster.kube import Kube
from voicefleet.runtime.tasks import cancel_and_wait

_MERGE = "application/merge-patch+json"
_LOOK_S = 0.05
_HEARTBEAT_S = 5.0
_CAPACITY = {"cpu": "64", "memory": "64Gi", "pods": "500"}


class PlayedNode:
    """One node. Pods bound to it get ready at once, and end at once when told to; see `starts` and `ends`."""

    def __init__(self, client: ApiClient, name: str, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self.name = name
        self.namespace = namespace
        self.starts = True
        """Pods that are new get ready by themselves."""
        self.ends = True
        """Pods that are told to end do so."""
        self._started: set[str] = set()

    async def pods(self) -> list[dict[str, Any]]:
        answer = await self._core.list_namespaced_pod_without_preload_content(self.namespace)
        found: list[dict[str, Any]] = json.loads(await answer.read())["items"]
        return found

    async def status(self, pod: str, status: dict[str, Any]) -> None:
        """Change a pod's status, as a kubelet does."""
        await self._core.patch_namespaced_pod_status(pod, self.namespace, {"status": status}, _content_type=_MERGE)

    async def ready(self, pod: str, ready: bool = True) -> None:
        """The pod's container runs; it passes its probes, or does not."""
        await self.status(pod, running(ready))

    async def waiting(self, pod: str, reason: str, message: str = "", **container: Any) -> None:
        """The pod's container is not there, and why."""
        state = {"waiting": {"reason": reason, "message": message}}
        await self.status(pod, {"phase": "Pending", "containerStatuses": [_container(False, state, **container)]})

    async def finish(self, pod: str) -> None:
        """The pod's container has ended and its object goes."""
        ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}}
        with contextlib.suppress(Exception):  # somebody else may have been faster
            await self.status(pod, {"containerStatuses": [_container(False, ended)]})
            await self._core.delete_namespaced_pod(pod, self.namespace, body=V1DeleteOptions(grace_period_seconds=0))

    async def _play(self) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError):  # the API server may be away
                await self._look()
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        for pod in await self.pods():
            name = pod["metadata"]["name"]
            if pod["spec"].get("nodeName") != self.name:
                continue
            if "deletionTimestamp" in pod["metadata"]:
                if self.ends:
                    await self.finish(name)
            elif self.starts and name not in self._started:
                self._started.add(name)
                with contextlib.suppress(Exception):  # it may have gone meanwhile
                    await self.ready(name)

    async def _beat(self) -> None:
        """Say that the node lives, as kubelets do; else its pods would be evicted."""
        while True:
            condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
            status = {"capacity": _CAPACITY, "allocatable": _CAPACITY, "conditions": [condition]}
            with contextlib.suppress(aiohttp.ClientError):
                await self._core.patch_node_status(self.name, {"status": status}, _content_type=_MERGE)
            await asyncio.sleep(_HEARTBEAT_S)

    @contextlib.asynccontextmanager
    async def playing(self) -> AsyncIterator[PlayedNode]:
        """Be there for the block."""
        await self._core.create_node(V1Node(metadata=V1ObjectMeta(name=self.name, labels={"for": self.namespace})))
        tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._play())]
        try:
            yield self
        finally:
            await cancel_and_wait(tasks)
            await self._core.delete_node(self.name)


@contextlib.asynccontextmanager
async def played_node(kube: Kube, namespace: str) -> AsyncIterator[PlayedNode]:
    """A node for the pods of `namespace`, which ask for it by `node_selector`."""
    found = Configuration()
    path = str(kube.kubeconfig)
    await config.load_kube_config(config_file=path, client_configuration=found)  # type: ignore[no-untyped-call]
    async with (
        ApiClient(configuration=found) as client,
        PlayedNode(client, f"node-{namespace}", namespace).playing() as node,
    ):
        yield node


def node_selector(namespace: str) -> dict[str, str]:
    return {"for": namespace}


def running(ready: bool = True) -> dict[str, Any]:
    """The status of a pod whose container runs."""
    conditions = [
        {"type": kind, "status": "True" if value else "False", "lastTransitionTime": _now()}
        for kind, value in (("PodScheduled", True), ("Initialized", True), ("ContainersReady", ready), ("Ready", ready))
    ]
    state = {"running": {"startedAt": _now()}}
    statuses = [_container(ready, state)]
    return {"phase": "Running", "podIP": "127.0.0.1", "conditions": conditions, "containerStatuses": statuses}


def _container(ready: bool, state: dict[str, Any], **more: Any) -> dict[str, Any]:
    # A merge patch keeps what it does not name: the other states have to go.
    states = {"waiting": None, "running": None, "terminated": None, **state}
    fixed = {"name": "worker", "image": "localhost/none", "imageID": "", "restartCount": 0}
    return {**fixed, "ready": ready, "started": "running" in state, "state": states, **more}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
