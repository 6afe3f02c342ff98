"""An office is heard in the background, and a keyboard while the agent thinks."""

import asyncio
import logging

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    AudioConfig,
    BackgroundAudioPlayer,
    BuiltinAudioClip,
    JobContext,
    JobProcess,
    cli,
    function_tool,
    inference,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("background-audio")


class Researcher(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You look things up for people.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user.")

    @function_tool
    async def search(self, query: str) -> str:
        """Called when the user asks for something to be looked up.

        Args:
            query: What to look up
        """
        await asyncio.sleep(1.0)
        return "nothing was found"


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()

    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(calls={"search": {"query": "opening hours"}}),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
    )
    await session.start(Researcher(), room=ctx.room)

    background = BackgroundAudioPlayer(
        ambient_sound=AudioConfig(BuiltinAudioClip.OFFICE_AMBIENCE, volume=0.3),
        thinking_sound=[
            AudioConfig(BuiltinAudioClip.KEYBOARD_TYPING, volume=0.4),
            AudioConfig(BuiltinAudioClip.KEYBOARD_TYPING2, volume=0.4),
        ],
    )
    await background.start(room=ctx.room, agent_session=session)


if __name__ == "__main__":
    cli.run_app(server)
