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
from voicefleet.contract.errors import UnreachableError
from voicefleet.runtime.http.api_client import ControllerClient
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.fleet import Fleet, PoolShape, WorkerOptions, running_fleet

pytestmark = pytest.mark.integration

SHAPE = PoolShape(slots=4, min_workers=1, max_workers=1, buffer=1, scale_down_delay_s=60)
OBJECTIVES = {
    "error_ratio": 0.1,
    "ttfa_p95_s": 5.0,
    "silent_ratio": 0.1,
    "crash_ratio": 0.01,
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


def tiers(path: Path, **llm: str) -> str:
    """A tiers file; `llm`: more arguments of the LLM."""
    stage = {**PLUGINS["llm"], "args": {**PLUGINS["llm"]["args"], **llm}}
    tier = {**PLUGINS, "llm": stage, "vad": {"min_silence_s": 0.2}, "endpointing": {"min_delay_s": 0.05}}
    path.write_text(yaml.safe_dump({"default": "synthetic", "tiers": {"synthetic": tier}}))
    return str(path)


@dataclass(frozen=True, slots=True)
class World:
    """A fleet whose agents each have a canary: that of `llm` gets nothing from its LLM, that of `broken` raises, that
    of `good` is as good as the version beside it."""

    fleet: Fleet
    client: ControllerClient

    async def canary(self, agent: str) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.fleet.api_url}/v1/canaries") as answer:
            found = (await answer.json())["canaries"]
        return next(dict(one) for one in found if one["agent"] == agent)

    async def until(self, agent: str, state: str, limit_s: float = 40.0) -> dict[str, Any]:
        until_s = asyncio.get_running_loop().time() + limit_s
        while (found := await self.canary(agent))["state"] != state:
            assert asyncio.get_running_loop().time() < until_s, f"not {state}: {found}"
            await asyncio.sleep(0.2)
        return found

    async def tickets(self, agent: str, version: str, count: int) -> list[CallTicket]:
        """Tickets of calls that begin with that version, once it has a worker; others are given back."""
        found: list[CallTicket] = []
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:
            while not await self.ready(f"eu-{agent}-{version}"):
                await asyncio.sleep(0.2)
            while len(found) < count:
                ticket = await self.client.create_call(CallRequest(agent=agent), patience_s=20.0)
                assert (ticket.region, ticket.agent) == ("eu", agent)
                if ticket.version == version:
                    found.append(ticket)
                else:
                    async with http.delete(f"{self.fleet.api_url}/v1/calls/{ticket.room}") as answer:
                        assert answer.status == 204
        return found

    async def ready(self, pool: str) -> bool:
        return any(view.region == pool and view.ready for view in await self.client.regions())


@asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "faults.json").write_text(json.dumps({"llm": "refuse"}))
    (tmp_path / "broken.py").write_text(BROKEN_AGENT)
    good = tiers(tmp_path / "good.yaml")
    bad = tiers(tmp_path / "bad.yaml", faults_file=str(tmp_path / "faults.json"))
    canaries: dict[str, dict[str, str]] = {
        "llm": {"VOICEFLEET_TIERS": bad},
        "broken": {"VOICEFLEET_AGENT": f"{tmp_path / 'broken.py'}:entrypoint"},
        "good": {},
    }
    agents = {
        name: {"versions": {"v1": {"weight": 50}, "v2": {"weight": 50, "env": env, "objectives": OBJECTIVES}}}
        for name, env in canaries.items()
    }
    workers = WorkerOptions("", agent="", env={"VOICEFLEET_TIERS": good, "VOICEFLEET_IDLE_PROCESSES": "1"})
    async with (
        running_fleet(("eu",), SHAPE, tmp_path, workers=workers, overrides={"agents": agents}) as fleet,
        ControllerClient(fleet.api_url) as client,
    ):
        yield World(fleet, client)


async def serve(w: World, agent: str, turns: int) -> CallOutcome:
    """A call that `v2` served. LiveKit may offer a call late on a busy machine: it goes on with `v1` then, at once, and
    tells nothing of `v2`; at most three such before it, each heard all the same."""
    for _ in range(4):
        (ticket,) = await w.tickets(agent, "v2", 1)
        (outcome,) = await calls([ticket], turns)
        found = await w.client.call(ticket.room)
        assert found is not None
        if found.region == f"eu-{agent}-v2":
            return outcome
    raise AssertionError(f"v2 of {agent} served none of 4 calls")


async def calls(tickets: Sequence[CallTicket], turns: int) -> list[CallOutcome]:
    """Those calls, held to their ends. None of their callers is left in silence, none is cut off."""
    shortest = sorted((u for u in load_utterances() if u.voice == "slt"), key=lambda u: u.duration_s)[:turns]
    outcomes = await asyncio.gather(*(Caller(t.room, t, shortest).run() for t in tickets))
    for outcome in outcomes:
        assert (outcome.error, outcome.silent, outcome.cut, outcome.double_speech) == (None, False, False, 0), outcome
    return list(outcomes)


async def test_bad_versions_are_rolled_back_and_a_good_one_is_promoted(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        with pytest.raises(UnreachableError, match="no agent desk") as refused:
            await w.client.create_call(CallRequest(agent="desk"))
        assert "Known: broken, good, llm." in str(refused.value)
        for version in ("v1", "v2"):
            await w.tickets("good", version, 1)  # its worker is there, and tells of its tiers
        with pytest.raises(UnreachableError, match="no tier fast") as refused:
            await w.client.create_call(CallRequest(agent="good", tier="fast"))
        assert "Known: synthetic." in str(refused.value)

        # An agent that raises: its callers get one that does not, in the same call.
        # One after the other: LiveKit may offer a call late, and one that was never offered tells nothing.
        for _ in range(8):
            (outcome,) = await calls(await w.tickets("broken", "v2", 1), turns=1)
            assert (outcome.turns[0].answered, outcome.turns[0].apology) == (True, False), outcome
            if (await w.canary("broken"))["state"] == "rolled_back":
                break
        broken = await w.until("broken", "rolled_back")
        assert "calls whose agent was lost" in broken["reason"]
        assert broken["weight"] == 0

        # What was counted is in Redis: a controller that is killed decides by it when it is back.
        first = await serve(w, "llm", turns=1)
        assert first.turns[0].apology, first
        await w.fleet.controller.stop(kill=True)
        await w.fleet.controller.start()
        for outcome in await calls(await w.tickets("llm", "v2", 2), turns=4):
            last = outcome.turns[-1]
            assert (last.answered, last.apology) == (True, False), outcome
        llm = await w.until("llm", "rolled_back")
        assert "turns without an answer" in llm["reason"]
        assert (await w.canary("broken"))["decided_at"] == broken["decided_at"], "a verdict is for good"

        for _ in range(2):
            await serve(w, "good", turns=2)
        assert (await w.until("good", "promoted"))["weight"] == 100
        assert {t.version for t in [(await w.tickets("good", "v2", 1))[0] for _ in range(2)]} == {"v2"}
