"""Many pools at once: a real API server with its controllers, kubelets played by kwok, and the real adapter.

What one controller asks of the API server is counted by the API server itself: a flow of its own for the user whose
rights it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane import control_plane as run_control_plane
from cluster.fake_nodes import fake_kubelets, fake_node
from cluster.kube_pools import DEPLOYMENT, OWNER, deployment, rights
from voicefleet.contract.errors import MissingPartError, UnknownStateError
from voicefleet.controller.adapters.kubernetes.client import Clusters
from voicefleet.controller.adapters.kubernetes.fleet import KubeFleet
from voicefleet.controller.adapters.kubernetes.reflector import WINDOW_S
from voicefleet.controller.leader.leadership import AlwaysLeads
from voicefleet.controller.ports import InstanceState
from voicefleet.controller.settings.kubernetes import KubernetesSettings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.supervisor.settings import environment

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

POOLS, MOST, FEW = 20, 20, 5
USER, FLOW = "controller-of-many", "controller-of-many"
IDLE_S = 12.0
CHANGE_LIMIT_S = 240.0
"""The controller manager makes pods at 20 a second (its client's limit)."""


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of this module's own, with kwok; where they are not installed, skip (in CI: fail)."""
    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(run_control_plane("scale"))
            stack.enter_context(fake_kubelets(started))
        except MissingPartError as error:
            if environment().get("CI"):
                raise
            pytest.skip(f"{error} Or run `make cluster`.")
        yield started


def namespaces() -> list[str]:
    return [f"scale-{number:02}" for number in range(POOLS)]


@contextlib.asynccontextmanager
async def pools(plane: ControlPlane) -> AsyncIterator[list[KubeFleet]]:
    """`POOLS` Deployments of one pod, each in a namespace with a node of its own, and a fleet for each."""
    flow = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": FLOW},
        "spec": {
            "priorityLevelConfiguration": {"name": "workload-high"},
            "matchingPrecedence": 100,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [
                {
                    "subjects": [{"kind": "User", "user": {"name": USER}}],
                    "resourceRules": [
                        {
                            "verbs": ["*"],
                            "apiGroups": ["*"],
                            "resources": ["*"],
                            "namespaces": ["*"],
                            "clusterScope": True,
                        }
                    ],
                }
            ],
        },
    }
    names = namespaces()
    plane.apply(flow, *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
    plane.apply(*(fake_node(f"node-{name}", {"for": name}) for name in names))
    plane.apply(*(manifest for name in names for manifest in rights(name, USER)))
    plane.apply(*(deployment(name, replicas=1) for name in names))
    clusters, clock, leader = Clusters(), SystemClock(), AlwaysLeads("test")
    kubeconfig = plane.user_kubeconfig(USER, USER)
    pools = [KubernetesSettings(namespace=name, deployment=DEPLOYMENT, kubeconfig=kubeconfig) for name in names]
    fleets = [KubeFleet(p.namespace, p, clusters.get(p.cluster), clock, leader, owner=OWNER) for p in pools]
    try:
        for fleet in fleets:
            fleet.open()
        await asyncio.gather(*(fleet.known(30.0) for fleet in fleets))
        yield fleets
    finally:
        await asyncio.gather(*(fleet.close() for fleet in fleets))
        await clusters.close()


async def every_pool_has(fleets: Sequence[KubeFleet], count: int) -> float:
    """Wait until each pool has `count` pods and all run; how long that took."""
    began_s = time.monotonic()
    while True:
        found = [await running(fleet) for fleet in fleets]
        if all(total == ready == count for total, ready in found):
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < CHANGE_LIMIT_S, f"after {CHANGE_LIMIT_S:.0f} s there are {found}"
        await asyncio.sleep(0.2)


async def running(fleet: KubeFleet) -> tuple[int, int]:
    with contextlib.suppress(UnknownStateError):
        found = await fleet.instances()
        return len(found), sum(i.state is InstanceState.RUNNING for i in found)
    return -1, -1


async def grow(fleet: KubeFleet, count: int) -> int:
    """Ask for `count` pods until that stands, as the loop of a pool does: a write that is not answered in time may have
    been made. How often it was asked."""
    for attempt in range(100):
        missing = count - len(await fleet.instances())
        if not missing:
            return attempt
        with contextlib.suppress(UnknownStateError):
            await fleet.scale(missing, ())
        await asyncio.sleep(0.5)
    raise AssertionError("Kubernetes does not take the write")


async def victims_of(fleet: KubeFleet, count: int) -> list[str]:
    return sorted(i.id for i in await fleet.instances())[:count]


def requests(plane: ControlPlane) -> int:
    """How many requests of the controller the API server has begun with."""
    text = plane.kubectl("get", "--raw", "/metrics")
    series = rf'^apiserver_flowcontrol_dispatched_requests_total{{flow_schema="{FLOW}",[^}}]*}} (\S+)$'
    return round(sum(float(value) for value in re.findall(series, text, re.MULTILINE)))


def written(plane: ControlPlane) -> dict[str, tuple[int, str]]:
    """Of each Deployment the number of its specs, and its pods' marks and costs."""
    found = {d["metadata"]["namespace"]: d["metadata"]["generation"] for d in plane.items("deployments", "-A")}
    pods = plane.items("pods", "-A")
    notes = dict.fromkeys(found, "")
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"])):
        notes[pod["metadata"]["namespace"]] += str(sorted(pod["metadata"].get("annotations", {}).items()))
    return {name: (generation, notes[name]) for name, generation in found.items() if name.startswith("scale-")}


async def counted(plane: ControlPlane) -> int:
    return await asyncio.to_thread(requests, plane)


def watches(seconds: float) -> int:
    """At most so many begin within `seconds`: of each pool three, and two of them anew whenever their window ends."""
    return round(POOLS * (3 + 2 * seconds / WINDOW_S))


async def test_many_pools_scale_up_and_down_and_are_not_polled(plane: ControlPlane) -> None:
    async with pools(plane) as fleets:
        await every_pool_has(fleets, 1)

        before, began_s = await counted(plane), time.monotonic()
        assert before >= 3 * POOLS, "the flow does not count the controller's requests"
        asked = sum(await asyncio.gather(*(grow(fleet, MOST) for fleet in fleets)))
        await every_pool_has(fleets, MOST)
        up_s = time.monotonic() - began_s
        up = await counted(plane) - before
        # A read and a write each time, and the watches.
        assert up <= 4 * asked + watches(up_s), f"{up} requests in {up_s:.0f} s"

        # Asked for what is there, again and again, as the loop of each pool does: nothing is written, nothing is read.
        state, before, began_s = await asyncio.to_thread(written, plane), await counted(plane), time.monotonic()
        looks = 0
        while time.monotonic() - began_s < IDLE_S:
            for fleet in fleets:
                assert len(await fleet.instances()) == MOST
                await fleet.scale(0, ())
                looks += 1
            await asyncio.sleep(0.5)
        took_s = time.monotonic() - began_s
        idle = await counted(plane) - before
        assert await asyncio.to_thread(written, plane) == state
        assert idle <= watches(took_s), f"{idle} requests in {took_s:.0f} s"
        assert looks > 1.5 * idle, f"{looks} looks, {idle} requests"

        chosen = [await victims_of(fleet, MOST - FEW) for fleet in fleets]
        kept = [{i.id for i in await f.instances()} - set(v) for f, v in zip(fleets, chosen, strict=True)]
        began_s = time.monotonic()
        down_s = await retired(fleets, chosen)
        for fleet, names in zip(fleets, kept, strict=True):
            assert {i.id for i in await fleet.instances()} == names
            gone = fleet.exits()
            assert len(gone) == MOST - FEW
            assert all(departure.asked for departure in gone)
        replicas = {d["metadata"]["namespace"]: d["spec"]["replicas"] for d in plane.items("deployments", "-A")}
        assert {replicas[name] for name in namespaces()} == {FEW}
        print(
            f"{POOLS} pools: 1 -> {MOST} pods each in {up_s:.1f} s with {up} requests, {idle} requests in "
            f"{took_s:.0f} s at rest ({looks} looks), {MOST} -> {FEW} in {down_s:.1f} s"
        )


async def retired(fleets: Sequence[KubeFleet], chosen: Sequence[Sequence[str]]) -> float:
    """Ask for the ends of the chosen ones until they have ended, as the loop of each pool does; how long that took."""
    began_s = time.monotonic()
    while True:
        left = 0
        for fleet, victims in zip(fleets, chosen, strict=True):
            there = {i.id for i in await fleet.instances()}
            going = [victim for victim in victims if victim in there]
            left += len(going)
            with contextlib.suppress(UnknownStateError):  # asked again at the next look
                await fleet.scale(0, going)
        if not left:
            return time.monotonic() - began_s
        assert time.monotonic() - began_s < CHANGE_LIMIT_S, f"{left} have not ended"
        await asyncio.sleep(0.5)
