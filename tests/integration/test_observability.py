"""A real fleet, real calls and a real Prometheus: every query of every dashboard returns data, and figures agree."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from livekit import api
from redis.asyncio import Redis
from rich.console import Console

from support.event_receiver import SECRET, event_receiver
from support.otlp_receiver import Received, attributes, otlp_receiver
from support.real_prometheus import Prometheus, prometheus_server
from voicefleet.callers.behavior import CallerBehavior
from voicefleet.callers.caller import Caller, CallerSettings
from voicefleet.callers.health import GeneratorHealth, HealthMeter
from voicefleet.callers.outcome import CallOutcome
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.client.status import StatusOptions, look, status
from voicefleet.contract import codec
from voicefleet.contract.api import CallRequest, CallTicket, RegionView
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerReport
from voicefleet.dashboards.verify import verify
from voicefleet.runtime.clock import SystemClock
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.servers import LiveKit
from voicefleet.worker.telemetry.call_telemetry import SILENT_AFTER_S
from voicefleet.worker.tiers.load import read_tiers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

REGION = "eu"
START_LIMIT_S = 200.0
"""A machine that builds images beside this imports slowly."""
LATER_S = 0.4
"""The ways there and back on loopback, 20 ms frames, the detector's and the ear's windows, and the playout's buffer."""
INTERRUPTING = CallerBehavior(max_listen_s=0.8)
"""Speaks into a voice that goes on for longer."""


@dataclass
class Stand:
    """A fleet that is being watched."""

    fleet: Fleet
    prometheus: Prometheus
    client: ControllerClient
    received: Received
    reports: dict[str, WorkerReport]

    async def watch(self) -> None:
        """Keep Prometheus told of the workers there are."""
        url = urlsplit(self.fleet.api_url)
        livekit = urlsplit(self.fleet.livekit[REGION].metrics_url or "")
        fixed = [(url.netloc, "controller", ""), (livekit.netloc, "livekit", REGION)]
        keys = Keys(REGION)
        while True:
            with contextlib.suppress(Exception):  # Redis is taken away on purpose
                async with Redis.from_url(self.fleet.redis.url, decode_responses=True) as redis:
                    names = [str(name) for name in await redis.zrange(keys.workers, 0, -1)]
                    texts = await redis.mget([keys.report(name) for name in names]) if names else []
                self.reports = {n: codec.load(WorkerReport, t) for n, t in zip(names, texts, strict=True) if t}
                workers = [(f"127.0.0.1:{r.http_port}", "worker", REGION) for r in self.reports.values() if r.http_port]
                self.prometheus.find([*fixed, *workers])
            await asyncio.sleep(0.5)

    async def place(
        self, offsets_s: Sequence[float], turns: int, behavior: CallerBehavior | None = None
    ) -> list[CallOutcome]:
        """Calls to their end."""

        async def ticket(_: int) -> CallTicket:
            return await self.client.create_call(CallRequest(region=REGION), patience_s=30)

        settings = SwarmSettings(turns=turns, caller=CallerSettings(behavior=behavior or CallerBehavior()))
        swarm = run_swarm(offsets_s, ticket, load_utterances(), settings)
        async with contextlib.aclosing(swarm):
            return [outcome async for outcome in swarm]

    async def until_seen(self, what: Callable[[RegionView], bool], limit_s: float) -> None:
        """Wait until `voicefleet status` would show it."""
        async with asyncio.timeout(limit_s):
            while not what((await look(self.client)).regions[0]):
                await asyncio.sleep(0.1)

    @staticmethod
    async def metrics(url: str) -> str:
        """What `/metrics` says at `url`."""
        async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
            return await answer.text()

    async def worker_with_calls(self) -> tuple[str, int]:
        """Name and process of a worker that has a call."""
        async with asyncio.timeout(20):
            while True:
                for view in (await self.client.regions())[0].workers:
                    if view.live and view.pid:
                        return view.id, view.pid
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def stand(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: WorkerOptions,
    shape: PoolShape,
    tier: Mapping[str, int] | None = None,
) -> AsyncIterator[Stand]:
    async with otlp_receiver() as received, event_receiver() as crm:
        (tmp_path / "crm-secret").write_text(SECRET)
        hooks = {"crm": {"url": crm.url, "secret_file": str(tmp_path / "crm-secret")}}
        monkeypatch.setattr("voicefleet.stack.fleet.READY_LIMIT_S", START_LIMIT_S)
        # Controller and workers inherit it.
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        async with (
            running_fleet(
                (REGION,),
                shape,
                tmp_path,
                workers=workers,
                livekit_metrics=True,
                call_events=hooks,
                overrides={"tier": tier} if tier else {},
            ) as fleet,
            prometheus_server(tmp_path) as prometheus,
            ControllerClient(fleet.api_url) as client,
        ):
            found = Stand(fleet, prometheus, client, received, {})
            watching = asyncio.create_task(found.watch())
            try:
                await prometheus.until(f'voicefleet_workers{{state="ready",region="{REGION}"}}', 1, START_LIMIT_S)
                await prometheus.until("sum(voicefleet_slots)", shape.slots, 30)
                yield found
            finally:
                watching.cancel()


def own_ticket(livekit: LiveKit, room: str) -> CallTicket:
    """As a front end makes it that does not ask the controller."""
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity(f"caller-{room}")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
        .to_jwt()
    )
    return CallTicket(url=livekit.url, token=token, room=room, region=REGION)


async def test_every_query_returns_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The default policy: what is shown of it must be there.
    shape = PoolShape(
        slots=2,
        min_workers=1,
        max_workers=2,
        buffer=1,
        scale_down_delay_s=2.0,
        policy="predictive",
        wait_ratio=0.1,
        price=(0.4, "EUR"),
    )
    # A team that compares two tiers, and whose agent reports its tasks.
    synthetic = read_tiers("synthetic").tiers["synthetic"].model_dump(mode="json", exclude_unset=True)
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(json.dumps({"default": "steady", "tiers": {"steady": synthetic, "new": synthetic}}))
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    workers = WorkerOptions(str(tiers), agent="support.reporting_agent:create", env={"PYTHONPATH": path})
    async with stand(tmp_path, monkeypatch, workers, shape, tier={"steady": 95, "new": 5}) as s:
        async with HealthMeter(SystemClock()) as meter:
            # As many calls as slots: the pool grows. Scrapes lie between them: a rate needs a count that rises.
            outcomes = await s.place([0.0, 3.0], 4)
        assert all(o.answered for o in outcomes), outcomes
        heard = [t.ttfa_s for o in outcomes for t in o.turns if t.ttfa_s is not None]
        await s.prometheus.until("sum(voicefleet_turn_ttfa_seconds_count)", len(heard), 10)
        await asyncio.sleep(3)
        await _figures_agree(s, heard, meter.health())
        await _exemplars_lead_to_traces(s)
        good = await verify(s.prometheus.url, rate_interval="15s")
        assert good["errors"] == []
        # An ordinary run fills every panel but those that only trouble fills.
        assert not good["empty"], good["empty"]
        await _trouble(s)
        after = await verify(s.prometheus.url, rate_interval="15s")
        assert after["errors"] == []
        assert not after["empty"], after["empty"]
        assert after["exempt"] == []
        rules = await s.prometheus.get("rules")
        unwell = [r["name"] for g in rules["groups"] for r in g["rules"] if r["health"] == "err"]
        assert unwell == []


async def _figures_agree(s: Stand, heard: Sequence[float], health: GeneratorHealth) -> None:
    """What the agent measured is what callers heard, but for the way there (uplink, voice detector), the way back and
    the playout. On a machine that is too busy for callers only the fastest turn can say so."""
    turns = await s.received.until("turn", len(heard))
    agents = [float(str(attributes(turn)["voicefleet.turn.ttfa_s"])) for turn in turns]
    told = await s.prometheus.value("sum(voicefleet_turn_ttfa_seconds_sum) / sum(voicefleet_turn_ttfa_seconds_count)")
    assert told is not None
    assert told == pytest.approx(sum(agents) / len(agents), abs=0.01), "metrics and traces say the same"
    later_s, fastest_s = median(heard) - median(agents), min(heard) - min(agents)
    print(f"TTFA in Prometheus {told:.3f} s; callers heard it {later_s:.3f} s later, the fastest {fastest_s:.3f} s")
    most_s = LATER_S + 4 * (health.lag_p99_s or 0.0)
    assert -0.05 < fastest_s < most_s
    if not health.void:
        assert -0.05 < later_s < most_s


async def _exemplars_lead_to_traces(s: Stand) -> None:
    turns = await s.received.until("turn", 2)
    traces = {span.trace_id.hex() for span in turns}
    found = await s.prometheus.get(
        "query_exemplars", query="voicefleet_turn_ttfa_seconds_bucket", start="0", end="9999999999"
    )
    ids = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    assert ids
    assert ids <= traces
    ordered = {span.trace_id.hex() for span in s.received.named("POST /v1/calls")}
    assert traces <= ordered, "a call's trace begins where it was ordered"


async def _trouble(s: Stand) -> None:
    """Cause everything that the exemptions name."""
    assert (await s.place([0.0], 2, INTERRUPTING))[0].answered
    # More callers than slots: some wait. Then a worker dies under its calls, and another drains.
    before = len(s.received.named("join"))
    # Long calls: they are to be there still when the worker dies, on a slow machine too.
    crowd = asyncio.create_task(s.place([0.0, 0.1, 0.2, 0.3, 0.4], 4))
    await s.prometheus.until("sum(voicefleet_calls_waiting)", 1, 30)
    # Its jobs have told of their joining: what a process has not sent yet dies with it.
    await s.received.until("join", before + ((await s.client.regions())[0].live or 0))
    _, pid = await s.worker_with_calls()
    os.kill(pid, signal.SIGKILL)
    await s.prometheus.until("sum(voicefleet_calls_recovered_total)", 1, 30)
    await crowd
    joins = Counter(span.trace_id for span in await s.received.until("join", 2))
    assert max(joins.values()) >= 2, "the job that took the call over goes on with its trace"
    name = next(iter(s.reports))
    async with asyncio.timeout(30):
        while name not in {view.id for view in (await s.client.regions())[0].workers}:
            name = next(iter(s.reports))
            await asyncio.sleep(0.2)
    await s.client.drain_worker(name)
    await s.prometheus.until("sum(voicefleet_drain_seconds_count)", 1, 60)
    await s.fleet.redis.stop()
    await s.prometheus.until("sum(voicefleet_observe_failures_total)", 1, 30)
    await asyncio.sleep(2)
    await s.fleet.redis.start()
    await s.prometheus.until("sum(rate(voicefleet_observe_failures_total[15s]))", 0.01, 30)


HANGING = """
pipeline: hanging
default: hanging
tiers:
  hanging:
    stt: {plugin: "voicefleet.local.synthetic:SyntheticSTT"}
    llm: {plugin: "voicefleet.local.synthetic:SyntheticLLM", args: {ttft_s: 60}, timeout_s: 60}
    tts: {plugin: "voicefleet.local.synthetic:SyntheticTTS"}
    vad: {min_silence_s: 0.2}
    apology: {enabled: false}
"""
VISIBLE_WITHIN_S = 5.0


async def test_callers_who_wait_or_sit_in_silence_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiers = tmp_path / "tiers.yaml"
    tiers.write_text(HANGING)
    shape = PoolShape(slots=1, min_workers=1, max_workers=1, buffer=0, scale_down_delay_s=2.0)
    asked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    clock = SystemClock()

    def on_event(_call: str, kind: str, _t_s: float, _data: Mapping[str, Any]) -> None:
        if kind == "asked" and not asked.done():
            asked.set_result(clock.monotonic())

    async with stand(tmp_path, monkeypatch, WorkerOptions(str(tiers)), shape) as s:
        impatient = CallerSettings(behavior=CallerBehavior(patience_s=40))
        ticket = await s.client.create_call(CallRequest(region=REGION))
        first = asyncio.create_task(Caller("silent", ticket, load_utterances()[:1], impatient, on_event=on_event).run())
        asked_s = await asyncio.wait_for(asked, 60)
        # The one slot is taken: a second caller, who came without asking the controller, waits.
        livekit = s.fleet.livekit[REGION]
        second = asyncio.create_task(
            Caller(
                "waiting", own_ticket(livekit, "waits"), [], CallerSettings(behavior=CallerBehavior(patience_s=15))
            ).run()
        )
        began_s = clock.monotonic()
        await s.until_seen(lambda view: view.waiting == 1, 30)
        assert clock.monotonic() - began_s < 1.0 + VISIBLE_WITHIN_S + 2, "joined, the grace of 1 s, and 5 s more"
        assert "voicefleet_calls_waiting{" in await s.metrics(s.fleet.api_url)
        await s.until_seen(lambda view: view.silent == 1, 40)
        # The question takes its time to be said; silence counts from its end.
        late_s = clock.monotonic() - asked_s - SILENT_AFTER_S
        assert late_s < 4.0 + VISIBLE_WITHIN_S, late_s
        async with asyncio.timeout(5):  # The reports are looked at twice a second.
            while not (silent := [r for r in s.reports.values() if r.silent]):
                await asyncio.sleep(0.1)
        report = silent[0]
        text = await s.metrics(f"http://127.0.0.1:{report.http_port}")
        assert "voicefleet_calls_silent 1.0" in text
        assert 'voicefleet_region_calls_silent{region="eu"} 1.0' in await s.metrics(s.fleet.api_url)
        result = tmp_path / "status.json"
        code = await asyncio.to_thread(status, StatusOptions(s.fleet.api_url), json_path=result, console=Console())
        assert code == 1, "somebody sits in silence"
        assert json.loads(result.read_text())["regions"][0]["silent"] == 1
        for call in (first, second):
            call.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await s.until_seen(lambda view: view.silent == 0, 40)
