"""Carries out a `ScalePlan`: deletion costs of pods and replicas of the Deployment, only while this replica leads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from kubernetes.aio.client import ApiClient, AppsV1Api, CoreV1Api

from voicefleet.controller.adapters.kubernetes.client import Cluster, KubernetesError
from voicefleet.controller.adapters.kubernetes.pods import COST_ANNOTATION, LOWEST_COST
from voicefleet.controller.adapters.kubernetes.scale_plan import ScalePlan
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.logs.setup import get_logger

WRITE_S = 2.0
"""Longest time for one write; less when the lease ends sooner."""
_CONFLICT, _ATTEMPTS = 409, 4
_MERGE = "application/merge-patch+json"

log = get_logger(__name__)


class ScaleClient:
    """Writes to one Deployment and its pods. Every method raises `UnknownStateError` when it did not, or may not have,
    come about."""

    def __init__(self, region: str, settings: KubernetesSettings, cluster: Cluster, leadership: Leadership) -> None:
        self._region = region
        self._settings = settings
        self._cluster = cluster
        self._leadership = leadership

    async def mark(self, uids: Mapping[str, str], plan: ScalePlan) -> None:
        """Give and take deletion costs. The uid makes it this pod or none."""
        namespace = self._settings.namespace
        costs: dict[str, str | None] = dict.fromkeys(plan.unmark) | dict.fromkeys(plan.mark, str(LOWEST_COST))
        for name, cost in costs.items():
            body = {"metadata": {"uid": uids[name], "annotations": {COST_ANNOTATION: cost}}}
            patch = partial(_patch_pod, name=name, namespace=namespace, body=body)
            await self._cluster.ask(f"patch pod {name} of {namespace}", self._limit_s(), patch)

    async def scale(self, before: int, replicas: int) -> int:
        """Set the replicas, if they still are `before`; the version that this made."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                version = await self._compare_and_set(before, replicas)
                break
            except KubernetesError as error:
                # Every change of its status makes another version of the Deployment.
                if error.status != _CONFLICT or attempt == _ATTEMPTS:
                    raise
        name = self._settings.deployment
        log.info("replicas written", region=self._region, deployment=name, before=before, replicas=replicas)
        return version

    async def _compare_and_set(self, before: int, replicas: int) -> int:
        namespace, name = self._settings.namespace, self._settings.deployment
        what = f"scale Deployment {name} of {namespace}"
        now = await self._cluster.ask(what, self._limit_s(), partial(_read_scale, name=name, namespace=namespace))
        if (there := now["spec"].get("replicas", 0)) != before:
            raise KubernetesError(f"cannot {what}: somebody set {there} instead of {before} meanwhile")
        version = now["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        patch = partial(_patch_scale, name=name, namespace=namespace, body=body)
        answer = await self._cluster.ask(what, self._limit_s(), patch)
        return int(answer["metadata"]["resourceVersion"])

    def _limit_s(self) -> float:
        """How long a write that begins now may take. Raises when it must not begin."""
        left_s = self._leadership.remaining_s()
        if left_s <= 0:
            raise KubernetesError("this replica does not lead, or not long enough for a write")
        return min(WRITE_S, left_s)


async def _patch_pod(client: ApiClient, *, name: str, namespace: str, body: Any) -> Any:
    patch = CoreV1Api(client).patch_namespaced_pod_without_preload_content
    return await patch(name, namespace, body, _content_type=_MERGE)


async def _read_scale(client: ApiClient, *, name: str, namespace: str) -> Any:
    return await AppsV1Api(client).read_namespaced_deployment_scale_without_preload_content(name, namespace)


async def _patch_scale(client: ApiClient, *, name: str, namespace: str, body: Any) -> Any:
    patch = AppsV1Api(client).patch_namespaced_deployment_scale_without_preload_content
    return await patch(name, namespace, body, _content_type=_MERGE)
