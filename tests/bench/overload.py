"""Overload: 10,000 callers wait, and LiveKit takes 100 ms to answer each request.

One controller, the real one in a process of its own, with a real Redis; LiveKit is played (`support.played_livekit`),
in a process of its own, as are the reports of 1,000 workers. Two rows: what the controller knows and wants meanwhile,
and what happens when 1,000 slots open at once. Redis tells its longest command by its slow log.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import redis.asyncio
from bench.cpu import cpu_seconds_of
from bench.health import Health
from bench.processes import measured_controller, ready_process
from bench.row import Row, say
from bench.stand import Stand

from voicefleet.contract import codec
from voicefleet.contract.calls import CallRecord
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.calls.call_store import CallStore
from voicefleet.runtime.redis.connection import Scripts, script_text
from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports
from voicefleet.runtime.tasks import cancel_and_wait

WAITING, WORKERS, SLOTS = 10_000, 1_000, 10
OPENED = 1_000
DELAY_S = 0.1
TICK_S = 2.0
KNOWN_SHARE, GROWN_TICKS, DISPATCHED_S, COMMAND_S = 0.99, 2.0, 2.0, 0.020
_LOOK_S = 0.2
_LIMIT_S = 60.0
_REGION, _FAR = "eu", "us"
_MOST = {_REGION: 1_500, _FAR: 900}
"""The far one's LiveKit does not answer at all: what is known of its calls is what Redis has."""
_KEYS = Keys(_REGION)
_SCRIPTS = {
    hashlib.sha1(script_text(n).encode()).hexdigest(): n for n in ("queue_scan", "queue_take", "reports", "callers")
}


@dataclass
class Seen:
    """What the runs showed."""

    known: list[bool] = field(default_factory=list)
    grown_s: list[float] = field(default_factory=list)
    grown_unknown_s: list[float] = field(default_factory=list)
    dispatched_s: list[list[float]] = field(default_factory=list)
    """Of each run: slots open -> the first dispatch of each call, in order."""
    commands_s: list[float] = field(default_factory=list)
    """The longest of each run."""
    by_command_s: dict[str, float] = field(default_factory=dict)
    cpu_s: list[float] = field(default_factory=list)
    """What the controller took of a core from the opening to the end."""
    at_once: list[int] = field(default_factory=list)


async def overload(on: Stand, runs: int, seconds: float, command: str) -> list[Row]:
    """`runs` times, each with callers who wait for `seconds` before slots open."""
    seen, health = Seen(), Health()
    for run in range(runs):
        async with health.watch():
            await _run(on, run, seconds, seen)
        say(f"overload: run {run + 1} of {runs}: {json.dumps(_figures(seen))}")
    void = health.void()
    share = sum(seen.known) / max(1, len(seen.known))
    grown = max(max(seen.grown_s), max(seen.grown_unknown_s)) / TICK_S
    longest = [times[OPENED - 1] if len(times) >= OPENED else _LIMIT_S for times in seen.dispatched_s]
    unknown_share = (1 - share) / (1 - KNOWN_SHARE)
    knows = {"unknown": unknown_share, "ticks": grown / GROWN_TICKS}
    serves = {"dispatched": max(longest) / DISPATCHED_S, "command": max(seen.commands_s) / COMMAND_S}

    def row(name: str, n: int, shares: dict[str, float], note: str) -> Row:
        worst = max(shares.values())
        return Row(
            name=name,
            n=n,
            values={**_figures(seen), "share_of_bound": {what: round(value, 3) for what, value in shares.items()}},
            ratio=round(worst, 4),
            bound=1.0,
            verdict="void" if void else "met" if worst <= 1.0 else "missed",
            why="; ".join(void) or note,
            health=health.to_json(),
            command=command,
        )

    return [
        row(
            "overload_known",
            len(seen.known),
            knows,
            f"{WAITING} wait, LiveKit answers in {DELAY_S * 1000:.0f} ms; bounds: known {KNOWN_SHARE:.0%} of the time,"
            f" desired at its maximum within {GROWN_TICKS:g} ticks, with LiveKit and without",
        ),
        row(
            "overload_opening",
            len(longest),
            serves,
            f"{OPENED} slots open at once; bounds: all dispatched within {DISPATCHED_S:g} s, Redis's longest command"
            f" {COMMAND_S * 1000:.0f} ms",
        ),
    ]


def _figures(seen: Seen) -> dict[str, Any]:
    last = seen.dispatched_s[-1] if seen.dispatched_s else []
    return {
        "waiting": WAITING,
        "workers": WORKERS,
        "livekit_ms": DELAY_S * 1000,
        "known_share": round(sum(seen.known) / max(1, len(seen.known)), 4),
        "grown_after_s": [round(s, 2) for s in seen.grown_s],
        "grown_without_livekit_after_s": [round(s, 2) for s in seen.grown_unknown_s],
        "dispatched_p50_s": round(last[len(last) // 2], 2) if last else None,
        "all_dispatched_after_s": [round(t[OPENED - 1], 2) if len(t) >= OPENED else None for t in seen.dispatched_s],
        "redis_longest_by_command_ms": {name: round(s * 1000, 1) for name, s in sorted(seen.by_command_s.items())},
        "redis_longest_ms": [round(s * 1000, 1) for s in seen.commands_s],
        "controller_cpu_s": [round(s, 2) for s in seen.cpu_s],
        "livekit_most_at_once": seen.at_once,
    }


async def _run(on: Stand, run: int, seconds: float, seen: Seen) -> None:
    await on.redis.restart()
    with Ports() as ports:
        port, played_port, nowhere = ports.tcp(), ports.tcp(), ports.tcp()
        async with contextlib.AsyncExitStack() as stack:
            livekit = await stack.enter_async_context(ready_process(_livekit(played_port)))
            client = await stack.enter_async_context(redis.asyncio.Redis.from_url(on.redis.url, decode_responses=True))
            await client.config_set("slowlog-log-slower-than", 1_000)
            await client.config_set("slowlog-max-len", 10_000)
            reports = Reports(client)
            await reports.write_all()
            reporting = asyncio.create_task(reports.keep())
            stack.push_async_callback(cancel_and_wait, [reporting])
            child = _controller(on, run, port, played_port, nowhere)
            await stack.enter_async_context(running(child))
            http = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
            await _until(lambda: _known(http))
            seen.grown_s.append(await _grown_by(client, http, _REGION, played_port))
            seen.grown_unknown_s.append(await _grown_by(client, http, _FAR, 0))
            began_s = time.monotonic()
            while time.monotonic() - began_s < seconds:
                seen.known.append(await _known(http))
                await asyncio.sleep(_LOOK_S)
            before_s, opened_s = cpu_seconds_of([child.pid]), time.monotonic()
            await reports.open()
            await asyncio.sleep(max(6.0, 2 * DISPATCHED_S))
            slow = [(_named(e["command"]), int(e["duration"]) / 1e6) for e in await client.slowlog_get(10_000)]
            seen.commands_s.append(max((took_s for _, took_s in slow), default=0.0))
            for name, took_s in slow:
                seen.by_command_s[name] = max(took_s, seen.by_command_s.get(name, 0.0))
            seen.cpu_s.append(cpu_seconds_of([child.pid]) - before_s)
            said = await _end(livekit)
            seen.dispatched_s.append(sorted(at_s - opened_s for at_s in said["dispatched_s"].values()))
            seen.at_once.append(said["most_at_once"])


def _named(command: bytes | str) -> str:
    """A script by its name, another command by its own."""
    first, _, rest = (command.decode() if isinstance(command, bytes) else command).partition(" ")
    return _SCRIPTS.get(rest.partition(" ")[0], first) if first == "EVALSHA" else first


async def _known(http: aiohttp.ClientSession) -> bool:
    return bool((await _view(http, _REGION))["status"] == "ok")


async def _view(http: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with http.get("/v1/regions") as answer:
        views = (await answer.json())["regions"]
    return next(dict(view) for view in views if view["region"] == name)


async def _grown_by(client: Any, http: aiohttp.ClientSession, name: str, livekit_port: int) -> float:
    """Callers come, and webhooks tell of them; how long until the pool's maximum is wanted. Without a port LiveKit is
    away."""
    keys, book = Keys(name), CallStore(client, Scripts(client), name, grace_ms=1_000)
    for start in range(0, WAITING, 500):
        rooms = [f"call-{number:08d}" for number in range(start, start + 500)]
        if livekit_port:
            async with http.post(f"http://127.0.0.1:{livekit_port}/callers", json=rooms) as answer:
                answer.raise_for_status()
        async with client.pipeline(transaction=True) as pipe:
            for room in rooms:  # as for every call with a ticket of the API
                pipe.set(keys.call(room), codec.dump(CallRecord(room, name, key="front")))
            await pipe.execute()
        await book.apply_listing(0, [(room, 0, "") for room in rooms], [])
    began_s = time.monotonic()  # the last of them is there: now all of them are needed
    await _until(lambda: _wants_all(http, name))
    return time.monotonic() - began_s


async def _wants_all(http: aiohttp.ClientSession, name: str) -> bool:
    return bool((await _view(http, name))["desired_workers"] == _MOST[name])


async def _until(check: Any) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(aiohttp.ClientError):
            if await check():
                return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"did not happen within {_LIMIT_S:g} s")


class Reports:
    """The reports of all workers, every one of them full until `open`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._free = 0

    async def keep(self) -> None:
        """Each once a second, spread over it."""
        for number in range(10**9):
            due_s = time.monotonic() + 0.1
            await self._write(range(number % 10, WORKERS, 10))
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def open(self) -> None:
        """One slot of each worker is free: all say so at once."""
        self._free = OPENED // WORKERS
        await self.write_all()
        await self._client.publish(_KEYS.events, "w")

    async def write_all(self) -> None:
        for start in range(0, WORKERS, 100):
            await self._write(range(start, start + 100))

    async def _write(self, numbers: Sequence[int]) -> None:
        seconds, micros = await self._client.time()
        now = seconds * 1000 + micros // 1000
        async with self._client.pipeline(transaction=False) as pipe:
            for number in numbers:
                worker, live = f"eu-pool-7d9f8c6b5-{number:05d}", SLOTS - self._free
                rooms = [f"live-{number:05d}-{slot}" for slot in range(live)]
                report = WorkerReport(worker, _REGION, "ready", SLOTS, live, 0, uptime_s=now / 1000, rooms=rooms)
                pipe.zadd(_KEYS.workers, {worker: now})
                pipe.set(_KEYS.report(worker), codec.dump(report))
            await pipe.execute()


def _livekit(port: int) -> list[str]:
    return [sys.executable, "-m", "support.played_livekit", str(port), str(DELAY_S)]


def _controller(on: Stand, run: int, port: int, played: int, nowhere: int) -> Child:
    def region(name: str, api_port: int) -> dict[str, Any]:
        at = {"url": f"ws://127.0.0.1:{api_port}", "api_url": f"http://127.0.0.1:{api_port}"}
        return {
            "livekit": {**at, "api_key": "played", "api_secret_env": "BENCH_SECRET"},
            "pool": {"min_workers": 1, "max_workers": _MOST[name], "slots": SLOTS},
            "waiting_message": None,
        }

    settings = {
        "listen": f"127.0.0.1:{port}",
        "tick_s": TICK_S,
        "regions": {_REGION: region(_REGION, played), _FAR: region(_FAR, nowhere)},
    }
    child, _, _ = measured_controller(on, f"overload-{run}", settings, "a-secret-of-the-played-livekit-0001")
    return child


async def _end(livekit: asyncio.subprocess.Process) -> dict[str, Any]:
    """Close the played LiveKit; what it saw."""
    assert livekit.stdin is not None
    assert livekit.stdout is not None
    livekit.stdin.close()
    said: dict[str, Any] = json.loads(await asyncio.wait_for(livekit.stdout.readline(), 30.0))
    return said
