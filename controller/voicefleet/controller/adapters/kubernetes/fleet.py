"""Workers as pods of one Deployment, behind `Fleet`.

What is there comes from watches; a watch that was not confirmed lately makes it unknown. What is written comes back
through the watches too: nothing but the last number of replicas is remembered, so a controller that takes over knows
as much as the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import aiohttp
from kubernetes.aio.client import AppsV1Api, CoreV1Api

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes import deployment_view
from voicefleet.controller.adapters.kubernetes.client import Cluster
from voicefleet.controller.adapters.kubernetes.deployment import (
    KubeEvent,
    Pool,
    ownership,
    pulling,
    read_event,
    read_pool,
    refused_creation,
)
from voicefleet.controller.adapters.kubernetes.deployment_view import DeploymentView
from voicefleet.controller.adapters.kubernetes.pod_startups import PodStartups
from voicefleet.controller.adapters.kubernetes.pods import Pod, read_pod
from voicefleet.controller.adapters.kubernetes.reflector import Reflector
from voicefleet.controller.adapters.kubernetes.scale_client import ScaleClient
from voicefleet.controller.adapters.kubernetes.scale_plan import next_scale_plan
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.ports import Instance, InstanceExit
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger
from voicefleet.runtime.tasks import cancel_and_wait

STALE_S = 10.0
RESPONDS_WITHIN_S = 2.0
_SEEN_WITHIN_S = 1.0
_SOON_S, _LATER_S = 0.05, 0.5
_EVENTS_WINDOW_S = 60

log = get_logger(__name__)


class KubeFleet:
    """The pods of one region's Deployment. `open` begins to watch.

    Args:
        owner: ours, as the annotation of the Deployment must name it.
        changed: told that something about the pods changed.
    """

    def __init__(
        self,
        region: str,
        settings: KubernetesSettings,
        cluster: Cluster,
        clock: Clock,
        leadership: Leadership,
        *,
        owner: str | None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._region = region
        self._settings = settings
        self._cluster = cluster
        self._clock = clock
        self._owner = owner
        self._changed = changed
        self._exits: list[InstanceExit] = []
        self._written: tuple[int, int] | None = None
        self._missing_s: float | None = None
        self._waits_for = ""
        self._startups = PodStartups()
        self._scale_client = ScaleClient(region, settings, cluster, leadership)
        self._seen = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        namespace, name = settings.namespace, settings.deployment
        self._pools: Reflector[Pool] = Reflector(
            cluster,
            f"Deployment {name} of {namespace}",
            lambda client: partial(
                AppsV1Api(client).list_namespaced_deployment_without_preload_content,
                namespace,
                field_selector=f"metadata.name={name}",
            ),
            read_pool,
            clock,
            changed=self._pool_changed,
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
        for cache in (self._pools, self._events):
            self._tasks.append(asyncio.create_task(cache.run()))
        self._tasks.append(asyncio.create_task(self._watch_pods()))

    async def known(self, within_s: float) -> None:
        """Wait until the state is known; not longer than `within_s`."""
        deadline_s = self._clock.monotonic() + within_s
        while (left_s := deadline_s - self._clock.monotonic()) > 0:
            self._seen.clear()
            try:
                self._view()
                return
            except UnknownStateError:
                await self._until_seen(min(left_s, 0.1))

    async def instances(self) -> tuple[Instance, ...]:
        view, name = self._view(), self._settings.deployment
        events = self._events.items.values()
        return deployment_view.instances(
            view, name, pulling(events), refused_creation(events, view.now_s), self._startups.of
        )

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        await self._write(start, victims)

    def rolling(self) -> bool:
        try:
            pool, pods = self._known()
        except UnknownStateError:
            return False
        # One that Kubernetes has given up does not hold up the scaling for ever.
        return _rolling(pool, pods) and not pool.stalled

    def exits(self) -> tuple[InstanceExit, ...]:
        gone, self._exits = tuple(self._exits), []
        return gone

    async def responds(self, worker: str, port: int) -> bool | None:
        """False only for a worker that takes the connection and says nothing: else it may be the network's fault, or
        a NetworkPolicy's, or the container starts again."""
        pod = next((pod for pod in self._pods.items.values() if pod.name == worker), None) if self._pods else None
        if pod is None or not pod.ip or not port:
            return None
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        limit = aiohttp.ClientTimeout(sock_connect=RESPONDS_WITHIN_S, sock_read=RESPONDS_WITHIN_S)
        try:
            async with aiohttp.request("GET", f"http://{host}:{port}/livez", timeout=limit):
                return True
        except aiohttp.SocketTimeoutError:
            return False
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def kill(self, worker: str) -> None:
        """It is told to end, and Kubernetes kills it when its grace period is over: nothing here may do so at once."""
        await self._write(0, [worker], hurry=True)
        view = self._view()
        if any(pod.name == worker and worker not in view.going for pod in view.active):
            raise UnknownStateError(f"{worker} is not told to end yet")

    def trouble(self) -> str:
        try:
            view = self._view()
        except UnknownStateError:
            return ""  # said by whoever asks for the instances
        events = self._events.items.values()
        refusal = refused_creation(events, view.now_s)
        said = deployment_view.trouble(deployment_view.instances(view, self._settings.deployment, (), refusal))
        unread = f"no reasons can be told: {self._events.failure}" if self._events.failure else ""
        return "; ".join(text for text in (said, unread) if text)

    async def close(self) -> None:
        """The pods go on; calls do not depend on us."""
        await cancel_and_wait(self._tasks)
        self._tasks.clear()

    async def _watch_pods(self) -> None:
        """The Deployment names its pods by a selector: that has to be known first, and may change."""
        while True:
            while (pool := self._pool()) is None:
                await self._clock.sleep(_SOON_S)
            self._pods = self._pod_reflector(pool.selector)
            task = asyncio.create_task(self._pods.run())
            try:
                selector = pool.selector
                while (pool := self._pool()) is None or pool.selector == selector:
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

    def _pool(self) -> Pool | None:
        return next(iter(self._pools.items.values()), None)

    def _pool_changed(self, before: Pool | None, after: Pool | None) -> None:
        if after is not None and self._written is not None and after.version >= self._written[1]:
            self._written = None
        self._note()

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        if after is not None:
            self._startups.seen(after, self._clock.monotonic(), self._pools.server_s())
        elif before is not None:
            self._startups.gone(before)
        if before is not None and not before.finished and (after is None or after.finished):
            sure = before.ended or (after is not None and after.ended)
            self._exits.append(InstanceExit(before.name, before.terminating, _exit_detail(before, after), sure))
        self._note()

    def _note(self) -> None:
        self._seen.set()
        self._changed()

    def _known(self) -> tuple[Pool, tuple[Pod, ...]]:
        """What the caches hold, if they were confirmed lately. Raises `UnknownStateError`."""
        self._pools.confirmed(STALE_S)
        if (pool := self._pool()) is None:
            where = f"Deployment {self._settings.deployment} in namespace {self._settings.namespace}"
            raise UnknownStateError(f"there is no {where}. Create it, or correct the region's kubernetes fields")
        if refused := ownership(pool, self._owner):
            raise UnknownStateError(refused)
        if self._pods is None:
            raise UnknownStateError("pods not read yet")
        self._pods.confirmed(STALE_S)
        return pool, tuple(self._pods.items.values())

    def _view(self) -> DeploymentView:
        pool, pods = self._known()
        replicas = pool.replicas if self._written is None else self._written[0]
        now_s = self._pools.server_s()
        found = DeploymentView(replicas, pods, _rolling(pool, pods), now_s)
        if not found.missing:
            self._missing_s = None
            return found
        self._missing_s = now_s if self._missing_s is None else self._missing_s
        return DeploymentView(replicas, pods, found.rolling, now_s, self._missing_s)

    async def _write(self, start: int, victims: Sequence[str], *, hurry: bool = False) -> None:
        view = self._view()
        plan = next_scale_plan(view, start, victims, hurry=hurry)
        if plan.unmark or plan.mark:
            uids = {pod.name: pod.uid for pod in view.active}
            await self._scale_client.mark(uids, plan)
            await self._until(lambda: not next_scale_plan(self._view(), start, victims, hurry=hurry).mark)
            view = self._view()
            plan = next_scale_plan(view, start, victims, hurry=hurry)
        if plan.waits_for and plan.waits_for != self._waits_for:  # asked again at every look
            log.info("victims wait", region=self._region, victims=list(victims), why=plan.waits_for)
        self._waits_for = plan.waits_for
        if plan.replicas is not None and plan.replicas != view.replicas:
            began_s = self._clock.monotonic()
            version = await self._scale_client.scale(view.replicas, plan.replicas)
            self._startups.asked(plan.replicas - view.replicas, began_s)
            pool = self._pool()
            if pool is not None and pool.version < version:
                self._written = (plan.replicas, version)  # until the watch shows it

    async def _until(self, true: Callable[[], bool]) -> None:
        """Wait a moment for the watch to show something."""
        deadline_s = self._clock.monotonic() + _SEEN_WITHIN_S
        while (left_s := deadline_s - self._clock.monotonic()) > 0 and not true():
            self._seen.clear()
            await self._until_seen(left_s)

    async def _until_seen(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._seen.wait()
        except TimeoutError:
            pass


def _rolling(pool: Pool, pods: Sequence[Pod]) -> bool:
    return deployment_view.rolling(pods, total=pool.total, updated=pool.updated)


def _exit_detail(before: Pod, after: Pod | None) -> str:
    if after is not None:
        return after.detail
    return "terminated" if before.terminating else "deleted without a grace period"
