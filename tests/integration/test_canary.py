"""Canaries on a real fleet: a bad version is rolled back by its own figures, a good one promoted; callers are heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from voicefleet.callers.caller import Caller
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallRequest, CallTicket
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet

pytestmark = pytest.mark.integration

SHAPE = PoolShape(slots=4, min_workers=1, max_workers=2, buffer=1, scale_down_delay_s=60)
OBJECTIVES = {
    "error_ratio": 0.1,
    "ttfa_p95_s": 5.0,
    "silent_ratio": 0.1,
    "crash_ratio": 0.1,
    "min_calls": 2,
    "duration_s": 5,
}
PLUGINS: dict[str, dict[str, Any]] = {
    "stt": {"plugin": "voicefleet.local.synthetic:SyntheticSTT", "args": {"latency_s": 0.02}},
    "llm": {
        "plugin": "voicefleet.local.synthetic:SyntheticLLM",
        "args": {"ttft_s": 0.05, "replies": ["It is so, yes."]},
    },
    "tts": {"plugin": "voicefleet.local.synthetic:SyntheticTTS", "args": {"ttfb_s": 0.02}},
}
BROKEN_AGENT = """
async def entrypoint(ctx):
    raise RuntimeError("this version is broken")
"""


def tiers(path: Path, faults: Path) -> Path:
    llm = {**PLUGINS["llm"], "args": {**PLUGINS["llm"]["args"], "faults_file": str(faults)}}
    tier = {**PLUGINS, "llm": llm, "vad": {"min_silence_s": 0.2}, "endpointing": {"min_delay_s": 0.05}}
    path.write_text(yaml.safe_dump({"default": "synthetic", "tiers": {"synthetic": tier}}))
    return path


@dataclass(frozen=True, slots=True)
class World:
    fleet: Fleet
    client: ControllerClient

    async def canary(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.fleet.api_url}/v1/canaries") as answer:
            (found,) = (await answer.json())["canaries"]
            return dict(found)

    async def until(self, state: str, limit_s: float = 60.0) -> dict[str, Any]:
        async with asyncio.timeout(limit_s):
            while (found := await self.canary())["state"] != state:
                await asyncio.sleep(0.2)
        return found

    async def tickets(self, version: str, count: int) -> list[CallTicket]:
        """Tickets that begin with that version; those of the other are left unused."""
        found: list[CallTicket] = []
        async with asyncio.timeout(60):
            while len(found) < count:
                ticket = await self.client.create_call(CallRequest(agent="sales"), patience_s=20.0)
                if ticket.version == version:
                    found.append(ticket)
        return found


@asynccontextmanager
async def world(tmp_path: Path, *, env: dict[str, str], **canary: Any) -> AsyncIterator[World]:
    faults = tmp_path / "faults.json"
    good = tiers(tmp_path / "good.yaml", tmp_path / "none.json")
    tiers(tmp_path / "bad.yaml", faults)
    faults.write_text(json.dumps({"llm": "refuse"}))
    (tmp_path / "broken_agent.py").write_text(BROKEN_AGENT)
    agents = {
        "support": {},
        "sales": {
            "versions": {
                "v1": {"weight": 50},
                "v2": {"weight": 50, "env": env, "objectives": OBJECTIVES, **canary},
            }
        },
    }
    overrides = {"agents": agents, "default_agent": "support"}
    workers = WorkerOptions("", env={"VOICEFLEET_TIERS": str(good)})
    async with (
        running_fleet(("eu",), SHAPE, tmp_path, workers=workers, overrides=overrides) as fleet,
        ControllerClient(fleet.api_url) as client,
    ):
        yield World(fleet, client)


async def calls(tickets: Sequence[CallTicket], turns: int = 3) -> list[CallOutcome]:
    shortest = sorted((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)[:turns]
    return list(await asyncio.gather(*(Caller(t.room, t, shortest).run() for t in tickets)))


def check_heard(outcomes: Sequence[CallOutcome]) -> None:
    for outcome in outcomes:
        assert outcome.error is None, outcome
        assert not outcome.silent, outcome


async def test_a_version_whose_llm_fails_is_rolled_back_and_its_calls_go_on(tmp_path: Path) -> None:
    async with world(tmp_path, env={"VOICEFLEET_TIERS": str(tmp_path / "bad.yaml")}) as w:
        await w.until("running")
        outcomes = await calls(await w.tickets("v2", 2), turns=4)
        found = await w.until("rolled_back")
        print(found, *outcomes, sep="\n")
        check_heard(outcomes)
        assert found["weight"] == 0
        assert all(outcome.turns[-1].answered for outcome in outcomes)
