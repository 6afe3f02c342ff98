"""Workers as pods of one Deployment, behind `Fleet`.

What is there comes from watches; a watch that was not confirmed lately makes it unknown. What is written comes back
through the watches too: nothing but the last number of replicas is remembered, so a controller that takes over knows
as much as the one before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import aiohttp

from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.adapters.kubernetes import deployment_view
from voicefleet.controller.adapters.kubernetes.client import Cluster
from voicefleet.controller.adapters.kubernetes.deployment import Deployment, pulling, refused_creation
from voicefleet.controller.adapters.kubernetes.deployment_view import DeploymentView
from voicefleet.controller.adapters.kubernetes.deployment_watch import DeploymentWatch
from voicefleet.controller.adapters.kubernetes.pod_startups import PodStartups
from voicefleet.controller.adapters.kubernetes.pods import Pod
from voicefleet.controller.adapters.kubernetes.scale_client import ScaleClient
from voicefleet.controller.adapters.kubernetes.scale_plan import next_scale_plan
from voicefleet.controller.leader.leadership import Leadership
from voicefleet.controller.ports import Instance, InstanceExit
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import Clock
from voicefleet.runtime.logs.setup import get_logger

RESPONDS_WITHIN_S = 2.0
_SEEN_WITHIN_S = 1.0
_LOOK_EVERY_S = 0.1

log = get_logger(__name__)


class KubeFleet:
    """The pods of one region's Deployment. `open` begins to watch.

    Args:
        owner: ours, as the annotation of the Deployment must name it.
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
    ) -> None:
        self._region = region
        self._settings = settings
        self._clock = clock
        self._exits: list[InstanceExit] = []
        self._written: tuple[int, int] | None = None
        """Replicas, and the version that writing them made: until the watch shows it."""
        self._missing_s: float | None = None
        self._waits_for = ""
        self._startups = PodStartups()
        self._cluster = cluster
        self._scale_client = ScaleClient(region, settings, cluster, leadership)
        self._watch = DeploymentWatch(
            settings,
            cluster,
            clock,
            owner=owner,
            deployment_changed=self._deployment_changed,
            pod_changed=self._pod_changed,
        )

    def open(self) -> None:
        """Begin to watch."""
        self._watch.open()

    async def known(self, within_s: float) -> None:
        """Wait until the state is known; not longer than `within_s`."""

        def is_known() -> bool:
            try:
                self._view()
            except UnknownStateError:
                return False
            return True

        await self._watch.until(is_known, within_s, look_every_s=_LOOK_EVERY_S)

    async def instances(self) -> tuple[Instance, ...]:
        view, name = self._view(), self._settings.deployment
        events = self._watch.events
        return deployment_view.instances(
            view, name, pulling(events), refused_creation(events, view.now_s), self._startups.of
        )

    async def scale(self, start: int, victims: Sequence[str]) -> None:
        await self._write(start, victims)

    def rolling(self) -> bool:
        try:
            deployment, pods = self._watch.confirmed()
        except UnknownStateError:
            return False
        # One that Kubernetes has given up does not hold up the scaling for ever.
        return _rolling(deployment, pods) and not deployment.stalled

    def exits(self) -> tuple[InstanceExit, ...]:
        gone, self._exits = tuple(self._exits), []
        return gone

    async def responds(self, worker: str, port: int) -> bool | None:
        """False only for a worker that takes the connection and says nothing: else it may be the network's fault, or
        a NetworkPolicy's, or the container starts again."""
        pod = next((pod for pod in self._watch.pods if pod.name == worker), None)
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

    def registered(self, workers: Collection[str]) -> None:
        """Kubernetes learns it from the pods' own readiness."""

    def try_again(self) -> None:
        """It is the kubelet that holds containers back, and it is told nothing."""

    def trouble(self) -> str:
        try:
            view = self._view()
        except UnknownStateError:
            return ""  # said by whoever asks for the instances
        events = self._watch.events
        refusal = refused_creation(events, view.now_s)
        said = deployment_view.trouble(deployment_view.instances(view, self._settings.deployment, (), refusal))
        failure = self._watch.events_failure
        unread = f"the reasons are not known: {failure}" if failure else ""
        return "; ".join(text for text in (said, unread) if text)

    def access_ends_s(self) -> float | None:
        life = self._cluster.token_life
        return None if life is None else life.overdue_s(self._watch.server_s())

    async def close(self) -> None:
        """The pods go on; calls do not depend on us."""
        await self._watch.close()

    def _deployment_changed(self, before: Deployment | None, after: Deployment | None) -> None:
        if after is not None and self._written is not None and after.version >= self._written[1]:
            self._written = None

    def _pod_changed(self, before: Pod | None, after: Pod | None) -> None:
        if after is not None:
            self._startups.seen(after, self._clock.monotonic(), self._watch.server_s())
        elif before is not None:
            self._startups.gone(before)
        if before is not None and not before.finished and (after is None or after.finished):
            sure = before.ended or (after is not None and after.ended)
            self._exits.append(InstanceExit(before.name, before.terminating, _exit_detail(before, after), sure))

    def _view(self) -> DeploymentView:
        deployment, pods = self._watch.confirmed()
        replicas = deployment.replicas if self._written is None else self._written[0]
        now_s = self._watch.server_s()
        found = DeploymentView(replicas, pods, _rolling(deployment, pods), now_s)
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
            await self._watch.until(
                lambda: not next_scale_plan(self._view(), start, victims, hurry=hurry).mark, _SEEN_WITHIN_S
            )
            view = self._view()
            plan = next_scale_plan(view, start, victims, hurry=hurry)
        if plan.waits_for and plan.waits_for != self._waits_for:  # asked again at every look
            log.info("victims wait", region=self._region, victims=list(victims), why=plan.waits_for)
        self._waits_for = plan.waits_for
        if plan.replicas is not None and plan.replicas != view.replicas:
            began_s = self._clock.monotonic()
            version = await self._scale_client.scale(view.replicas, plan.replicas)
            self._startups.asked(plan.replicas - view.replicas, began_s)
            deployment = self._watch.deployment
            if deployment is not None and deployment.version < version:
                self._written = (plan.replicas, version)


def _rolling(deployment: Deployment, pods: Sequence[Pod]) -> bool:
    return deployment_view.rolling(pods, total=deployment.total, updated=deployment.updated)


def _exit_detail(before: Pod, after: Pod | None) -> str:
    if after is not None:
        return after.detail
    return "terminated" if before.terminating else "deleted without a grace period"
