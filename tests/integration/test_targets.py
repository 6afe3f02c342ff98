"""A team's own file on a real worker and a real livekit-server, in each form of TARGET; it knows nothing of us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from livekit import api

from support.eventually import eventually
from support.worker_process import worker
from voicefleet.callers.caller import Caller
from voicefleet.contract.api import CallTicket
from voicefleet.speech.clips import load_utterances
from voicefleet.stack.servers import LiveKit

pytestmark = pytest.mark.integration

TEAM = """
import json, pathlib
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, JobRequest, inference
from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS  # in place of a vendor's

server = AgentServer()
told = pathlib.Path(__file__).with_name("told")

def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()

server.setup_fnc = prewarm

async def on_request(request: JobRequest) -> None:
    await request.accept(name="Ann of the desk", attributes={"desk": "7"})

async def on_session_end(ctx: JobContext) -> None:
    told.write_text(json.dumps([ctx.room.name, ctx.local_participant_identity, len(ctx.primary_session.history.items)]))

@server.rtc_session(on_request=on_request, on_session_end=on_session_end)
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=SyntheticSTT(), llm=SyntheticLLM(), tts=SyntheticTTS(), vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "vad"}, userdata={"table": 4},
    )
    await session.start(Agent(instructions="Help."), room=ctx.room)
    await session.say("Hello, this is the desk.")

def create(call):
    agent = Agent(instructions="Help.", llm=SyntheticLLM())
    agent.on_enter = lambda: greet(agent)
    return agent, {"userdata": {"table": 4}, "stt": SyntheticSTT(), "tts": SyntheticTTS()}

async def greet(agent):
    assert agent.session.userdata == {"table": 4}
    agent.session.say("Hello, this is the desk.")
"""


@pytest.mark.parametrize(
    ("target", "tiers"),
    [("team.py:server", ""), ("team.py:entrypoint", "synthetic"), ("team.py:create", "own")],
)
async def test_a_team_s_own_file_answers_a_call(
    target: str, tiers: str, livekit: LiveKit, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "team.py"
    file.write_text(TEAM)
    entry = target.replace("team.py", str(file))
    if target.endswith("entrypoint"):
        file.write_text(TEAM.replace('vad=ctx.proc.userdata["vad"]', "vad=inference.VAD()"))
    room = f"desk-{target.rpartition(':')[2]}"  # LiveKit dispatches when a room is made, so each has its own
    token = (
        api.AccessToken(livekit.api_key, livekit.api_secret)
        .with_identity("ann")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_room_config(api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="voicefleet")]))
        .to_jwt()
    )
    ticket = CallTicket(url=livekit.url, token=token, room=room, region="test")
    async with worker(livekit, redis_url, tmp_path, slots=1, VOICEFLEET_AGENT=entry, VOICEFLEET_TIERS=tiers) as w:
        outcome = await Caller("ann", ticket, load_utterances()[:2]).run()
        assert outcome.greeting_s is not None, w.child.log_tail()
        assert [turn.ttfa_s is not None for turn in outcome.turns] == [True, True], w.child.log_tail()
        await w.until(lambda r: r.free == 1)
        if target.endswith("server"):
            await eventually(lambda: (tmp_path / "told").exists())
            told, identity, items = json.loads((tmp_path / "told").read_text())
            assert told == room
            assert identity.startswith("agent-AJ_")
            assert items >= 5
