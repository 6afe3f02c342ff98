"""`voicefleet check` as a team runs it: on agents as they are, and on what is none."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from examples.catalogue import FOLDER

pytestmark = pytest.mark.integration


async def check(folder: Path, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "voicefleet.cli.app", "check", *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60.0):
        text, _ = await process.communicate()
    return process.returncode or 0, text.decode()


async def test_what_a_tier_does_to_an_agent_is_told(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    target = f"{FOLDER / 'turn_detection.py'}:server"
    (tmp_path / "tiers.yaml").write_text(
        "default: a\ntiers: {a: {tts: {plugin: 'voicefleet.local.synthetic:SyntheticTTS'}}}\n"
    )
    code, text = await check(tmp_path, "--agent", target, "--tiers", "tiers.yaml", "--json", str(result))
    assert code == 0, text
    made: dict[str, Any] = json.loads(result.read_text())
    assert {name: stage["whose"] for name, stage in made["stages"].items()} == {
        "stt": "team",
        "llm": "team",
        "tts": "tier",
        "vad": "team",
    }
    assert made["turns"] == "by the agent's session: WordTurnDetector (last-word)"
    assert made["hooks"]["setup_fnc"]
    assert not made["hooks"]["on_request"]


TIERS = """
default: a
tiers: {a: {stt: {plugin: "voicefleet.local.synthetic:SyntheticSTT", args: {latency_s: {env: NOT_SET_HERE}}}}}
"""


async def test_tiers_are_checked_without_an_agent_and_variables_may_come_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "tiers.yaml").write_text(TIERS)
    code, text = await check(tmp_path, "--tiers", "tiers.yaml")
    assert code == 2
    assert "tiers.a.stt.args.latency_s: the environment variable NOT_SET_HERE is not set" in text
    code, text = await check(tmp_path, "--tiers", "tiers.yaml", "--any-variable")
    assert code == 0, text
    assert "SyntheticSTT of the tier" in text


ENTRYPOINTS = """
    import asyncio
    from livekit.agents import Agent, AgentServer, AgentSession, JobContext

    async def hopeless(ctx: JobContext) -> None:
        raise ValueError("no key for the model")

    async def forgetful(ctx: JobContext) -> None:
        await ctx.connect()

    async def mine(ctx: JobContext) -> None:
        await ctx.connect()
        caller = await ctx.wait_for_participant()
        ctx.room.local_participant.register_rpc_method("hello", forgetful)
        await AgentSession(vad=None).start(Agent(instructions=caller.identity), room=ctx.room)
        raise AssertionError("run past its start")

    server = AgentServer()
    number = 3
"""


async def test_an_entrypoint_is_run_up_to_its_session_and_no_further(tmp_path: Path) -> None:
    (tmp_path / "team.py").write_text(dedent(ENTRYPOINTS))
    cases = {
        "mine": (0, "Calls would be served."),
        "hopeless": (1, "raised ValueError: no key for the model before its session started"),
        "forgetful": (1, "the entrypoint returned without starting a session"),
        "server": (2, "is an AgentServer with no session"),
        "number": (2, "--agent = 'team:number': is a int"),
    }
    for name, (expected, words) in cases.items():
        code, text = await check(tmp_path, "--agent", f"team:{name}")
        assert (code, words in text) == (expected, True), text
