"""Two controllers and one Lease: one writes; the other takes over from one that is killed, paused or ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from cluster.kube import Plane
from cluster.kube_pools import DEPLOYMENT, OWNER, controller_account, deployment, new_namespace, pods_of
from cluster.played_node import played_node
from support.controlling import API_KEYS, FRONT
from support.eventually import eventually
from voicefleet.controller.adapters.kubernetes.client import Clusters
from voicefleet.controller.adapters.kubernetes.event_recorder import EventRecorder
from voicefleet.controller.leader.leadership import AlwaysLeads
from voicefleet.controller.settings.kubernetes import LeaseSettings
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.supervisor.children import Child
from voicefleet.stack import servers
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.cluster

FAILOVER_S = 10.0
LEASE = "voice-controller"


@dataclass
class Replica:
    """One controller process."""

    name: str
    child: Child
    log: Path
    url: str
    http: aiohttp.ClientSession

    async def leader(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/v1/regions", headers=FRONT) as answer:
            found: dict[str, Any] = (await answer.json())["leader"]
            return found

    async def leads(self) -> bool:
        return bool((await self.leader())["leads"])

    async def metric(self, series: str) -> float:
        async with self.http.get(f"{self.url}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " "))

    def writes(self, since: int = 0) -> int:
        """How often it wrote replicas, as its log tells from a place on."""
        return self.log.read_text()[since:].count("replicas written")


@dataclass
class Pair:
    """Two replicas of one controller, and the pool that they scale."""

    plane: Plane
    namespace: str
    replicas: list[Replica]

    async def one_leads(self) -> tuple[Replica, Replica]:
        """The leader and the other one, which knows the leader: one that lost the race for a free Lease learns that
        at its next look only."""
        first, second = self.replicas
        found: tuple[Replica, Replica] | None = None

        async def agreed() -> bool:
            nonlocal found
            told = [await r.leader() for r in (first, second)]
            leads = [t["leads"] for t in told]
            found = (first, second) if leads == [True, False] else (second, first)
            return sum(leads) == 1 and {t["holder"] for t in told} == {found[0].name}

        await eventually(agreed, 20.0)
        assert found is not None
        return found

    async def disturb(self) -> None:
        """Set the replicas to what they should not be, again and again, so that there always is something to write."""
        while True:
            scale = ("scale", "deployment", DEPLOYMENT, "-n", self.namespace, "--replicas=1")
            await asyncio.to_thread(self.plane.kubectl, *scale)
            await asyncio.sleep(0.2)


def lease(namespace: str, user: str) -> list[dict[str, Any]]:
    """The Lease as the chart makes it, and the rights to it."""
    group = "rbac.authorization.k8s.io"
    rules = [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [LEASE],
            "verbs": ["get", "update", "patch"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ]
    meta = {"name": "lease", "namespace": namespace}
    role = {"apiGroup": group, "kind": "Role", "name": "lease"}
    return [
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE, "namespace": namespace},
            "spec": {},
        },
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
        },
    ]


@contextlib.contextmanager
def disturbing(pair: Pair) -> Iterator[None]:
    task = asyncio.create_task(pair.disturb())
    try:
        yield
    finally:
        task.cancel()


def settings_file(tmp_path: Path, namespace: str, kubeconfig: Path, livekit: LiveKit) -> Path:
    raw = {
        "redis_url_env": "TEST_REDIS",
        "listen": "127.0.0.1:0",
        "api_keys_env": "TEST_API_KEYS",
        "tick_s": 0.3,
        "owner": OWNER,
        "kubernetes_lease": {"namespace": namespace, "name": LEASE, "kubeconfig": str(kubeconfig)},
        "regions": {"eu": pods_of(namespace, kubeconfig, livekit, pool={"min_workers": 2})},
    }
    path = tmp_path / "controller.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@contextlib.asynccontextmanager
async def replica(
    name: str, settings: Path, livekit: LiveKit, redis_url: str, http: aiohttp.ClientSession
) -> AsyncIterator[Replica]:
    ready, log = settings.with_name(f"{name}.ready"), settings.with_name(f"{name}.log")
    child = Child(
        name,
        [Path(sys.executable).with_name("voicefleet"), "controller", "--config", settings, "--ready-file", ready],
        log_path=log,
        env={
            "TEST_REDIS": redis_url,
            "TEST_SECRET": livekit.api_secret,
            "TEST_API_KEYS": API_KEYS,
            "VOICEFLEET_REPLICA": name,
        },
    )
    try:
        await eventually(lambda: _exists(ready), 150.0)
        yield Replica(name, child, log, json.loads(ready.read_text())["url"], http)
    finally:
        child.send_signal(signal.SIGCONT)
        await child.stop()


async def _exists(path: Path) -> bool:
    return path.exists()


@contextlib.asynccontextmanager
async def pair(plane: Plane, tmp_path: Path) -> AsyncIterator[Pair]:
    namespace = new_namespace(plane)
    account = controller_account(plane, namespace)
    plane.apply(*lease(namespace, account.user), deployment(namespace, replicas=2))
    async with contextlib.AsyncExitStack() as stack:
        livekit = await stack.enter_async_context(servers.livekit_server("test"))
        redis = await stack.enter_async_context(servers.redis_server())
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await stack.enter_async_context(played_node(plane, namespace))
        settings = settings_file(tmp_path, namespace, account.kubeconfig, livekit)
        starts = [replica(name, settings, livekit, redis.url, http) for name in ("one", "two")]
        replicas = await asyncio.gather(*(stack.enter_async_context(start) for start in starts))
        yield Pair(plane, namespace, replicas)


async def test_one_writes_and_the_other_takes_over_from_the_dead(plane: Plane, tmp_path: Path) -> None:
    async with pair(plane, tmp_path) as p:
        leader, other = await p.one_leads()
        assert (await leader.metric("voicefleet_leader"), await other.metric("voicefleet_leader")) == (1.0, 0.0)
        with disturbing(p):
            await eventually(lambda: _writes(leader, 3), 30.0)
            assert other.writes() == 0
            # It decides as well, and says that it does nothing about it.
            async with other.http.get(f"{other.url}/v1/decisions", headers=FRONT) as answer:
                assert {d["shadow"] for d in (await answer.json())["decisions"]} == {True}
            leader.child.send_signal(signal.SIGKILL)
            killed_s = time.monotonic()
            await eventually(other.leads, 2 * FAILOVER_S)
            assert time.monotonic() - killed_s <= FAILOVER_S
            await eventually(lambda: _writes(other, 2), 30.0)


async def _writes(replica: Replica, count: int) -> bool:
    return replica.writes() >= count


async def _writes_again(replica: Replica) -> None:
    before = replica.writes()
    await eventually(lambda: _writes(replica, before + 1), 30.0)


async def test_a_paused_leader_does_not_write_when_it_wakes(plane: Plane, tmp_path: Path) -> None:
    async with pair(plane, tmp_path) as p:
        with disturbing(p):
            for _ in range(2):
                leader, other = await p.one_leads()
                await _writes_again(leader)
                # In the midst of whatever it does.
                leader.child.send_signal(signal.SIGSTOP)
                paused_at = len(leader.log.read_text())
                await eventually(other.leads, 2 * FAILOVER_S)
                await _writes_again(other)
                leader.child.send_signal(signal.SIGCONT)
                await asyncio.sleep(3.0)
                assert not await leader.leads()
                assert leader.writes(paused_at) == 0
                assert await other.leads()


async def test_a_leader_that_ends_gives_the_lease_up(plane: Plane, tmp_path: Path) -> None:
    async with pair(plane, tmp_path) as p:
        leader, other = await p.one_leads()
        leader.child.send_signal(signal.SIGTERM)
        # Well before the duration of the lease, which is 6 s.
        assert await eventually(other.leads, 20.0) < 5.0
        assert (await other.leader())["holder"] == other.name


async def test_a_pool_in_trouble_is_an_event_on_the_lease(plane: Plane) -> None:
    namespace = new_namespace(plane)
    account = controller_account(plane, namespace)
    plane.apply(*lease(namespace, account.user))
    times = {"duration_s": 6, "renew_deadline_s": 4.0, "retry_s": 1.0}
    settings = LeaseSettings.model_validate(
        {"namespace": namespace, "name": LEASE, "kubeconfig": account.kubeconfig, **times}
    )
    clusters, troubles = Clusters(), {"eu": "2 workers unschedulable: no cpu", "us": ""}
    try:
        leader = AlwaysLeads("one")
        recorder = EventRecorder(
            settings, "one", clusters.get(settings.cluster), leader, SystemClock(), lambda: troubles
        )
        for _ in range(3):
            await recorder.once()
        troubles["eu"] = ""
        await recorder.once()
        await recorder.once()
    finally:
        await clusters.close()
    told = plane.kubectl("describe", "lease", LEASE, "-n", namespace).partition("Events:")[2]
    assert told.count("PoolDegraded") == 1
    assert "region eu: 2 workers unschedulable: no cpu" in told
    assert told.count("PoolHealthy") == 1
    assert "region us" not in told
