"""Answers by function tools, one of which takes a while and says so first."""

import asyncio
import logging

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    RunContext,
    ToolError,
    cli,
    function_tool,
    inference,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("tools-agent")

FREE = {"monday": ["10:00", "14:30"], "tuesday": []}


@function_tool
async def current_offers() -> list[str]:
    """Called when the user asks what is on offer."""
    return ["two for one on Mondays"]


class Receptionist(Agent):
    def __init__(self) -> None:
        super().__init__(
            instructions="You are the receptionist of a hair salon. Use the tools; never invent a time.",
            tools=[current_offers],
        )

    @function_tool
    async def find_times(self, context: RunContext, day: str) -> str:
        """Called when the user asks for an appointment.

        Args:
            day: The day of the week, in lower case.
        """
        if day not in FREE:
            raise ToolError("we are closed on that day")
        return f"free times on {day}: {', '.join(FREE[day]) or 'none'}"

    @function_tool
    async def book(self, context: RunContext, day: str, time: str) -> str:
        """Called when the user has chosen a time.

        Args:
            day: The day of the week, in lower case.
            time: The time, such as 14:30.
        """
        context.session.say("One moment, I am booking that for you.")
        await asyncio.sleep(0.5)
        logger.info("booked %s %s", day, time)
        return f"booked for {day} at {time}"


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(
            calls={
                "find_times": {"day": "monday"},
                "current_offers": {},
                "book": {"day": "monday", "time": "14:30"},
            }
        ),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        max_tool_steps=4,
    )
    await session.start(agent=Receptionist(), room=ctx.room)
    await session.generate_reply(instructions="Greet the user and ask for the day that they would like to come.")


if __name__ == "__main__":
    cli.run_app(server)
