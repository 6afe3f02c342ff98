"""Speech to speech: one realtime model hears, decides when the caller has finished, and speaks. No STT, no TTS."""

import logging

from livekit.agents import Agent, AgentServer, AgentSession, JobContext, cli, function_tool, room_io

from support.fake_realtime import FakeRealtimeModel

logger = logging.getLogger("realtime-agent")


class Concierge(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are the concierge of a hotel. Answer in one sentence.")

    @function_tool
    async def order_taxi(self, minutes: int) -> str:
        """Called when the user wants a taxi.

        Args:
            minutes: From now
        """
        return f"a taxi comes in {minutes} minutes"


server = AgentServer()


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(llm=FakeRealtimeModel())
    await session.start(
        agent=Concierge(),
        room=ctx.room,
        room_options=room_io.RoomOptions(audio_input=room_io.AudioInputOptions()),
    )
    await session.generate_reply(instructions="Greet the user and offer your assistance.")


if __name__ == "__main__":
    cli.run_app(server)
