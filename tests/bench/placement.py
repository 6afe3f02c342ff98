"""How long `POST /v1/calls` takes while 500 requests a second are placed by measured round trips, on one core.

The controller is the real one, pinned to one core, with a real Redis and livekit-server; its regions have workers that
report and calls that nobody joins. Requests come open-loop at Poisson times, and each is timed from the moment at which
it was due, so that a controller that stands still is not asked less.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import redis.asyncio
from bench.cpu import cpu_seconds_of
from bench.health import Health
from bench.processes import measured_controller
from bench.row import Row
from bench.stand import Stand
from bench.statistics import quantile

from voicefleet.contract import codec
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.http.auth.keys import KeyLimits, line_of
from voicefleet.runtime.supervisor.children import Child, leftover_pids, running
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.runtime.tasks import cancel_and_wait

P99_S = 0.020
RATE = 500.0
REGIONS, WORKERS, SLOTS = 10, 20, 200
"""Workers of each region. A ticket that nobody joins with is held for two minutes, so there are slots enough."""
_MOST_WORKERS = 200
_PROBE_EVERY_S = 20.0
_WARM_S = 5.0
_READY_LIMIT_S = 60.0
_CONNECTIONS = 200
"""Fewer than a controller allows; whoever waits for one waits since it was due."""


@dataclass
class Answers:
    """What became of the requests."""

    took_s: list[float] = field(default_factory=list)
    by_nearest: int = 0
    failed: list[str] = field(default_factory=list)


async def placement(on: Stand, seconds: float, command: str) -> Row:
    """Tickets at `RATE` for `seconds`, after some seconds of them that do not count."""
    health, answers = Health(), Answers()
    mine = os.sched_getaffinity(0)
    others = mine - {min(mine)} or mine
    secret = secrets.token_hex(16)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, mine)
        for pid in (0, *leftover_pids()):
            os.sched_setaffinity(pid, others)
        port = stack.enter_context(Ports()).tcp()
        names = [f"region-{number}" for number in range(REGIONS)]
        await stack.enter_async_context(_reporting(on, names))
        settings = _settings(on, names, port, secret)
        child, ready, _ = measured_controller(on, "placement", settings, on.livekit.api_secret, _pinned(min(mine)))
        controller = await stack.enter_async_context(running(child))
        await _until_ready(controller, ready.exists)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}",
                headers={"Authorization": f"Bearer {secret}"},
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=10.0),
            )
        )
        await _run(http, _WARM_S, Answers())
        async with health.watch():
            before_s = cpu_seconds_of([controller.pid])
            took_s = await _run(http, seconds, answers)
            cpu_ratio = (cpu_seconds_of([controller.pid]) - before_s) / took_s
    rate = len(answers.took_s) / took_s
    if answers.failed:
        health.complaints.append(f"{len(answers.failed)} requests failed, the first with {answers.failed[0]}")
    if rate < 0.95 * RATE:
        health.complaints.append(f"only {rate:.0f} requests a second were answered")
    p99_s = quantile(answers.took_s, 0.99) if answers.took_s else float("inf")
    void = health.void()
    return Row(
        name="placement",
        n=len(answers.took_s),
        values={
            "regions": REGIONS,
            "workers": REGIONS * WORKERS,
            "requests_per_s": round(rate, 1),
            "p50_ms": round(quantile(answers.took_s, 0.5) * 1000, 2) if answers.took_s else None,
            "p99_ms": round(p99_s * 1000, 2),
            "longest_ms": round(max(answers.took_s, default=0.0) * 1000, 1),
            "placed_nearest": answers.by_nearest,
            "cpu_share_of_core": round(cpu_ratio, 3),
        },
        ratio=round(p99_s / P99_S, 4),
        bound=1.0,
        verdict="void" if void else "met" if p99_s <= P99_S else "missed",
        why="; ".join(void) or f"bound: p99 {P99_S * 1000:.0f} ms at {RATE:.0f} requests a second, on one core",
        health=health.to_json(),
        command=command,
    )


async def _run(http: aiohttp.ClientSession, seconds: float, answers: Answers) -> float:
    """Requests at their times; how long it took until the last was answered."""
    loop, drawn = asyncio.get_running_loop(), random.Random(len(answers.took_s))
    began_s = due_s = loop.time()
    tokens, fetched_s = await _tokens(http), began_s
    asked: set[asyncio.Task[None]] = set()
    while due_s < began_s + seconds:
        due_s += drawn.expovariate(RATE)
        await asyncio.sleep(due_s - loop.time())
        if due_s - fetched_s > _PROBE_EVERY_S:
            tokens, fetched_s = await _tokens(http), due_s
        ms = {region: drawn.uniform(5.0, 200.0) for region in tokens}
        task = asyncio.create_task(_ask(http, tokens, ms, due_s, answers))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)
    return loop.time() - began_s


async def _tokens(http: aiohttp.ClientSession) -> dict[str, str]:
    async with http.get("/v1/probes") as answer:
        found = {probe["region"]: probe["token"] for probe in (await answer.json())["probes"]}
    # No round trip is longer than its token is old.
    await asyncio.sleep(0.25)
    return found


async def _ask(
    http: aiohttp.ClientSession, tokens: dict[str, str], ms: dict[str, float], due_s: float, answers: Answers
) -> None:
    body = {"round_trips": [{"token": tokens[region], "ms": ms[region]} for region in tokens]}
    try:
        async with http.post("/v1/calls", json=body) as answer:
            told = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        answers.failed.append(type(error).__name__)
        return
    answers.took_s.append(asyncio.get_running_loop().time() - due_s)
    if answer.status != 201:
        answers.failed.append(f"{answer.status} {told}")
    else:
        answers.by_nearest += told["region"] == min(ms, key=lambda region: ms[region])


@contextlib.asynccontextmanager
async def _reporting(on: Stand, names: Sequence[str]) -> AsyncIterator[None]:
    """Workers of each region, which report every second."""
    async with redis.asyncio.Redis.from_url(on.redis.url) as client:

        async def report() -> None:
            seconds, micros = await client.time()
            async with client.pipeline(transaction=False) as pipe:
                for name in names:
                    keys = Keys(name)
                    for number in range(WORKERS):
                        worker = f"{name}-w{number}"
                        pipe.zadd(keys.workers, {worker: seconds * 1000 + micros // 1000})
                        said = WorkerReport(worker, name, "ready", SLOTS, 0, uptime_s=99.0, accepting=0)
                        pipe.set(keys.report(worker), codec.dump(said))
                await pipe.execute()

        async def keep() -> None:
            while True:
                await asyncio.sleep(1.0)
                await report()

        await report()
        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            await cancel_and_wait([task])


def _settings(on: Stand, names: Sequence[str], port: int, secret: str) -> dict[str, Any]:
    keys = on.directory / "placement-keys"
    keys.touch(mode=0o600)
    keys.write_text(line_of("front", secret, "call", "", KeyLimits(requests=100_000_000)) + "\n")
    livekit = {"url": on.livekit.url, "api_key": on.livekit.api_key, "api_secret_env": "BENCH_SECRET"}
    return {
        "listen": f"127.0.0.1:{port}",
        "auth": "bearer",
        "api_keys_file": str(keys),
        "regions": {
            name: {
                "livekit": livekit,
                "agent_name": f"bench-{name}",
                "waiting_message": None,
                "pool": {"min_workers": WORKERS, "max_workers": _MOST_WORKERS, "slots": SLOTS},
            }
            for name in names
        },
    }


def _pinned(core: int) -> list[str]:
    """A Python that runs the module whose name follows on one core."""
    code = (
        f"import os, runpy, sys; os.sched_setaffinity(0, {{{core}}}); del sys.argv[0]; "
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", code]


async def _until_ready(controller: Child, there: Any) -> None:
    deadline_s = asyncio.get_running_loop().time() + _READY_LIMIT_S
    while not there():
        if not controller.alive or asyncio.get_running_loop().time() > deadline_s:
            raise RuntimeError(f"the controller did not get ready; its last lines:\n{controller.log_tail()}")
        await asyncio.sleep(0.1)
