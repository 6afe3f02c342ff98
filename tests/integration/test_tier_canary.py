"""A canary of tiers on a real fleet: the tier that fails its callers is rolled back by them, and gets no more calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from livekit import api

from voicefleet.callers.caller import Caller
from voicefleet.contract.api import CallRequest, CanaryView
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import PoolShape, WorkerOptions, running_fleet
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

SHAPE = PoolShape(slots=5, min_workers=1, max_workers=1, buffer=1, scale_down_delay_s=60)
AT_ONCE, MOST_CALLS = 4, 48
"""Fewer at once than slots: a caller who waits says nothing of a tier."""


def tiers_file(folder: Path) -> str:
    """Two tiers that differ in their LLM alone: that of `quick` refuses every request."""
    (folder / "faults.json").write_text(json.dumps({"llm": "refuse"}))
    module, llm = "voicefleet.local.synthetic", {"ttft_s": 0.05, "replies": ["It is so, yes."]}

    def tier(**more: str) -> dict[str, Any]:
        return {
            "stt": {"plugin": f"{module}:SyntheticSTT", "args": {"latency_s": 0.02}},
            "llm": {"plugin": f"{module}:SyntheticLLM", "args": {**llm, **more}},
            "tts": {"plugin": f"{module}:SyntheticTTS", "args": {"ttfb_s": 0.02}},
            "apology": {"after_s": 1.0},
        }

    tiers = {"steady": tier(), "quick": tier(faults_file=str(folder / "faults.json"))}
    (folder / "tiers.yaml").write_text(yaml.safe_dump({"default": "steady", "tiers": tiers}))
    return str(folder / "tiers.yaml")


def livekit_api(server: LiveKit) -> api.LiveKitAPI:
    return api.LiveKitAPI(server.http_url, server.api_key, server.api_secret)


async def test_a_tier_that_fails_its_callers_is_rolled_back_by_their_calls(tmp_path: Path) -> None:
    workers = WorkerOptions("", agent="", env={"VOICEFLEET_TIERS": tiers_file(tmp_path)})
    utterance = min((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)
    canary_of_tiers = {"tier": {"quick": 50, "steady": 50}, "tier_canary": {"tried": "quick", "error_ratio": 0.2}}
    async with (
        running_fleet(("eu",), SHAPE, tmp_path, workers=workers, overrides=canary_of_tiers) as fleet,
        ControllerClient(fleet.api_url) as client,
        aiohttp.ClientSession() as http,
        livekit_api(fleet.livekit["eu"]) as livekit,
    ):

        async def call() -> str:
            ticket = await client.create_call(CallRequest(), patience_s=30.0)
            outcome = await Caller(ticket.room, ticket, [utterance]).run()
            # On a machine that stands still a call may be cut, and its tier pays for it: other tests are about that.
            assert outcome.error is None, outcome
            # Else the call is over, and tells of its tier, only when the caller can no more be back.
            await livekit.room.delete_room(api.DeleteRoomRequest(room=ticket.room))
            return ticket.room

        async def canary() -> CanaryView:
            (found,) = await client.canaries()
            return found

        async with asyncio.timeout(60):
            while (await canary()).state != "running" or not any(view.ready for view in await client.regions()):
                await asyncio.sleep(0.2)

        async def keep_calling() -> None:
            for _ in range(MOST_CALLS // AT_ONCE):
                if (await canary()).state == "running":
                    await call()

        await asyncio.gather(*(keep_calling() for _ in range(AT_ONCE)))
        seen = await canary()
        assert (seen.kind, seen.version, seen.state, seen.weight) == ("tier", "quick", "rolled_back", 0), seen
        assert seen.comparison is not None
        assert seen.comparison.high <= 0
        await asyncio.sleep(1.5)  # the jobs are told once a second
        rooms = await asyncio.gather(*(call() for _ in range(3)))  # all three by chance: one of eight
        for room in rooms:
            async with http.get(f"{fleet.api_url}/v1/calls/{room}") as answer:
                assert (await answer.json())["tier"] == "steady"
        async with http.get(f"{fleet.api_url}/metrics") as answer:
            scraped = await answer.text()
        labels = 'region="eu",state="rolled_back",version="quick"'
        assert f"voicefleet_canary_state{{{labels}}} 1.0" in scraped
