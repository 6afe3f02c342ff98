"""A controller under connections that only hold on to it: what they cost, and whether an honest webhook gets through.

The attackers are a process of their own. The honest client makes a new connection for each webhook, as the worst case,
and each webhook goes the whole way: signature, body, LiveKit, Redis.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import yaml
from bench.health import Health
from bench.row import Row
from bench.stand import Stand
from bench.statistics import quantile
from livekit import api

from voicefleet.runtime.supervisor.children import Child, running
from voicefleet.runtime.supervisor.ports import Ports

HALF_OPEN = 1_000
WEBHOOKS = 200
GROWTH_LIMIT_MB = 32.0
HONEST_LIMIT_S = 1.0
_HONEST_EVERY_S = 0.1
_READY_LIMIT_S = 60.0
_PATH = str(Path(__file__).parent.parent)


async def overload_http(on: Stand, quick: bool, command: str) -> list[Row]:
    """1,000 half-open and 200 webhook-flood connections, for half a minute (quick: 8 s)."""
    seconds = 8.0 if quick else 30.0
    health = Health()
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(Ports()).tcp()
        controller = await stack.enter_async_context(running(_controller(on, port)))
        await _listening(controller, port)
        calm_s = await _honest(on, port, 3.0, None)
        before_mb = _rss_mb(controller.pid)
        most_mb: list[float] = []
        async with _flood(on, port), health.watch():
            under_s = await _honest(on, port, seconds, lambda: most_mb.append(_rss_mb(controller.pid)))
        refused = await _refused(port)
    growth_mb, slowest_s = max(most_mb) - before_mb, max(under_s)
    void = health.void()
    met = growth_mb <= GROWTH_LIMIT_MB and slowest_s <= HONEST_LIMIT_S
    return [
        Row(
            name="overload_http",
            n=len(under_s),
            values={
                "half_open": HALF_OPEN,
                "webhook_flood": WEBHOOKS,
                "seconds": seconds,
                "rss_before_mb": round(before_mb, 1),
                "rss_growth_mb": round(growth_mb, 1),
                "rss_growth_limit_mb": GROWTH_LIMIT_MB,
                "honest_calm_p50_s": round(quantile(calm_s, 0.5), 4),
                "honest_p50_s": round(quantile(under_s, 0.5), 4),
                "honest_p99_s": round(quantile(under_s, 0.99), 4),
                "honest_max_s": round(slowest_s, 4),
                "honest_limit_s": HONEST_LIMIT_S,
                "refused": refused,
            },
            verdict="void" if void else "met" if met else "missed",
            command=command,
            why="; ".join(void),
            health=health.to_json(),
        )
    ]


def _controller(on: Stand, port: int) -> Child:
    raw = {
        "redis_url_env": "BENCH_REDIS",
        "listen": f"127.0.0.1:{port}",
        "auth": "none",
        "regions": {
            "bench": {
                "livekit": {"url": on.livekit.url, "api_key": on.livekit.api_key, "api_secret_env": "BENCH_SECRET"},
                "pool": {"min_workers": 0, "max_workers": 2},
                "waiting_message": None,
            }
        },
    }
    settings = on.directory / "overload-http.yaml"
    settings.write_text(yaml.safe_dump(raw))
    return Child(
        "overload-http",
        [sys.executable, "-m", "voicefleet.cli.app", "controller", "--config", str(settings)],
        log_path=on.directory / "overload-http.log",
        stop_plan=((signal.SIGTERM, 20.0),),
        env={"BENCH_REDIS": on.redis.url, "BENCH_SECRET": on.livekit.api_secret},
    )


async def _listening(controller: Child, port: int) -> None:
    deadline_s = time.monotonic() + _READY_LIMIT_S
    async with aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    if (await answer.json())["status"] == "ok":
                        return
            if not controller.alive or time.monotonic() > deadline_s:
                raise RuntimeError(f"the controller did not get ready; its last lines:\n{controller.log_tail()}")
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _flood(on: Stand, port: int) -> AsyncIterator[None]:
    arguments = [str(port), "bench", str(HALF_OPEN), str(WEBHOOKS)]
    flood = Child(
        "http-flood",
        [sys.executable, "-m", "bench.http_flood", *arguments],
        log_path=on.directory / "http-flood.log",
        stop_plan=((signal.SIGTERM, 10.0),),
        env={"PYTHONPATH": _PATH},
    )
    async with running(flood):
        deadline_s = time.monotonic() + _READY_LIMIT_S
        while b"ready" not in flood.log_path.read_bytes():
            if not flood.alive or time.monotonic() > deadline_s:
                raise RuntimeError(f"the flood did not come; its last lines:\n{flood.log_tail()}")
            await asyncio.sleep(0.1)
        yield


async def _honest(on: Stand, port: int, seconds: float, each: Callable[[], None] | None) -> list[float]:
    """Honest webhooks, one after the other; how long each took. One that is refused counts as the time-out."""
    took_s: list[float] = []
    deadline_s = time.monotonic() + seconds
    url = f"http://127.0.0.1:{port}/webhooks/livekit/bench"
    while time.monotonic() < deadline_s:
        room = {"name": f"room-{len(took_s)}", "sid": f"RM_{len(took_s)}"}
        body = json.dumps({"event": "room_finished", "room": room}).encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = api.AccessToken(on.livekit.api_key, on.livekit.api_secret).with_sha256(digest).to_jwt()
        began_s, status = time.monotonic(), 0
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            limit = aiohttp.ClientTimeout(total=10 * HONEST_LIMIT_S)
            sent = aiohttp.request("POST", url, data=body, headers={"Authorization": token}, timeout=limit)
            async with sent as answer:
                status = answer.status
        took_s.append(time.monotonic() - began_s if status == 200 else 10 * HONEST_LIMIT_S)
        if each is not None:
            each()
        await asyncio.sleep(_HONEST_EVERY_S)
    return took_s


async def _refused(port: int) -> dict[str, int]:
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line for line in lines if line.startswith("voicefleet_http_refused_total{")]
    return {line.split('"')[1]: int(float(line.rpartition(" ")[2])) for line in found}


def _rss_mb(pid: int) -> float:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0]) / 1024
