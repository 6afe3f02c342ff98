"""One controller process with 50 pools, 1,000 workers and 10,000 calls, on one core; and with a tenth of that.

The controller is the real one: its loops, settings and HTTP. Its pools are Deployments of a real API server, whose
kubelets kwok plays. Its world (`bench.scale_world`) is a process of its own on the other cores, as are Redis and
Kubernetes; what they cost is not counted.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.cpu import cpu_seconds_of
from bench.health import Health
from bench.processes import measured_controller, ready_process
from bench.row import Row, say
from bench.scale_world import SLOTS, World
from bench.stand import Stand
from bench.statistics import quantile
from livekit import api, rtc

from cluster.control_plane import ControlPlane, control_plane
from cluster.fake_nodes import fake_kubelets, fake_node
from cluster.kube import is_ready, wait_for
from cluster.kube_pools import DEPLOYMENT, deployment
from cluster.played_node import node_selector
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports

TICK_P99_S = 0.25
RSS_MB = 300.0
POOLS, WORKERS, CALLS = 50, 20, 200
"""Pools; workers and calls of each."""
CALL_S = 240.0
DROPPED_RATIO = 0.05
_AGENT_NAME = "bench-scale"
_SETTLE_S = 15.0
_READY_LIMIT_S = 120.0
_PODS_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What one size of world showed."""

    pools: int
    tick_p50_s: float
    tick_p99_s: float
    ticks: int
    lag_p99_s: float
    cpu_ratio: float
    """Share of one core."""
    rss_mb: float
    world: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Rounded, JSON-ready."""
        repaired = self.world["repaired_after_s"]
        return {
            "pools": self.pools,
            "workers": self.pools * WORKERS,
            "calls": self.world["live"],
            "ticks": self.ticks,
            "tick_p50_ms": round(self.tick_p50_s * 1000, 1),
            "tick_p99_ms": round(self.tick_p99_s * 1000, 1),
            "loop_lag_p99_ms": round(self.lag_p99_s * 1000, 1),
            "cpu_share_of_core": round(self.cpu_ratio, 3),
            "rss_mb": round(self.rss_mb, 1),
            "new_calls": self.world["calls"],
            "webhooks": self.world["webhooks"],
            "api_requests": self.world["requests"],
            "repaired": len(repaired),
            "joined_to_dispatch_p50_s": round(quantile(repaired, 0.5), 2) if repaired else None,
            "joined_to_dispatch_p99_s": round(quantile(repaired, 0.99), 2) if repaired else None,
        }


async def controller_scale(on: Stand, seconds: float, command: str) -> Row:
    """A tenth first, then all of it, each for `seconds`."""
    health = Health()
    recorded = await _record(on)
    with contextlib.ExitStack() as stack:
        plane = stack.enter_context(control_plane("bench"))
        stack.enter_context(fake_kubelets(plane))
        regions = await asyncio.to_thread(_pods, plane, [f"region-{number:02}" for number in range(POOLS)])
        few = dict(list(regions.items())[: POOLS // 10])
        small = await _measure(on, plane, few, recorded, seconds, Health())
        full = await _measure(on, plane, regions, recorded, seconds, health)
    growth = full.cpu_ratio / small.cpu_ratio / 10
    shares = {"tick_p99": full.tick_p99_s / TICK_P99_S, "rss": full.rss_mb / RSS_MB, "growth": growth}
    worst = max(shares.values())
    void = health.void()
    return Row(
        name="controller_scale",
        n=full.ticks,
        values={
            "full": full.to_json(),
            "tenth": small.to_json(),
            "share_of_bound": {name: round(share, 3) for name, share in shares.items()},
        },
        ratio=round(worst, 4),
        bound=1.0,
        verdict="void" if void else "met" if worst <= 1.0 else "missed",
        why="; ".join(void)
        or f"bounds: tick p99 {TICK_P99_S * 1000:.0f} ms, RSS {RSS_MB:.0f} MB, CPU at most 10 times that of a tenth",
        health=health.to_json(),
        command=command,
    )


async def _record(on: Stand) -> dict[str, str]:
    """One room with a caller and an agent in it, as the real livekit-server describes them."""
    name = "bench-recorded"
    async with api.LiveKitAPI(on.livekit.http_url, on.livekit.api_key, on.livekit.api_secret) as lk:
        caller, agent = rtc.Room(), rtc.Room()
        try:
            for room, kind in ((caller, "standard"), (agent, "agent")):
                token = api.AccessToken(on.livekit.api_key, on.livekit.api_secret)
                grants = api.VideoGrants(room_join=True, room=name, agent=kind == "agent")
                token = token.with_identity(kind).with_kind(kind).with_grants(grants)  # type: ignore[arg-type]
                await room.connect(on.livekit.url, token.to_jwt())
            await asyncio.sleep(1.0)  # the room's counts follow
            rooms = (await lk.room.list_rooms(api.ListRoomsRequest(names=[name]))).rooms
            there = (await lk.room.list_participants(api.ListParticipantsRequest(room=name))).participants
        finally:
            await caller.disconnect()
            await agent.disconnect()
    by_identity = {p.identity: p for p in there}
    found = {"room": rooms[0], "caller": by_identity["standard"], "agent": by_identity["agent"]}
    return {what: base64.b64encode(proto.SerializeToString()).decode() for what, proto in found.items()}


def _pods(plane: ControlPlane, names: Sequence[str]) -> dict[str, list[str]]:
    """A Deployment of `WORKERS` pods in a namespace for each name; the names of the pods, which are the workers'."""
    say(f"controller_scale: {len(names)} Deployments, {len(names) * WORKERS} pods ...")
    plane.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
    plane.apply(*(fake_node(f"node-{name}", node_selector(name)) for name in names))
    plane.apply(*(deployment(name, owner=None, replicas=WORKERS) for name in names))

    def ready() -> bool:
        # Listing a thousand pods takes a second of this machine, which they need to get ready.
        there = {one["metadata"]["namespace"]: one.get("status", {}) for one in plane.items("deployments", "-A")}
        return all(there.get(name, {}).get("readyReplicas") == WORKERS for name in names)

    wait_for(ready, _PODS_LIMIT_S, "all pods are ready")
    found: dict[str, list[str]] = {name: [] for name in names}
    for pod in plane.items("pods", "-A"):
        if is_ready(pod) and pod["metadata"]["namespace"] in found:
            found[pod["metadata"]["namespace"]].append(pod["metadata"]["name"])
    return found


async def _measure(
    on: Stand,
    plane: ControlPlane,
    regions: Mapping[str, list[str]],
    recorded: Mapping[str, str],
    seconds: float,
    health: Health,
) -> Seen:
    pools = len(regions)
    say(f"controller_scale: {pools} pools, {pools * WORKERS} workers, {pools * CALLS} calls ...")
    async with contextlib.AsyncExitStack() as stack:
        ports = stack.enter_context(Ports())
        port, stub_port = ports.tcp(), ports.tcp()
        await on.redis.restart()
        redis = urlsplit(on.redis.url)
        world = World(
            redis_host=redis.hostname or "",
            redis_port=redis.port or 0,
            redis_password=redis.password or "",
            stub_port=stub_port,
            controller_url=f"http://127.0.0.1:{port}",
            workers=dict(regions),
            calls=CALLS,
            call_s=CALL_S,
            dropped_ratio=DROPPED_RATIO,
            api_key=on.livekit.api_key,
            api_secret=on.livekit.api_secret,
            agent_name=_AGENT_NAME,
            **recorded,
        )
        others = set(range(1, os.cpu_count() or 1)) or {0}
        argv, given = [*_pinned(others), "bench.scale_world"], json.dumps(asdict(world)).encode()
        process = await stack.enter_async_context(ready_process(argv, given=given, limit_s=_READY_LIMIT_S))
        assert process.stdout is not None
        settings = _settings(on, plane, list(regions), port, stub_port)
        secret = on.livekit.api_secret
        child, ready, samples_file = measured_controller(on, f"controller-{pools}", settings, secret, _pinned({0}))
        controller = await stack.enter_async_context(running(child))
        await _ready(controller, ready)
        await asyncio.sleep(_SETTLE_S)
        controller.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGUSR1)
        async with health.watch():
            before_s = cpu_seconds_of([controller.pid])
            began_s = asyncio.get_running_loop().time()
            await asyncio.sleep(seconds)
            took_s = asyncio.get_running_loop().time() - began_s
            cpu_ratio = (cpu_seconds_of([controller.pid]) - before_s) / took_s
        rss_mb = _peak_mb(controller.pid)
        # The world first: webhooks to a controller that is gone are no failures of it.
        process.terminate()
        said = json.loads(await asyncio.wait_for(process.stdout.readline(), 30.0))
        await controller.stop()
    samples = json.loads(samples_file.read_text())
    if said["unrepaired_over_5_s"]:
        health.complaints.append(f"{said['unrepaired_over_5_s']} callers were left waiting")
    if said["webhook_failures"]:
        health.complaints.append(f"{said['webhook_failures']} webhooks failed")
    if quantile(said["beat_late_s"], 0.99) > 1.0:
        health.complaints.append("the world itself was late: its workers did not report in time")
    ticks = samples["ticks_s"]
    if len(ticks) < 0.9 * pools * seconds / 2.2:
        health.complaints.append(f"only {len(ticks)} ticks: a pool did not run")
    seen = Seen(
        pools=pools,
        tick_p50_s=quantile(ticks, 0.5),
        tick_p99_s=quantile(ticks, 0.99),
        ticks=len(ticks),
        lag_p99_s=quantile(samples["lags_s"], 0.99),
        cpu_ratio=cpu_ratio,
        rss_mb=rss_mb,
        world=said,
    )
    say(f"controller_scale: {json.dumps(seen.to_json())}")
    return seen


def _settings(on: Stand, plane: ControlPlane, regions: Sequence[str], port: int, stub_port: int) -> dict[str, Any]:
    return {
        "listen": f"127.0.0.1:{port}",
        "regions": {
            name: {
                "livekit": {
                    "url": on.livekit.url,
                    "api_url": f"http://127.0.0.1:{stub_port}/{name}",
                    "api_key": on.livekit.api_key,
                    "api_secret_env": "BENCH_SECRET",
                },
                "agent_name": _AGENT_NAME,
                "waiting_message": None,
                "pool": {"min_workers": WORKERS, "max_workers": 2 * WORKERS, "slots": SLOTS},
                "kubernetes": {"namespace": name, "deployment": DEPLOYMENT, "kubeconfig": str(plane.kubeconfig)},
            }
            for name in regions
        },
    }


def _pinned(cores: set[int]) -> list[str]:
    """A Python that runs the module whose name follows on `cores` alone."""
    code = (
        f"import os, runpy, sys; os.sched_setaffinity(0, {cores!r}); del sys.argv[0]; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", code]


async def _ready(controller: Child, file: Path) -> None:
    deadline_s = asyncio.get_running_loop().time() + _READY_LIMIT_S
    while not file.exists():
        if not controller.alive or asyncio.get_running_loop().time() > deadline_s:
            raise RuntimeError(f"the controller did not get ready; its last lines:\n{controller.log_tail()}")
        await asyncio.sleep(0.1)


def _peak_mb(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(status["VmHWM"].split()[0]) / 1024
