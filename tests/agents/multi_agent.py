"""Two agents of one call: the first learns who calls, the second goes on. They share typed userdata."""

import logging
from dataclasses import dataclass

from livekit import api
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ChatContext,
    JobContext,
    JobProcess,
    RunContext,
    cli,
    function_tool,
    get_job_context,
    inference,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("multi-agent")


@dataclass
class Guest:
    name: str | None = None
    party: int | None = None


class Welcome(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You welcome guests of a restaurant. Learn the name and how many will come.")

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Welcome the guest and ask for the name.")

    @function_tool
    async def guest_known(self, context: RunContext[Guest], name: str, party: int) -> tuple[Agent, str]:
        """Called when the guest's name and the size of the party are known.

        Args:
            name: The name of the guest
            party: How many will come
        """
        context.userdata.name = name
        context.userdata.party = party
        logger.info("on to the reservation")
        return Reservation(name, party, chat_ctx=self.chat_ctx), "Let us find you a table."


class Reservation(Agent):
    def __init__(self, name: str, party: int, *, chat_ctx: ChatContext | None = None) -> None:
        super().__init__(
            instructions=f"You reserve a table for {name}, {party} persons.",
            chat_ctx=chat_ctx,
            tts=SyntheticTTS(chars_per_s=18.0),
        )

    async def on_enter(self) -> None:
        self.session.generate_reply()

    @function_tool
    async def reserve(self, context: RunContext[Guest], hour: int) -> str:
        """Called when the guest has chosen an hour.

        Args:
            hour: The hour, 17 to 22
        """
        return f"reserved for {context.userdata.name}, {context.userdata.party} persons, at {hour}"

    @function_tool
    async def all_done(self, context: RunContext[Guest]) -> None:
        """Called when the guest says goodbye: ends the call."""
        self.session.interrupt()
        await self.session.generate_reply(instructions="say goodbye", allow_interruptions=False)
        job = get_job_context()
        await job.api.room.delete_room(api.DeleteRoomRequest(room=job.room.name))


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession[Guest](
        stt=SyntheticSTT(),
        llm=SyntheticLLM(calls={"guest_known": {"name": "Ada", "party": 4}, "reserve": {"hour": 19}}),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        userdata=Guest(),
    )
    await session.start(agent=Welcome(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
