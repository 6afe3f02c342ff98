"""A whole controller on a real API server: what it scales, what it leaves alone, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from livekit import api, rtc

from cluster.control_plane import ControlPlane
from cluster.control_plane import control_plane as run_control_plane
from cluster.kube import Plane
from cluster.kube_pools import DEPLOYMENT, OWNER, controller_account, deployment, new_namespace, pods_of, rights
from cluster.played_node import PlayedNode, played_node
from support.controlling import KEYS, Running, controller
from support.eventually import eventually
from voicefleet.contract import codec
from voicefleet.contract.reports import WorkerOrder
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.stack import servers

pytestmark = pytest.mark.cluster


@contextlib.asynccontextmanager
async def backends() -> AsyncIterator[tuple[servers.LiveKit, str]]:
    async with servers.livekit_server("test") as livekit, servers.redis_server() as redis:
        yield livekit, redis.url


class Workers:
    """Reports of the pods that run, as their workers would send them; orders are obeyed."""

    def __init__(self, running: Running, node: PlayedNode) -> None:
        self._running = running
        self._node = node
        self.live: dict[str, int] = {}
        self.names: list[str] | None = None
        """Who reports while no API server tells which pods run."""

    async def play(self) -> None:
        """Report until cancelled."""
        while True:
            for name, leaves in (await self._those_that_run()).items():
                order = await self.order(name)
                await self._running.report(
                    name,
                    live=self.live.get(name, 0),
                    state="draining" if leaves or (order and order.cordon) else "ready",
                    order_seen=order.serial if order else 0,
                    startup_s=1.0,
                )
            await asyncio.sleep(0.2)

    async def _those_that_run(self) -> dict[str, bool]:
        """Name -> whether it was told to end."""
        if self.names is not None:
            return dict.fromkeys(self.names, False)
        try:
            pods = await self._node.pods()
        except aiohttp.ClientError:
            return {}
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        return {pod["metadata"]["name"]: "deletionTimestamp" in pod["metadata"] for pod in running}

    async def order(self, worker: str) -> WorkerOrder | None:
        text = await self._running.redis.get(KEYS.order(worker))
        return codec.load(WorkerOrder, text) if text else None


@contextlib.asynccontextmanager
async def playing(running: Running, node: PlayedNode) -> AsyncIterator[Workers]:
    workers = Workers(running, node)
    task = asyncio.create_task(workers.play())
    try:
        yield workers
    finally:
        await cancel_and_wait([task])


async def view(running: Running, name: str = "eu") -> dict[str, Any]:
    regions = (await running.get("/v1/regions"))["regions"]
    found: dict[str, Any] = next(r for r in regions if r["region"] == name)
    return found


async def kubectl(plane: Plane, *arguments: str) -> str:
    return await asyncio.to_thread(plane.kubectl, *arguments)


@dataclass
class Stage:
    """One region of pods, its controller, and its workers."""

    plane: Plane
    namespace: str
    node: PlayedNode
    running: Running
    workers: Workers
    livekit: servers.LiveKit

    async def view(self) -> dict[str, Any]:
        return await view(self.running)

    async def replicas(self) -> int:
        path = "jsonpath={.spec.replicas}"
        return int(await kubectl(self.plane, "get", "deployment", DEPLOYMENT, "-n", self.namespace, "-o", path))

    async def ready(self, count: int) -> bool:
        """So many are ready, and no other comes or goes."""
        seen = await self.view()
        return bool(seen["ready"] == count == len(seen["workers"]))

    async def cordoned(self, worker: str) -> bool:
        order = await self.workers.order(worker)
        return bool(order and order.cordon)


@contextlib.asynccontextmanager
async def stage(plane: Plane, tmp_path: Path, pods: int = 1, **pool: Any) -> AsyncIterator[Stage]:
    """A region with `pods` ready workers."""
    namespace = new_namespace(plane)
    kubeconfig = controller_account(plane, namespace).kubeconfig
    plane.apply(deployment(namespace, replicas=pods))
    async with backends() as (livekit, redis_url), played_node(plane, namespace) as node:
        eu = pods_of(namespace, kubeconfig, livekit, pool={"min_workers": pods, **pool})
        async with (
            controller(tmp_path, livekit, redis_url, owner=OWNER, regions={"eu": eu}) as running,
            playing(running, node) as workers,
        ):
            found = Stage(plane, namespace, node, running, workers, livekit)
            await eventually(lambda: found.ready(pods), 40.0)
            yield found
    plane.kubectl("delete", "deployment", DEPLOYMENT, "-n", namespace, "--wait=false")


@contextlib.asynccontextmanager
async def calling(livekit: servers.LiveKit, rooms: list[str]) -> AsyncIterator[None]:
    """Callers who wait in these rooms."""

    async with contextlib.AsyncExitStack() as stack:
        for room in rooms:
            grant = api.VideoGrants(room_join=True, room=room)
            agents = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")])
            token = api.AccessToken(livekit.api_key, livekit.api_secret).with_identity(f"caller-{room}")
            caller = rtc.Room()
            await caller.connect(livekit.url, token.with_grants(grant).with_room_config(agents).to_jwt())
            stack.push_async_callback(caller.disconnect)
        yield


async def test_up_for_callers_and_down_when_they_have_gone(plane: Plane, tmp_path: Path) -> None:
    async with stage(plane, tmp_path) as s:
        (first,) = (await s.view())["workers"]
        assert (first["instance"], first["detail"]) == ("running", "")
        s.workers.live[first["id"]] = 2
        async with calling(s.livekit, ["r1", "r2", "r3"]):
            await eventually(lambda: s.ready(3), 60.0)
            assert await s.replicas() == 3
            assert (
                await s.running.metric('voicefleet_scaler_startup_seconds_count{phase="creation",region="eu"}') == 2.0
            )
            assert await s.running.metric('voicefleet_instances{region="eu",state="running"}') == 3.0
        await eventually(lambda: s.ready(1), 40.0)
        left = (await s.view())["workers"]
        assert [w["id"] for w in left] == [first["id"]], "the one with calls stays"
        assert await s.replicas() == 1


async def test_the_victim_takes_calls_again_when_another_died(control_plane: ControlPlane, tmp_path: Path) -> None:
    async with stage(control_plane, tmp_path) as s:
        (first,) = (await s.view())["workers"]
        s.workers.live[first["id"]] = 2
        async with calling(s.livekit, ["r1", "r2"]):
            await eventually(lambda: s.ready(2), 60.0)
        (second,) = {w["id"] for w in (await s.view())["workers"]} - {first["id"]}
        s.node.ends = False
        manager = control_plane.daemons.child("kube-controller-manager")
        manager.send_signal(signal.SIGSTOP)
        try:
            await eventually(lambda: _is(s.replicas, 1), 40.0)
            assert await s.cordoned(second)
            # Kubernetes has not done it yet, and now another pod would go before the victim.
            await s.node.ready(first["id"], False)
        finally:
            manager.send_signal(signal.SIGCONT)
        # The one with calls is told to end: they need a worker to move to.
        await eventually(lambda: _not(s.cordoned, second), 40.0)
        await eventually(lambda: _is_ready(s, second), 40.0)
        assert await s.replicas() == 1


async def _is(read: Callable[[], Awaitable[Any]], value: Any) -> bool:
    return bool(await read() == value)


async def _not(read: Callable[[str], Awaitable[bool]], argument: str) -> bool:
    return not await read(argument)


async def _is_ready(s: Stage, worker: str) -> bool:
    return any(w["id"] == worker and w["state"] == "ready" for w in (await s.view())["workers"])


async def test_no_room_and_no_quota_are_said(plane: Plane, tmp_path: Path) -> None:
    async with stage(plane, tmp_path) as s:
        (first,) = (await s.view())["workers"]
        quota = {"metadata": {"name": "few", "namespace": s.namespace}, "spec": {"hard": {"pods": "1"}}}
        await asyncio.to_thread(plane.apply, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
        s.workers.live[first["id"]] = 2
        async with calling(s.livekit, ["r1"]):
            await eventually(lambda: _says(s, "1 worker pending: ", "exceeded quota: few"), 60.0)
            await eventually(lambda: _counts(s, "pending", 1.0))
            seen = await s.view()
            (waiting,) = [w for w in seen["workers"] if w["id"] != first["id"]]
            assert (waiting["instance"], waiting["state"]) == ("pending", "starting")
            assert "exceeded quota" in waiting["detail"]
            # It is asked for once, however long it takes.
            path = "jsonpath={.metadata.generation}"
            read = ("get", "deployment", DEPLOYMENT, "-n", s.namespace, "-o", path)
            before = await kubectl(plane, *read)
            await asyncio.sleep(3.0)
            assert await kubectl(plane, *read) == before
            await kubectl(plane, "cordon", s.node.name)
            await kubectl(plane, "delete", "quota", "few", "-n", s.namespace)
            await eventually(lambda: _says(s, "1 worker unschedulable: ", "unschedulable"), 60.0)
            await eventually(lambda: _counts(s, "unschedulable", 1.0))
            await kubectl(plane, "uncordon", s.node.name)
            await eventually(lambda: s.ready(2), 60.0)
            left = {finding["id"] for finding in (await s.view())["findings"]}
            assert not left & {"quota", "unschedulable"}, "what remains are callers whom these workers do not serve"


async def _counts(s: Stage, state: str, count: float) -> bool:
    return await s.running.metric(f'voicefleet_instances{{region="eu",state="{state}"}}') == count


async def _says(s: Stage, *texts: str) -> bool:
    reason = (await s.view())["reason"]
    return all(text in reason for text in texts)


async def test_regions_that_cannot_be_used_are_unknown_until_they_are_mended(plane: Plane, tmp_path: Path) -> None:
    names = ("good", "nofile", "nodeploy", "forbidden", "foreign")
    spaces = {name: new_namespace(plane) for name in names}
    users = {n: controller_account(plane, spaces[n]).kubeconfig for n in names if n != "forbidden"}
    nobody = plane.account(f"nobody-{spaces['forbidden']}")
    users["forbidden"] = nobody.kubeconfig
    late = tmp_path / "later.kubeconfig"
    users["nofile"], mended = late, users["nofile"]
    for name in names:
        if name != "nodeploy":
            owner = "other/release" if name == "foreign" else OWNER
            plane.apply(deployment(spaces[name], owner=owner, replicas=2))
    async with backends() as (livekit, redis_url):
        regions = {name: pods_of(spaces[name], users[name], livekit, pool={"min_workers": 3}) for name in names}
        regions["good"]["kubernetes"]["context"] = plane.name
        async with controller(tmp_path, livekit, redis_url, owner=OWNER, regions=regions) as c:

            async def says(name: str, *texts: str) -> bool:
                seen = await view(c, name)
                return bool(seen["status"] == "unknown" and all(text in seen["reason"] for text in texts))

            async def known(name: str) -> bool:
                seen = await view(c, name)
                # Its pods report nothing here: they are not ready, and that is known.
                return bool(seen["status"] != "unknown" and seen["starting"] is not None)

            await eventually(lambda: known("good"), 40.0)
            await eventually(lambda: says("nofile", "later.kubeconfig", "no such file", "no restart is needed"))
            await eventually(lambda: says("nodeploy", "there is no Deployment voice-worker", "Create it"), 20.0)
            await eventually(lambda: says("forbidden", "403", "Role of the chart"))
            await eventually(lambda: says("foreign", "belongs to the controller of other/release", "Give the region"))
            # The good one has too few, and is scaled. The others are left as they are.
            await eventually(lambda: _replicas_are(plane, spaces["good"], 3), 40.0)
            for name in ("nofile", "forbidden", "foreign"):
                assert await _replicas_are(plane, spaces[name], 2), name
            late.write_text(mended.read_text())
            await asyncio.to_thread(plane.apply, deployment(spaces["nodeploy"], replicas=1))
            await asyncio.to_thread(plane.apply, *rights(spaces["forbidden"], nobody.user))
            note = f"voicefleet.dev/controller={OWNER}"
            await kubectl(plane, "annotate", "--overwrite", "deployment", DEPLOYMENT, "-n", spaces["foreign"], note)
            for name in names:
                await eventually(lambda name=name: known(name), 40.0)  # type: ignore[misc]
                await eventually(lambda name=name: _replicas_are(plane, spaces[name], 3), 40.0)  # type: ignore[misc]


async def _replicas_are(plane: Plane, namespace: str, count: int) -> bool:
    path = "jsonpath={.spec.replicas}"
    return int(await kubectl(plane, "get", "deployment", DEPLOYMENT, "-n", namespace, "-o", path)) == count


async def test_with_the_api_server_away_calls_go_on_and_nothing_is_scaled(tmp_path: Path) -> None:
    with run_control_plane("lost") as plane:
        async with stage(plane, tmp_path, min_workers=1) as s:
            (first,) = (await s.view())["workers"]
            await asyncio.to_thread(plane.stop_api_server)
            await eventually(lambda: _unknown(s), 40.0)
            reason = (await s.view())["reason"]
            assert "not confirmed for" in reason
            # A ticket is given, and a caller who waits is served, with nobody to ask about pods.
            await s.running.ticket()
            s.workers.names = [first["id"]]
            async with calling(s.livekit, ["r1"]):
                await eventually(lambda: _dispatched(s, "r1"), 5.0)
            await asyncio.to_thread(plane.start_api_server)
            s.workers.names = None
            await eventually(lambda: s.ready(1), 40.0)
            assert await s.replicas() == 1


async def _unknown(s: Stage) -> bool:
    return bool((await s.view())["status"] == "unknown")


async def _dispatched(s: Stage, room: str) -> bool:
    return bool(await s.running.dispatches(room))


async def test_one_controller_and_the_clusters_of_two_regions(plane: Plane, tmp_path: Path) -> None:
    """Two contexts of one kubeconfig. The one cluster's API is lost, and the other region is scaled all the same."""
    with run_control_plane("second") as second:
        clusters: dict[str, Plane] = {"eu": plane, "us": second}
        spaces = {name: new_namespace(cluster) for name, cluster in clusters.items()}
        users = {name: controller_account(cluster, spaces[name]).kubeconfig for name, cluster in clusters.items()}
        for name, cluster in clusters.items():
            cluster.apply(deployment(spaces[name], replicas=1))
        both = tmp_path / "both.kubeconfig"
        both.write_text(merged(*users.values()))
        async with backends() as (livekit, redis_url):
            regions = {name: pods_of(spaces[name], both, livekit, pool={"min_workers": 3}) for name in clusters}
            for name, cluster in clusters.items():
                regions[name]["kubernetes"]["context"] = cluster.name
            async with controller(tmp_path, livekit, redis_url, owner=OWNER, regions=regions) as c:

                async def status(name: str, wanted: str) -> bool:
                    return bool((await view(c, name))["status"] == wanted)

                async def known(name: str) -> bool:
                    return not await status(name, "unknown")

                async def scaled(name: str) -> bool:
                    return await _replicas_are(clusters[name], spaces[name], 3)

                for name in clusters:
                    await eventually(lambda name=name: scaled(name), 40.0)  # type: ignore[misc]
                await asyncio.to_thread(second.stop_api_server)
                await eventually(lambda: status("us", "unknown"), 40.0)
                assert not await status("eu", "unknown")
                await kubectl(plane, "scale", "deployment", DEPLOYMENT, "-n", spaces["eu"], "--replicas=1")
                await eventually(lambda: scaled("eu"), 40.0)
                await asyncio.to_thread(second.start_api_server)
                await eventually(lambda: known("us"), 40.0)


def merged(*kubeconfigs: Path) -> str:
    """One kubeconfig with the contexts of several."""
    parts = [yaml.safe_load(path.read_text()) for path in kubeconfigs]
    lists = {kind: [one for part in parts for one in part[kind]] for kind in ("clusters", "users", "contexts")}
    return yaml.safe_dump({**parts[0], **lists})
