"""A survey in steps, each an `AgentTask`; the answers are written down at the end."""

import logging
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import Agent, AgentServer, AgentSession, AgentTask, JobContext, JobProcess, cli, inference
from livekit.agents.beta.workflows import TaskGroup
from livekit.agents.llm import function_tool

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("survey")


@dataclass
class Answers:
    results: dict[str, Any] = field(default_factory=dict)


class ConsentTask(AgentTask[bool]):
    def __init__(self) -> None:
        super().__init__(instructions="Ask whether the call may be used to improve the service.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Ask for consent.", tool_choice="none")

    @function_tool
    async def consent_given(self) -> None:
        """Called when the user consents."""
        self.complete(True)


class RatingTask(AgentTask[int]):
    def __init__(self) -> None:
        super().__init__(instructions="Ask how the visit was, from one to five.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Ask for the rating.", tool_choice="none")

    @function_tool
    async def record_rating(self, stars: int) -> None:
        """Called when the user has rated the visit.

        Args:
            stars: From one to five
        """
        self.complete(stars)


class Survey(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You make a survey about the user's last visit, then answer questions about it.")

    async def on_enter(self) -> None:
        await self.session.say("Hello, this is the survey about your visit.")
        group = TaskGroup(summarize_chat_ctx=False)
        group.add(ConsentTask, id="consent", description="Asks for consent")
        group.add(RatingTask, id="rating", description="Asks for a rating")
        done = await group
        self.session.userdata.results = done.task_results
        logger.info("survey complete, %d answers", len(done.task_results))
        await self.session.generate_reply(instructions="Thank the user, and ask whether there is anything else.")


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession[Answers](
        userdata=Answers(),
        stt=SyntheticSTT(),
        llm=SyntheticLLM(calls={"consent_given": {}, "record_rating": {"stars": 5}}),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
    )

    async def log_answers() -> None:
        logger.info("answers written: %d", len(session.userdata.results))

    ctx.add_shutdown_callback(log_answers)

    await session.start(agent=Survey(), room=ctx.room)
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
