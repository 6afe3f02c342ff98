"""The pods of a Deployment behind `Fleet`, against a real API server with its controllers, with the chart's rights."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import pytest

from cluster.control_plane import ControlPlane
from cluster.kube import Plane
from cluster.kube_pools import DEPLOYMENT, KubePool, kube_pool
from voicefleet.contract.errors import UnknownStateError
from voicefleet.controller.ports import Instance, InstanceState

pytestmark = pytest.mark.cluster


def states(found: tuple[Instance, ...]) -> list[str]:
    return sorted(i.state.value for i in found)


async def test_more_pods_and_then_the_victim_goes(plane: Plane) -> None:
    async with kube_pool(plane, 1) as pool:
        await pool.fleet.scale(2, ())
        # Seen at once, before the watch can have shown any of it.
        assert len(await pool.fleet.instances()) == 3
        names = await pool.until_running(3)
        victim = names[1]
        pool.node.ends = False
        await pool.fleet.scale(0, [victim])
        assert (await pool.states())[victim] is InstanceState.STOPPING
        await pool.until("it was told to end", lambda found: terminating(pool) == [victim])
        assert pool.replicas() == 2
        # In Terminating it is there: a load. Asked again, nothing more is written.
        await pool.fleet.scale(0, [victim])
        assert (pool.replicas(), len(await pool.fleet.instances())) == (2, 3)
        pool.node.ends = True
        await pool.until_running(2)
        (departure,) = pool.fleet.exits()
        assert (departure.id, departure.asked, departure.sure) == (victim, True, True)


def terminating(pool: KubePool) -> list[str]:
    pods = pool.plane.items("pods", "-n", pool.namespace)
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" in pod["metadata"]]


def costs(pool: KubePool) -> dict[str, str]:
    pods = pool.plane.items("pods", "-n", pool.namespace)
    key = "controller.kubernetes.io/pod-deletion-cost"
    return {p["metadata"]["name"]: p["metadata"].get("annotations", {}).get(key, "") for p in pods}


async def test_another_pod_died_than_the_victim(control_plane: ControlPlane) -> None:
    """Kubernetes ends a pod that is not ready before the one with the lowest cost."""
    async with kube_pool(control_plane, 3) as pool:
        victim, other, _ = await pool.until_running(3)
        pool.node.ends = False
        # The pod falls ill in the moment between the write and what Kubernetes makes of it.
        manager = control_plane.daemons.child("kube-controller-manager")
        manager.send_signal(signal.SIGSTOP)
        try:
            await pool.fleet.scale(0, [victim])
            assert (await pool.states())[victim] is InstanceState.STOPPING
            await pool.node.ready(other, False)
        finally:
            manager.send_signal(signal.SIGCONT)
        await pool.until("the other one goes", lambda found: terminating(pool) == [other])
        # The victim is one that serves, as far as the fleet is concerned, and keeps no mark.
        await pool.until("it serves", lambda found: {i.id: i.state for i in found}[victim] is InstanceState.RUNNING)
        await pool.fleet.scale(0, ())
        assert costs(pool)[victim] == ""
        assert pool.replicas() == 2


async def test_a_victim_waits_while_another_would_be_taken(plane: Plane) -> None:
    async with kube_pool(plane, 2) as pool:
        victim, other = await pool.until_running(2)
        await pool.node.ready(other, False)
        await asyncio.sleep(0.3)
        await pool.fleet.scale(0, [victim])
        assert (pool.replicas(), costs(pool)[victim]) == (2, str(-(2**31)))
        await pool.node.ready(other)
        await asyncio.sleep(0.3)
        await pool.fleet.scale(0, [victim])
        assert pool.replicas() == 1
        assert await pool.until_running(1) == [other]


async def test_a_pod_that_no_node_has_room_for(plane: Plane) -> None:
    async with kube_pool(plane, 1, cpu="40") as pool:
        await pool.fleet.scale(1, ())
        found = await pool.until("unschedulable", lambda found: states(found) == ["running", "unschedulable"])
        detail = next(i.detail for i in found if i.state is InstanceState.UNSCHEDULABLE)
        assert "Insufficient cpu" in detail
        assert pool.fleet.trouble() == f"1 worker unschedulable: {detail}"


async def test_a_quota_that_is_used_up(plane: Plane) -> None:
    async with kube_pool(plane, 1) as pool:
        quota = {"metadata": {"name": "few", "namespace": pool.namespace}, "spec": {"hard": {"pods": "2"}}}
        plane.apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
        await asyncio.sleep(0.5)
        await pool.fleet.scale(3, ())
        await pool.until("said", lambda found: "exceeded quota" in pool.fleet.trouble())
        found = await pool.until(
            "one came", lambda found: states(found) == ["pending", "pending", "running", "running"]
        )
        assert all("exceeded quota: few" in i.detail for i in found if i.state is InstanceState.PENDING)
        assert pool.fleet.trouble().startswith("2 workers pending: ")
        # The number stands, and Kubernetes tries again: mended, the pods come without another write.
        version = plane.get("deployment", DEPLOYMENT, "-n", pool.namespace)["metadata"]["generation"]
        plane.kubectl("delete", "quota", "few", "-n", pool.namespace)
        await pool.until_running(4)
        assert pool.fleet.trouble() == ""
        assert plane.get("deployment", DEPLOYMENT, "-n", pool.namespace)["metadata"]["generation"] == version


async def test_states_on_the_way_up(plane: Plane) -> None:
    async with kube_pool(plane, 1) as pool:
        (old,) = await pool.until_running(1)
        pool.node.starts = False
        await pool.fleet.scale(1, ())
        await pool.until("a pod", lambda found: len(found) == 2 and not any("missing" in i.id for i in found))
        new = next(name for name in await pool.states() if name != old)

        async def becomes(state: InstanceState) -> Instance:
            found = await pool.until(state, lambda found: {i.id: i.state for i in found}[new] is state)
            return next(i for i in found if i.id == new)

        await pool.node.waiting(new, "ContainerCreating")
        await becomes(InstanceState.STARTING)
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{new}.1", "namespace": pool.namespace},
            "involvedObject": {"kind": "Pod", "name": new, "namespace": pool.namespace},
            "reason": "Pulling",
            "message": 'Pulling image "localhost/none"',
            "type": "Normal",
        }
        plane.kubectl("create", "-f", "-", stdin=json.dumps(event))
        await becomes(InstanceState.PULLING)
        await pool.node.waiting(new, "ImagePullBackOff", "no such image")
        assert (await becomes(InstanceState.PULLING)).detail in ("", "ImagePullBackOff: no such image")
        await pool.until("why", lambda found: "no such image" in pool.fleet.trouble())
        ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
        await pool.node.waiting(new, "CrashLoopBackOff", "back-off", restartCount=4, lastState=ended)
        assert "4 restarts, last exit code 3 (Error)" in (await becomes(InstanceState.CRASH_LOOPING)).detail
        assert "1 worker crash looping: 4 restarts" in pool.fleet.trouble()
        await pool.node.ready(new)
        await becomes(InstanceState.RUNNING)
        assert pool.fleet.trouble() == ""


async def test_a_rollout_adds_nothing(plane: Plane) -> None:
    """The surge of a rollout is more than was asked for, and must not become what is asked for (kubernetes#72775)."""
    async with kube_pool(plane, 3) as pool:
        await pool.until_running(3)
        assert not pool.fleet.rolling()
        pool.node.starts = False
        patch = json.dumps({"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})
        plane.kubectl("patch", "deployment", DEPLOYMENT, "-n", pool.namespace, "-p", patch)
        await pool.until("a surge", lambda found: len(found) == 4)
        assert pool.fleet.rolling()
        await pool.fleet.scale(0, ())
        assert pool.replicas() == 3
        await pool.fleet.scale(1, ())
        assert pool.replicas() == 4
        pool.node.starts = True
        await pool.until("the new ones alone", lambda found: not pool.fleet.rolling() and len(found) == 4)
        await pool.until_running(4)
        assert pool.replicas() == 4


async def test_somebody_else_scales(plane: Plane) -> None:
    async with kube_pool(plane, 1) as pool:
        plane.kubectl("scale", "deployment", DEPLOYMENT, "-n", pool.namespace, "--replicas=3")
        with pytest.raises(UnknownStateError, match="somebody set 3 instead of 1 meanwhile"):
            await _scale_on_old_news(pool)
        assert pool.replicas() == 3
        await pool.until_running(3)
        await pool.fleet.scale(1, ())
        assert pool.replicas() == 4


async def _scale_on_old_news(pool: KubePool) -> None:
    """As if the watch had not shown the change yet."""
    await pool.fleet._scale_client.scale(1, 2)


async def test_whether_a_worker_answers(plane: Plane) -> None:
    async with kube_pool(plane, 1) as pool:
        (name,) = await pool.until_running(1)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await pool.fleet.responds(name, port) is True
        server.close()
        await server.wait_closed()
        assert await pool.fleet.responds(name, port) is None, "nobody listens: it may be starting again"
        # What hangs still has its connections taken, by the kernel.
        with socket.create_server(("127.0.0.1", 0)) as hung:
            assert await pool.fleet.responds(name, hung.getsockname()[1]) is False
        assert await pool.fleet.responds("gone", port) is None


async def test_a_hung_worker_goes_whatever_the_others_do(plane: Plane) -> None:
    async with kube_pool(plane, 2) as pool:
        hung, other = await pool.until_running(2)
        await pool.node.ready(hung, False)
        await asyncio.sleep(0.3)
        await pool.fleet.kill(hung)
        assert await pool.until_running(1) == [other]
        assert pool.replicas() == 1
