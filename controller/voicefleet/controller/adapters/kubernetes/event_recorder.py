"""Writes Kubernetes events about pools that are degraded, on the Lease: `kubectl describe lease` shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kubernetes.aio.client import ApiClient, CoordinationV1Api, CoreV1Api

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import Cluster
from voicefleet.controller.adapters.kubernetes.reflector import Manifest
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

LOOK_EVERY_S = 2.0
AGAIN_S = 60.0
"""A reason that only changes is written again no sooner."""
_WITHIN_S = 2.0
_LONGEST = 1000

log = get_logger(__name__)


class EventRecorder:
    """Writes one event when a pool degrades, and one when it is healthy again.

    Args:
        troubles: region -> what is wrong, empty when nothing is.
    """

    def __init__(
        self,
        lease: LeaseSettings,
        replica: str,
        cluster: Cluster,
        leadership: Leadership,
        clock: Clock,
        troubles: Callable[[], Mapping[str, str]],
    ) -> None:
        self._lease = lease
        self._replica = replica
        self._cluster = cluster
        self._leadership = leadership
        self._clock = clock
        self._troubles = troubles
        self._written: dict[str, tuple[str, float]] = {}
        self._uid = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            if self._leadership.leads:
                await self.once()
            await self._clock.sleep(LOOK_EVERY_S)

    async def once(self) -> None:
        """One look. An event that cannot be written now is written at a later one."""
        now_s = self._clock.monotonic()
        for region, text in self._troubles().items():
            before, at_s = self._written.get(region, ("", 0.0))
            if text == before or (text and before and now_s - at_s < AGAIN_S):
                continue
            try:
                await self._write(region, text)
            except UnknownStateError as error:
                log.info("event not written", region=region, error=str(error))
                continue
            self._written[region] = (text, now_s)

    async def _write(self, region: str, text: str) -> None:
        wall = self._clock.wall().strftime("%Y-%m-%dT%H:%M:%SZ")
        if not self._uid:
            read = partial(_read_lease, name=self._lease.name, namespace=self._lease.namespace)
            self._uid = (await self._cluster.ask("read the Lease", _WITHIN_S, read))["metadata"]["uid"]
        body = event(self._lease, self._uid, self._replica, region, text, wall)
        post = partial(_create_event, namespace=self._lease.namespace, body=body)
        await self._cluster.ask("write an event", _WITHIN_S, post)


def event(lease: LeaseSettings, uid: str, replica: str, region: str, text: str, wall: str) -> Manifest:
    """The event that gives `text` as the trouble of `region`, or that says there is none. Pure.

    Args:
        uid: of the Lease; `kubectl describe` looks for it.
    """
    message = f"region {region}: {text or 'all requested workers run'}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{lease.name}.", "namespace": lease.namespace},
        "involvedObject": {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "name": lease.name,
            "namespace": lease.namespace,
            "uid": uid,
        },
        "reason": "PoolDegraded" if text else "PoolHealthy",
        "message": message[:_LONGEST],
        "type": "Warning" if text else "Normal",
        "source": {"component": "voicefleet-controller"},
        "reportingComponent": "voicefleet-controller",
        "reportingInstance": replica,
        "firstTimestamp": wall,
        "lastTimestamp": wall,
        "count": 1,
    }


async def _create_event(client: ApiClient, *, namespace: str, body: Any) -> Any:
    return await CoreV1Api(client).create_namespaced_event_without_preload_content(namespace, body)


async def _read_lease(client: ApiClient, *, name: str, namespace: str) -> Any:
    return await CoordinationV1Api(client).read_namespaced_lease_without_preload_content(name, namespace)
