"""Tools from a server that speaks the Model Context Protocol, here a program of our own over stdin and stdout."""

import logging
import sys
from pathlib import Path

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli, inference, mcp

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("mcp-agent")


class Traveller(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are a travel assistant. Use the tool get_weather for the weather.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user and introduce yourself.")


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(calls={"get_weather": {"city": "Lisbon"}, "get_time": {"city": "Lisbon"}}),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        tools=[
            mcp.MCPToolset(
                id="travel",
                mcp_server=mcp.MCPServerStdio(
                    command=sys.executable,
                    args=[str(Path(__file__).with_name("mcp_server.py"))],
                    client_session_timeout_seconds=30,
                ),
            )
        ],
    )
    await session.start(agent=Traveller(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
