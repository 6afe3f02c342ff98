"""The predictive policy live: a real controller, Redis, livekit-server and worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.dummy_fleet import KEYS, Harness, dummy_fleet
from support.eventually import eventually
from voicefleet.callers.swarm import SwarmSettings, run_swarm
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.scaling.policy_state import load
from voicefleet.speech.clips import load_utterances
from voicefleet.stack import servers
from voicefleet.stack.fleet import PoolShape, WorkerOptions, running_fleet

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PREDICTIVE: dict[str, Any] = {"policy": "predictive", "min_workers": 1, "max_workers": 6, "slots": 10}
PRIOR_LEAD_S = 40.0
"""What a pool that has seen no start assumes of one, at the least."""


@pytest.fixture
async def harness(tmp_path: Path, livekit: servers.LiveKit, redis_url: str) -> AsyncIterator[Harness]:
    async with dummy_fleet(tmp_path, livekit, redis_url) as made:
        yield made


async def _decisions(harness: Harness) -> list[dict[str, Any]]:
    return list((await harness.get("/v1/decisions?limit=1000"))["decisions"])


async def _running(harness: Harness, least: int) -> bool:
    return len(harness.records()) >= least


async def test_calls_are_served_and_the_pool_grows_and_shrinks(tmp_path: Path) -> None:
    """Real workers, real callers: every one is answered, the pool grows for them and is given up after them."""
    # A promise so loose that a few calls, once they are over, are no reason to keep workers for minutes.
    shape = PoolShape(
        2, min_workers=1, max_workers=3, buffer=0, scale_down_delay_s=0.0, policy="predictive", wait_ratio=0.2
    )
    async with (
        running_fleet(("eu",), shape, tmp_path, workers=WorkerOptions("synthetic")) as fleet,
        ControllerClient(fleet.api_url) as client,
    ):

        async def ticket(_: int) -> CallTicket:
            return await client.create_call(CallRequest(region="eu"), patience_s=60)

        async def ready() -> int:
            return sum(w.state == "ready" for w in (await client.regions())[0].workers)

        async with asyncio.timeout(90):
            while not await ready():
                await asyncio.sleep(0.2)
        swarm = run_swarm([0.0, 0.5, 1.0, 1.5, 6.0, 6.5], ticket, load_utterances(), SwarmSettings(turns=2))
        most, outcomes = 0, []
        async with contextlib.aclosing(swarm):
            async for outcome in swarm:
                outcomes.append(outcome)
                most = max(most, await ready())
        assert [o.answered for o in outcomes] == [True] * 6, fleet.log_tails()
        assert not any(o.cut for o in outcomes)
        assert most >= 2, "four callers at once do not fit one worker"
        # A pool whose calls are over does not want its workers any longer, once the new leader has learned.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(150):
                while len((await client.regions())[0].workers) > 1:
                    await asyncio.sleep(0.5)
        assert len((await client.regions())[0].workers) == 1, (await client.decisions(limit=3), fleet.log_tails())
        decisions = await client.decisions(limit=1000)
        assert any("P(wait) = " in d.detail for d in decisions), [d.detail for d in decisions]
        assert max(d.desired or 0 for d in decisions) >= 2
        assert not fleet.unexpected_exits


async def test_a_campaign_by_the_api_raises_the_pool_before_it_begins(harness: Harness) -> None:
    async with harness.controller(harness.settings(pool=PREDICTIVE)):
        await eventually(lambda: _running(harness, 1))
        quiet = [d["desired"] for d in await _decisions(harness)]
        assert max(quiet) == 1
        body = {"region": "eu", "starts_in_s": 3600, "duration_s": 60, "calls": 50}
        assert await harness.post("/v1/campaigns", body) == 201
        await asyncio.sleep(6.0)  # longer than the controller takes to hear of it
        assert len(harness.records()) == 1, "that is not yet"
        assert await harness.post("/v1/campaigns", {**body, "starts_in_s": 20}) == 201
        # The promise itself: they run before the campaign begins, 20 s from its announcement. By now the pool knows
        # that its workers start within a second, so only those for the first calls need to be there.
        await eventually(lambda: _running(harness, 2), 19.0)
        listed = (await harness.get("/v1/campaigns"))["campaigns"]
        assert [c["starts_in_s"] > 0 for c in listed] == [True, True], "no call of it has come yet"
        assert await harness.post("/v1/campaigns", {**body, "calls": -1}) == 400
        assert await harness.post("/v1/campaigns", {**body, "region": "mars"}) == 400


async def test_a_campaign_in_the_settings_raises_the_pool_before_it_begins(harness: Harness) -> None:
    start = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=25)
    campaign = {"start": start.isoformat(), "duration_s": 60, "calls": 50}
    async with harness.controller(harness.settings(pool={**PREDICTIVE, "campaigns": [campaign]})):
        await eventually(lambda: _running(harness, 3), limit_s=24.0)
        assert dt.datetime.now(dt.UTC) < start


async def test_shadow_decides_and_changes_nothing(harness: Harness) -> None:
    async with harness.controller(harness.settings(pool={**PREDICTIVE, "min_workers": 2, "mode": "shadow"})):
        await eventually(lambda: _decides(harness, 2))
        async with harness.callers("a"):
            await eventually(lambda: _waiting(harness, 1))
            await asyncio.sleep(2.0)  # ten ticks
            assert not harness.records()
            assert not list(harness.state.glob("*.json"))
        assert all(d["shadow"] for d in await _decisions(harness))
        desired = (await _decisions(harness))[0]["desired"]
        metrics = await harness.text("/metrics")
        assert f'voicefleet_scaler_desired_workers{{region="eu"}} {float(desired)}' in metrics
        assert 'voicefleet_workers{region="eu",state="ready"} 0.0' in metrics


async def test_fixed_keeps_the_number_and_says_what_it_would_be(harness: Harness) -> None:
    pool = {**PREDICTIVE, "mode": "fixed", "fixed_workers": 2, "min_workers": 0}
    async with harness.controller(harness.settings(pool=pool)):
        await eventually(lambda: _running(harness, 2))
        async with harness.callers("a", "b", "c", "d", "e"):
            await eventually(lambda: _waiting(harness, 5))
            await asyncio.sleep(1.0)
            assert len(harness.records()) == 2
        (decision, *_) = await _decisions(harness)
        assert (decision["desired"], decision["reason"]) == (2, "fixed")
        assert "2 by the settings; the predictive policy would want" in decision["detail"]
        code, said = await harness.command("explain", "eu", "--limit", "1")
        assert code == 0, said
        assert "  desired 2: 2 by the settings; the predictive policy would want" in said
        code, said = await harness.command("explain", "mars")
        assert (code, "Known: eu." in said) == (2, True), said


async def test_learned_models_outlive_their_leader(harness: Harness) -> None:
    """What the first controller learned of starts is what the second one foretells with, from its first decision on."""
    settings = harness.settings(pool={**PREDICTIVE, "min_workers": 3})
    async with harness.controller(settings):
        await eventually(lambda: _ready(harness, 3))
        assert (await _decisions(harness))[-1]["inputs"]["lead_s"] > PRIOR_LEAD_S
        await asyncio.sleep(1.0)  # a tick that has seen the starts
    kept = load(str(await harness.redis.get(KEYS.models)))
    assert kept is not None
    assert len(kept.starts.seen_s) == 3
    assert all(0 < seen_s < PRIOR_LEAD_S / 2 for seen_s in kept.starts.seen_s)
    async with harness.controller(settings):
        await eventually(lambda: _decides(harness, 3))
        first = (await _decisions(harness))[-1]
        assert first["inputs"]["lead_s"] < PRIOR_LEAD_S / 2, first
    # One that it cannot read is learned anew, and does not keep it from starting.
    await harness.redis.set(KEYS.models, '{"v": 99}')
    async with harness.controller(settings):
        await eventually(lambda: _decides(harness, 3))
        assert (await _decisions(harness))[-1]["inputs"]["lead_s"] > PRIOR_LEAD_S


async def _ready(harness: Harness, count: int) -> bool:
    return len(await harness.ready_workers()) == count


async def _decides(harness: Harness, least: int) -> bool:
    return any((d["desired"] or 0) >= least for d in await _decisions(harness))


async def _waiting(harness: Harness, count: int) -> bool:
    return bool((await harness.view())["waiting"] == count)
