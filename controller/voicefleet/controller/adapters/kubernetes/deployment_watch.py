"""Watches one Deployment, its pods and its events, and knows when what it shows is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from kubernetes.aio.client import AppsV1Api, CoreV1Api

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import Cluster
from voicefleet.controller.adapters.kubernetes.deployment import (
    Deployment,
    KubeEvent,
    ownership,
    read_deployment,
    read_event,
)
from voicefleet.controller.adapters.kubernetes.pods import Pod, read_pod
from voicefleet.controller.adapters.kubernetes.reflector import Reflector
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.tasks import cancel_and_wait

STALE_S = 10.0
_SOON_S, _LATER_S = 0.05, 0.5
_EVENTS_WINDOW_S = 60

T = TypeVar("T")


class DeploymentWatch:
    """`open` begins to watch.

    Args:
        owner: ours, as the annotation of the Deployment must name it.
        deployment_changed, pod_changed: told of the value before and after each change; None where there was or is
            none.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        cluster: Cluster,
        clock: Clock,
        *,
        owner: str | None,
        deployment_changed: Callable[[Deployment | None, Deployment | None], None],
        pod_changed: Callable[[Pod | None, Pod | None], None],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._clock = clock
        self._owner = owner
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pod_changed = self._noting(pod_changed)
        namespace, name = settings.namespace, settings.deployment
        self._deployments: Reflector[Deployment] = Reflector(
            cluster,
            f"Deployment {name} of {namespace}",
            lambda client: partial(
                AppsV1Api(client).list_namespaced_deployment_without_preload_content,
                namespace,
                field_selector=f"metadata.name={name}",
            ),
            read_deployment,
            clock,
            changed=self._noting(deployment_changed),
        )
        self._events: Reflector[KubeEvent] = Reflector(
            cluster,
            f"events of {namespace}",
            lambda client: partial(CoreV1Api(client).list_namespaced_event_without_preload_content, namespace),
            lambda manifest: read_event(manifest, name),
            clock,
            window_s=_EVENTS_WINDOW_S,
        )
        self._pods: Reflector[Pod] | None = None

    def open(self) -> None:
        """Begin to watch."""
        for reflector in (self._deployments, self._events):
            self._tasks.append(asyncio.create_task(reflector.run()))
        self._tasks.append(asyncio.create_task(self._watch_pods()))

    async def close(self) -> None:
        await cancel_and_wait(self._tasks)
        self._tasks.clear()

    @property
    def deployment(self) -> Deployment | None:
        """As last seen, however long ago."""
        return next(iter(self._deployments.items.values()), None)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """As last seen, however long ago."""
        return tuple(self._pods.items.values()) if self._pods is not None else ()

    @property
    def events(self) -> tuple[KubeEvent, ...]:
        return tuple(self._events.items.values())

    @property
    def events_failure(self) -> str:
        """Why the events cannot be read; empty when they can."""
        return str(self._events.failure or "")

    def server_s(self) -> float:
        """The API server's time now, Unix seconds."""
        return self._deployments.server_s()

    def confirmed(self) -> tuple[Deployment, tuple[Pod, ...]]:
        """The Deployment and its pods, if they were confirmed lately and are ours. Raises `UnknownStateError`."""
        self._deployments.confirmed(STALE_S)
        if (deployment := self.deployment) is None:
            where = f"Deployment {self._settings.deployment} in namespace {self._settings.namespace}"
            raise UnknownStateError(f"there is no {where}. Create it, or correct the region's kubernetes fields")
        if refused := ownership(deployment, self._owner):
            raise UnknownStateError(refused)
        if self._pods is None:
            raise UnknownStateError("pods not read yet")
        self._pods.confirmed(STALE_S)
        return deployment, self.pods

    async def until(self, true: Callable[[], bool], within_s: float, *, look_every_s: float | None = None) -> None:
        """Wait until `true()`, asked at every change and at least every `look_every_s`; not longer than `within_s`."""
        deadline_s = self._clock.monotonic() + within_s
        while (left_s := deadline_s - self._clock.monotonic()) > 0:
            self._changed.clear()
            if true():
                return
            try:
                async with asyncio.timeout(left_s if look_every_s is None else min(left_s, look_every_s)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _noting(self, changed: Callable[[T | None, T | None], None]) -> Callable[[T | None, T | None], None]:
        def note(before: T | None, after: T | None) -> None:
            changed(before, after)
            self._changed.set()

        return note

    async def _watch_pods(self) -> None:
        """The Deployment names its pods by a selector: that has to be known first, and may change."""
        while True:
            while (deployment := self.deployment) is None:
                await self._clock.sleep(_SOON_S)
            selector = deployment.selector
            self._pods = self._pod_reflector(selector)
            task = asyncio.create_task(self._pods.run())
            try:
                while (deployment := self.deployment) is None or deployment.selector == selector:
                    await self._clock.sleep(_LATER_S)
            finally:
                await cancel_and_wait([task])

    def _pod_reflector(self, selector: str) -> Reflector[Pod]:
        namespace = self._settings.namespace
        return Reflector(
            self._cluster,
            f"pods of {namespace}",
            lambda client: partial(
                CoreV1Api(client).list_namespaced_pod_without_preload_content, namespace, label_selector=selector
            ),
            read_pod,
            self._clock,
            changed=self._pod_changed,
        )
