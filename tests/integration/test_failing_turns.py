"""Every request to the LLM hangs, and there are more callers than slots: callers, metrics and pages all say so."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from redis.asyncio import Redis
from rich.console import Console

from support.real_prometheus import Prometheus, prometheus_server
from voicefleet.contract import codec
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.loadtest.command_call import CallOptions, call
from voicefleet.loadtest.command_loadtest import LoadOptions, loadtest
from voicefleet.loadtest.destinations import Destinations
from voicefleet.loadtest.scenario import Target
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

REGION = "eu"
PAGED_WITHIN_S = 120.0
RESOLVED_WITHIN_S = 60.0


def tiers(folder: Path) -> str:
    """One tier of synthetic providers, whose faults the test switches, with nothing to fall back on."""
    local, faults = "voicefleet.local.synthetic:Synthetic", {"faults_file": str(folder / "faults.json")}
    tier = {stage: {"plugin": f"{local}{stage.upper()}", "args": faults} for stage in ("stt", "llm", "tts")}
    path = folder / "tiers.yaml"
    path.write_text(yaml.safe_dump({"pipeline": "faulty", "default": "a", "tiers": {"a": tier}}))
    return str(path)


def switch(folder: Path, **faults: str) -> None:
    new = folder / "faults.new"
    new.write_text(json.dumps(faults))
    new.rename(folder / "faults.json")


async def watch(fleet: Fleet, prometheus: Prometheus) -> None:
    """Scrape the controller and the workers there are."""
    keys = Keys(REGION)
    async with Redis.from_url(fleet.redis.url, decode_responses=True) as redis:
        while True:
            names = [str(name) for name in await redis.zrange(keys.workers, 0, -1)]
            texts = await redis.mget([keys.report(name) for name in names]) if names else []
            reports = [codec.load(WorkerReport, text) for text in texts if text]
            ports = [(f"127.0.0.1:{report.http_port}", "worker", REGION) for report in reports if report.http_port]
            prometheus.find([(urlsplit(fleet.api_url).netloc, "controller", ""), *ports])
            await asyncio.sleep(0.5)


async def firing(prometheus: Prometheus) -> dict[str, Any]:
    """Name -> the alert that fires."""
    alerts = (await prometheus.get("alerts"))["alerts"]
    return {alert["labels"]["alertname"]: alert for alert in alerts if alert["state"] == "firing"}


async def test_hanging_providers_and_refused_callers_are_told_by_all(tmp_path: Path) -> None:
    clock, said, result = SystemClock(), io.StringIO(), tmp_path / "loadtest.json"
    shape = PoolShape(slots=3, min_workers=1, max_workers=1, buffer=0, scale_down_delay_s=2.0)
    workers = WorkerOptions(tiers(tmp_path))
    switch(tmp_path, llm="hang")

    def load(calls: int, turns: int) -> int:
        # More callers than slots, for a while: they ask again until one is free.
        options = LoadOptions(Target(controller=fleet.api_url), calls=calls, rate=1.0, turns=turns, patience_s=120)
        return loadtest(options, Destinations(json=result), console=Console(file=said, width=200))

    async with (
        running_fleet((REGION,), shape, tmp_path, workers=workers) as fleet,
        prometheus_server(tmp_path) as prometheus,
        ControllerClient(fleet.api_url) as client,
    ):
        watching = asyncio.create_task(watch(fleet, prometheus))
        try:
            await prometheus.until("sum(voicefleet_slots)", 3, 60)
            await asyncio.sleep(3)  # A counter that was never seen at zero hides its first events.
            began_s, loading = clock.monotonic(), asyncio.create_task(asyncio.to_thread(load, 7, 3))
            paged: dict[str, Any] = {}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAGED_WITHIN_S):
                    while not {"VoicefleetTurnsFailing", "VoicefleetCallsRefused"} <= paged.keys():
                        paged |= {name: one for name, one in (await firing(prometheus)).items() if name not in paged}
                        await asyncio.sleep(0.5)
            print(f"paged after {clock.monotonic() - began_s:.0f} s: {sorted(paged)}")
            failing = {finding.id: finding for finding in (await client.regions())[0].findings}
            assert "LLM did not answer in time" in failing["turns_fail"].cause, failing
            assert failing["turns_fail"].state == "failing", failing
            assert "llm, timeout" in paged["VoicefleetTurnsFailing"]["annotations"]["description"], paged
            assert "Most of them: full" in paged["VoicefleetCallsRefused"]["annotations"]["description"], paged
            assert await loading == 1
            told = json.loads(result.read_text())
            assert (told["calls"]["answered"], told["turns"]["answered"]) == (0, 0), told
            assert told["turns"]["apologies"] == told["turns"]["asked"] == 21, told
            assert told["calls"]["silent"] == 0, "an apology is better than silence"
            assert "calls: 0 of 7 answered" in said.getvalue()
            await prometheus.until('sum(voicefleet_turns_total{outcome="error"})', 21, 10)  # The last scrape.
            hangs = await prometheus.value('sum(voicefleet_provider_failures_total{stage="llm",kind="timeout"})')
            errors = await prometheus.value('sum(voicefleet_turns_total{outcome="error"})')
            assert (hangs, errors) == (21, 21), "each is counted, and once"

            switch(tmp_path)
            mended_s = clock.monotonic()
            assert await asyncio.to_thread(load, 3, 3) == 0, said.getvalue()
            async with asyncio.timeout(RESOLVED_WITHIN_S + 60):
                while any(alert["labels"]["severity"] == "critical" for alert in (await firing(prometheus)).values()):
                    await asyncio.sleep(0.5)
            print(f"resolved {clock.monotonic() - mended_s:.0f} s after the remedy")
            assert clock.monotonic() - mended_s <= RESOLVED_WITHIN_S + 15

            switch(tmp_path, llm="refuse")
            console = Console(file=said, width=200)
            assert (
                await asyncio.to_thread(call, CallOptions(fleet.api_url, turns=1), json_path=None, console=console) == 1
            )
            assert "bad call: 1 of 1 questions got an apology instead of an answer" in said.getvalue()
        finally:
            watching.cancel()
