"""A worker of a team's own, outside the fleet: plain livekit-agents under the fleet's agent name, `python -m` this.

It knows nothing of claims, and takes whatever LiveKit offers it.
"""

from __future__ import annotations

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, inference

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

server = AgentServer(load_fnc=lambda _: 0.0, num_idle_processes=2, port=0)


@server.rtc_session(agent_name="voicefleet")
async def entrypoint(ctx: JobContext) -> None:
    """Serve one call."""
    session: AgentSession[None] = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(),
        tts=SyntheticTTS(),
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
    )
    await session.start(Agent(instructions="Answer in one sentence."), room=ctx.room)
    await session.say("Hello, this is the other desk.")


if __name__ == "__main__":
    cli.run_app(server)
