"""What a worker takes with all its slots in calls: the figures behind `helm/voicefleet/files/worker-needs.yaml`.

Measured with few slots and with more, every slot in a call: the difference is a slot's, the rest is the worker's own.
A caller hears the second in which a worker has too little, so CPU is that of its busy seconds (p95), not the mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cpu import cpu_seconds, family
from bench.health import Health
from bench.row import Row, say
from bench.stand import Stand, registered
from bench.statistics import quantile
from livekit import api

from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallTicket
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.speech.clips import load_utterances

KINDS = {"providers": "synthetic", "local": "local"}
"""Kind in worker-needs.yaml -> the built-in tier that stands for it. Providers' answers come over the network, those of
the synthetic tier from the job itself: as much audio is decoded, listened to and coded."""

FEW, MANY = 1, 3
"""Slots, and calls, of the two workers."""

_AGENT = "bench-needs"
_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker and all its processes took while every slot was in a call: the mean and the p95 of its seconds."""

    mean_cores: float
    cores: float
    mib: float


async def worker_needs(on: Stand, turns: int, command: str) -> list[Row]:
    """A row for each kind; judged by nothing, told as figures."""
    return [await _row(on, kind, turns, command) for kind in KINDS]


async def _row(on: Stand, kind: str, turns: int, command: str) -> Row:
    health = Health()
    few = await _taken(on, KINDS[kind], FEW, turns, health)
    many = await _taken(on, KINDS[kind], MANY, turns, health)
    say(f"worker_needs_{kind}: {FEW} call {few}, {MANY} calls {many}")
    cores, mib = ((b - a) / (MANY - FEW) for a, b in ((few.cores, many.cores), (few.mib, many.mib)))
    # How much others take of the machine changes the time that passes, not the CPU time that is taken.
    return Row(
        name=f"worker_needs_{kind}",
        n=2,
        values={
            "worker_millicores": round((few.cores - cores * FEW) * 1000),
            "call_millicores": round(cores * 1000),
            "call_mean_millicores": round((many.mean_cores - few.mean_cores) / (MANY - FEW) * 1000),
            "worker_mib": round(few.mib - mib * FEW),
            "call_mib": round(mib),
        },
        verdict="void" if health.complaints else "met",
        why="; ".join(health.complaints) or "a figure without a bound: CPU time by the wall clock, memory as PSS",
        health=health.to_json(),
        command=command,
    )


async def _taken(on: Stand, tier: str, slots: int, turns: int, health: Health) -> Taken:
    """A worker with so many slots and as many calls, from the last greeting to the first hang-up."""
    greeted: set[str] = set()
    steady, over = asyncio.Event(), asyncio.Event()

    def on_event(call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "greeting":
            greeted.add(call)
        if len(greeted) == slots:
            steady.set()
        if kind == "hangup":
            over.set()

    async def place(number: int) -> CallTicket:
        return _ticket(on, f"needs-{tier}-{slots}-{number}")

    async def calls() -> list[bool]:
        settings = SwarmSettings(turns=turns)
        swarm = run_swarm([0.0] * slots, place, load_utterances(), settings, on_event=on_event)
        async with contextlib.aclosing(swarm):
            return [turn.answered async for outcome in swarm for turn in outcome.turns]

    async with running(_worker(on, tier, slots)) as child, health.watch():
        await registered(child)
        placed = asyncio.create_task(calls())
        await asyncio.wait_for(steady.wait(), 60.0)
        most_mib, busy = 0.0, list[float]()
        while not over.is_set() and not placed.done():
            began_s, began_cpu_s = time.monotonic(), cpu_seconds(child.pid)
            most_mib = max(most_mib, sum(map(_pss_mib, family(child.pid))))
            await asyncio.sleep(_WINDOW_S)
            busy.append((cpu_seconds(child.pid) - began_cpu_s) / (time.monotonic() - began_s))
        if not all(await placed):
            health.complaints.append(f"{tier}, {slots} calls: questions went unanswered")
    return Taken(round(sum(busy) / len(busy), 3), round(quantile(busy, 0.95), 3), round(most_mib))


def _worker(on: Stand, tier: str, slots: int) -> Child:
    name = f"needs-{tier}-{slots}"
    return Child(
        name,
        [sys.executable, "-m", "voicefleet.cli.app", "worker", "--tiers", tier],
        log_path=on.directory / f"{name}.log",
        env={
            "LIVEKIT_URL": on.livekit.url,
            "LIVEKIT_API_KEY": on.livekit.api_key,
            "LIVEKIT_API_SECRET": on.livekit.api_secret,
            "VOICEFLEET_REDIS_URL": on.redis.url,
            "VOICEFLEET_REGION": "bench",
            "VOICEFLEET_WORKER_ID": name,
            "VOICEFLEET_SLOTS": str(slots),
            "VOICEFLEET_AGENT_NAME": _AGENT,
        },
        stop_plan=((signal.SIGTERM, 10.0),),
    )


def _ticket(on: Stand, room: str) -> CallTicket:
    token = (
        api.AccessToken(on.livekit.api_key, on.livekit.api_secret)
        .with_identity(f"caller-{room}")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name=_AGENT)]))
        .to_jwt()
    )
    return CallTicket(url=on.livekit.url, token=token, room=room, region="bench")


def _pss_mib(pid: int) -> float:
    """A process's share of the memory that it has, pages in common divided by who has them."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
