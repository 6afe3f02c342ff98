"""The command as its users start it: wrong input, wrong surroundings, and one real call."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from livekit import api
from rich.console import Console

from support.echo_agent import EchoAgent, token
from voicefleet.callers.outcome import CallOutcome
from voicefleet.contract.api import CallTicket
from voicefleet.loadtest import command_call
from voicefleet.loadtest.command_call import CallOptions
from voicefleet.runtime.supervisor.guard import TAG_VARIABLE, tagged_pids
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

LIMIT_S = 60.0


@dataclass(frozen=True)
class Ended:
    code: int | None
    out: str
    err: str


async def voicefleet(*arguments: str, cwd: Path, **env: str) -> Ended:
    """Run the command to its end, marked so that what it leaves behind is found."""
    mark = f"cli-{os.urandom(6).hex()}"
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("VOICEFLEET_", "LIVEKIT_"))}
    kept = {k: v for k, v in os.environ.items() if k in ("VOICEFLEET_CACHE", "VOICEFLEET_LIVEKIT_SERVER")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "voicefleet.cli.app",
        *arguments,
        cwd=cwd,
        env={**clean, **kept, TAG_VARIABLE: mark, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert tagged_pids(mark) == set(), "processes are left behind"
    return Ended(process.returncode, out.decode(), err.decode())


NOWHERE = "http://127.0.0.1:9"
BAD = [
    pytest.param(["demo", "--calls", "0"], ["--calls = 0", "between 1 and 500"], id="demo calls"),
    pytest.param(["demo", "--rate", "-1"], ["--rate = -1.0"], id="demo rate"),
    pytest.param(["demo", "--rate", "nan"], ["--rate = nan"], id="demo rate nan"),
    pytest.param(["demo", "--turns", "0"], ["--turns = 0"], id="demo turns"),
    pytest.param(["demo", "--slots", "0"], ["--slots = 0"], id="demo slots"),
    pytest.param(["demo", "--pipeline", "nope"], ["--pipeline = 'nope'", "local or synthetic"], id="demo pipeline"),
    pytest.param(["demo", "--json", "none/x.json"], ["--json = 'none/x.json'"], id="demo json"),
    pytest.param(["call"], ["--controller", "VOICEFLEET_CONTROLLER_URL"], id="call nowhere"),
    pytest.param(["call", "--controller", "nonsense"], ["--controller = 'nonsense'"], id="call address"),
    pytest.param(["call", "--controller", NOWHERE], [NOWHERE, "did not answer"], id="call unreachable"),
    pytest.param(["call", "--controller", NOWHERE, "--turns", "13"], ["--turns = 13"], id="call turns"),
    pytest.param(["call", "--livekit-url", "ws://127.0.0.1:9"], ["LIVEKIT_API_KEY"], id="call no key"),
    pytest.param(["loadtest", "--controller", NOWHERE], [NOWHERE, "did not answer"], id="loadtest unreachable"),
    pytest.param(["loadtest", "--controller", NOWHERE, "--calls", "0"], ["--calls = 0"], id="loadtest calls"),
    pytest.param(["controller", "--config", "none.yaml"], ["none.yaml"], id="controller file"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD)
async def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], says: list[str], tmp_path: Path) -> None:
    ended = await voicefleet(*arguments, cwd=tmp_path)
    assert ended.code == 2, ended
    assert len(ended.err.strip().splitlines()) == 1, ended.err
    assert "Traceback" not in ended.err
    for part in says:
        assert part in ended.err
    assert list(tmp_path.iterdir()) == [], "nothing is written"


async def test_a_livekit_server_that_is_not_there_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-such-server")
    ended = await voicefleet("demo", "--pipeline", "synthetic", cwd=tmp_path, VOICEFLEET_LIVEKIT_SERVER=missing)
    assert ended.code == 2, ended
    assert missing in ended.err
    assert "VOICEFLEET_LIVEKIT_SERVER" in ended.err
    assert len(ended.err.strip().splitlines()) == 1, ended.err


def keys(livekit: LiveKit, secret: str | None = None) -> dict[str, str]:
    return {"LIVEKIT_API_KEY": livekit.api_key, "LIVEKIT_API_SECRET": secret or livekit.api_secret}


async def test_a_livekit_that_refuses_our_token_is_bad_surroundings(livekit: LiveKit, tmp_path: Path) -> None:
    ended = await voicefleet("call", "--livekit-url", livekit.url, cwd=tmp_path, **keys(livekit, "x" * 40))
    assert ended.code == 2, ended
    assert livekit.url in ended.err
    assert "Traceback" not in ended.err
    assert "x" * 40 not in ended.err + ended.out


def test_a_call_with_our_own_token_is_told_and_judged(
    livekit: LiveKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in keys(livekit).items():
        monkeypatch.setenv(name, value)
    hold, make = command_call._hold, command_call._ticket
    tickets: list[CallTicket] = []

    async def ticket_known_before(options: CallOptions) -> CallTicket:
        return tickets[0]

    async def hold_with_an_agent(options: CallOptions, console: Console) -> CallOutcome:
        tickets.append(await make(options))
        jwt = token(livekit.api_key, livekit.api_secret, tickets[0].room, "agent", agent=True)
        agent = EchoAgent(livekit.url, jwt)
        await agent.start()
        try:
            return await hold(options, console)
        finally:
            await agent.aclose()

    monkeypatch.setattr(command_call, "_ticket", ticket_known_before)
    monkeypatch.setattr(command_call, "_hold", hold_with_an_agent)
    path = tmp_path / "call.json"
    code = command_call.call(CallOptions(livekit_url=livekit.url, turns=1), json_path=path)
    text = capsys.readouterr().out
    assert code == 0, text
    for part in ("joined after", "agent there after", "greeting after", "asks:", "TTFA", "hung up (done)", "good call"):
        assert part in text
    data = json.loads(path.read_text())
    assert data["faults"] == []
    assert data["turns"][0]["answered"] is True
    assert livekit.api_secret not in text + path.read_text()


async def test_ctrl_c_hangs_up(livekit: LiveKit, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-m", "voicefleet.cli.app", "call", "--livekit-url", livekit.url),
        cwd=tmp_path,
        env={**os.environ, **keys(livekit)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            while b"joined after" not in await process.stdout.readline():
                assert process.returncode is None
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    async with api.LiveKitAPI(livekit.http_url, livekit.api_key, livekit.api_secret) as lk:
        left = []
        for room in (await lk.room.list_rooms(api.ListRoomsRequest())).rooms:
            # Not the room's own count of participants: it lags by seconds.
            found = await lk.room.list_participants(api.ListParticipantsRequest(room=room.name))
            left += [participant.identity for participant in found.participants]
    assert left == []


OWN = """
default: a
tiers:
  a:
    stt: {plugin: "speech_of_ours:OurSTT", args: {lang: de}}
    llm: {plugin: "speech_of_ours:OurLM"}
"""


@pytest.mark.parametrize("command", ["check", "worker"])
async def test_a_plugin_of_the_teams_own_is_found_beside_its_agent(command: str, tmp_path: Path) -> None:
    """What is wrong with the second one tells that the first was found; the agent itself is elsewhere than we are."""
    team, away = tmp_path / "team", tmp_path / "away"
    team.mkdir()
    away.mkdir()
    (team / "speech_of_ours.py").write_text("class OurSTT:\n    def __init__(self, lang): ...\nclass OurLLM: ...\n")
    (team / "agent.py").write_text("async def entrypoint(ctx): ...\n")
    (team / "tiers.yaml").write_text(OWN)
    arguments = ["--agent", f"{team / 'agent.py'}:entrypoint", "--tiers", str(team / "tiers.yaml")]
    ended = await voicefleet(command, *arguments, cwd=away)
    assert ended.code == 2, ended
    assert "tiers.a.llm.plugin = 'speech_of_ours:OurLM'" in ended.err
    assert "Did you mean speech_of_ours:OurLLM?" in ended.err
    assert "stt" not in ended.err


async def test_a_variable_that_is_not_set_is_not_shown_as_if_it_were(tmp_path: Path) -> None:
    ended = await voicefleet("worker", "--tiers", "synthetic", cwd=tmp_path, LIVEKIT_API_SECRET="s" * 32)
    assert ended.code == 2, ended
    assert "is not set, and its default is" in ended.err
    assert "VOICEFLEET_REDIS_URL = " not in ended.err
    assert "LIVEKIT_URL = " not in ended.err
