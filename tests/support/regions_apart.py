"""Two regions as far from their callers as an emulated network makes them: real livekit-servers, Redis and controller.

    python -m support.regions_apart fleet DIRECTORY EU US WORKERS     on the far host, whose addresses EU and US are
    python -m support.regions_apart caller URL SECRET REGION TURNS    on the near host

The fleet prints ``{"url", "secret"}`` once its controller answers. Then each line on its standard input, ``{"eu": 2}``,
says how many calls the workers of a region have, of two slots, and is answered by ``ok``; it ends with its input.
With `WORKERS` 0 the workers are reports alone; else each region has that many real ones, with the synthetic tier.

The caller measures as the page in controller/README.md does, asks for a call (REGION: ``-`` to be placed) and holds it,
for so many questions; 0: it only asks. It prints one JSON document.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio
import yaml

from voicefleet.callers.caller import Caller
from voicefleet.contract import codec
from voicefleet.contract.api import CallTicket
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.controller.app import run_controller
from voicefleet.controller.settings.load import load_settings
from voicefleet.runtime.logs.setup import configure_logs
from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit, livekit_server, redis_server

SLOTS = 2
TRIES = 3


async def fleet(directory: Path, addresses: dict[str, str], workers: int) -> None:
    """Run until the end of standard input."""
    secret = secrets.token_hex(16)
    async with contextlib.AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(
                livekit_server(
                    name, node_ip=address, log_dir=directory, overrides={"bind_addresses": ["127.0.0.1", address]}
                )
            )
            for name, address in addresses.items()
        }
        store = await stack.enter_async_context(redis_server(log_dir=directory))
        live = dict.fromkeys(addresses, 0)
        if not workers:
            await stack.enter_async_context(_reporting(store.url, live))
        file = directory / "controller.yaml"
        file.write_text(yaml.safe_dump(_settings(servers, addresses, directory, workers)))
        given = {f"{name.upper()}_SECRET": server.api_secret for name, server in servers.items()}
        settings = load_settings(file, {**given, "REDIS": store.url, "KEYS": f"front:{secret}:call+read"})
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        run = asyncio.create_task(run_controller(settings, on_ready=ready.set_result, stop=stop))
        await asyncio.wait([run, ready], return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            await run
        try:
            if workers:
                await _until_ready(ready.result(), secret, workers)
            print(json.dumps({"url": ready.result(), "secret": secret}), flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                live |= json.loads(line)
                # A report a second, and a read of it by the controller's next tick.
                await asyncio.sleep(2.0)
                print("ok", flush=True)
        finally:
            stop.set()
            await run


def _settings(servers: dict[str, LiveKit], addresses: dict[str, str], directory: Path, workers: int) -> dict[str, Any]:
    first = next(iter(addresses.values()))
    command = [sys.executable, "-m", "voicefleet.cli.app", "worker", "--tiers", "synthetic"]
    regions: dict[str, Any] = {}
    for name, server in servers.items():
        regions[name] = {
            "livekit": {
                "url": f"ws://{addresses[name]}:{server.port}",
                "api_key": server.api_key,
                "api_secret_env": f"{name.upper()}_SECRET",
            },
            "waiting_message": None,
            "pool": {"min_workers": workers, "max_workers": max(workers, 2), "slots": SLOTS, "policy": "buffer"},
        }
        if workers:
            state, logs = str(directory / f"state-{name}"), str(directory / "logs")
            regions[name]["process"] = {"command": command, "state_dir": state, "log_dir": logs}
    return {
        "redis_url_env": "REDIS",
        "api_keys_env": "KEYS",
        "listen": f"{first}:0",
        "tick_s": 0.5,
        "listing_s": 0.5,
        "placement": {"countries": {"DE": "eu", "US": "us"}},
        "regions": regions,
    }


async def _until_ready(url: str, secret: str, workers: int) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as http:
        while True:
            async with http.get(f"{url}/v1/regions") as answer:
                if all(region["ready"] == workers for region in (await answer.json())["regions"]):
                    return
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _reporting(url: str, live: dict[str, int]) -> AsyncIterator[None]:
    async with redis.asyncio.Redis.from_url(url) as client:

        async def keep() -> None:
            while True:
                seconds, micros = await client.time()
                for name, calls in live.items():
                    keys, worker = Keys(name), f"{name}-w"
                    said = WorkerReport(worker, name, "ready", SLOTS, calls, uptime_s=9.0, accepting=0)
                    await client.zadd(keys.workers, {worker: seconds * 1000 + micros // 1000})
                    await client.set(keys.report(worker), codec.dump(said))
                    await client.publish(keys.events, worker)
                await asyncio.sleep(0.5)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            await cancel_and_wait([task])


async def caller(url: str, secret: str, region: str, turns: int) -> dict[str, Any]:
    """What was measured, the answer of `POST /v1/calls` without its token, and the TTFA of each turn."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {secret}"}) as http:
        async with http.get(f"{url}/v1/probes") as answer:
            probes = (await answer.json())["probes"]
        measured = {probe["region"]: await _measure(probe["url"]) for probe in probes}
        trips = [{"token": probe["token"], "ms": measured[probe["region"]]} for probe in probes]
        body = {"round_trips": trips} if region == "-" else {"region": region}
        async with http.post(f"{url}/v1/calls", json=body) as answer:
            said = await answer.json()
            assert answer.status == 201, said
    outcome: dict[str, Any] = {}
    if turns:
        held = await Caller("apart", CallTicket.model_validate(said), load_utterances()[:turns]).run()
        outcome = {
            "ttfa_s": [turn.ttfa_s for turn in held.turns],
            "connect_s": held.connect_s,
            "answered": held.answered,
            "error": held.error,
        }
    del said["token"]
    return {"measured_ms": measured, "ticket": said, **outcome}


async def _measure(url: str) -> float:
    """The least of a few: the first one opens the connection."""
    async with aiohttp.ClientSession() as http:
        took_s = []
        for _ in range(TRIES):
            began_s = time.monotonic()
            async with http.get(url) as answer:
                await answer.read()
            took_s.append(time.monotonic() - began_s)
    return min(took_s) * 1000


def main() -> None:
    """The command line."""
    what, *given = sys.argv[1:]
    if what == "fleet":
        configure_logs()
        directory, eu, us, workers = given
        asyncio.run(fleet(Path(directory), {"eu": eu, "us": us}, int(workers)))
    else:
        url, secret, region, turns = given
        print(json.dumps(asyncio.run(caller(url, secret, region, int(turns)))))


if __name__ == "__main__":
    main()
