"""A `coordination.k8s.io` Lease behind `election.LeasePort`. The chart makes the object; we only ever update it."""

from __future__ import annotations

from typing import Any

from kubernetes.aio.client import ApiClient, CoordinationV1Api

from voicefleet.controller.adapters.kubernetes.client import Cluster, KubernetesError
from voicefleet.controller.leader.election import LeaseRecord, LeaseTakenError
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.runtime.clock import Clock

_NOT_FOUND, _CONFLICT = 404, 409
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


class KubeLease:
    """The Lease of `settings`."""

    def __init__(self, settings: LeaseSettings, cluster: Cluster, clock: Clock) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = clock

    async def read(self, within_s: float) -> LeaseRecord:
        namespace, name = self._settings.namespace, self._settings.name

        async def read(client: ApiClient) -> Any:
            return await CoordinationV1Api(client).read_namespaced_lease_without_preload_content(name, namespace)

        try:
            return _record(await self._cluster.ask(f"read Lease {name} of {namespace}", within_s, read))
        except KubernetesError as error:
            if error.status != _NOT_FOUND:
                raise
            text = f"there is no Lease {name} in namespace {namespace}. The chart makes it: install it again"
            raise KubernetesError(text, error.status) from error

    async def write(self, record: LeaseRecord, within_s: float) -> LeaseRecord:
        namespace, name = self._settings.namespace, self._settings.name
        now = self._clock.wall().strftime(_TIME)
        body = {
            "metadata": {"resourceVersion": record.version},
            "spec": {
                "holderIdentity": record.holder or None,
                "leaseDurationSeconds": record.duration_s,
                "leaseTransitions": record.transitions,
                "acquireTime": record.acquired or now,
                "renewTime": now,
            },
        }

        async def write(client: ApiClient) -> Any:
            patch = CoordinationV1Api(client).patch_namespaced_lease_without_preload_content
            return await patch(name, namespace, body, _content_type="application/merge-patch+json")

        try:
            return _record(await self._cluster.ask(f"renew Lease {name} of {namespace}", within_s, write))
        except KubernetesError as error:
            if error.status == _CONFLICT:
                raise LeaseTakenError("another replica wrote the Lease first") from error
            raise


def _record(manifest: dict[str, Any]) -> LeaseRecord:
    spec = manifest.get("spec") or {}
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration_s=spec.get("leaseDurationSeconds") or 0,
        transitions=spec.get("leaseTransitions") or 0,
        acquired=spec.get("acquireTime") or "",
        version=manifest["metadata"]["resourceVersion"],
        uid=manifest["metadata"]["uid"],
    )
