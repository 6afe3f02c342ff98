"""Asks for a number that the caller types on the keypad, then goes on by voice."""

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
    inference,
)
from livekit.agents.beta.workflows import GetDtmfTask
from livekit.agents.llm import function_tool

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("dtmf-agent")


class Support(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are the telephone support of a shop. First ask for the order number.")
        self.order_number: str | None = None

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the caller, say that you will ask for the order number.")

    @function_tool
    async def ask_for_order_number(self, context: RunContext) -> str:
        """Ask the caller for the order number, which is typed on the keypad."""
        while True:
            try:
                result = await GetDtmfTask(
                    num_digits=4,
                    dtmf_input_timeout=1.0,
                    chat_ctx=self.chat_ctx.copy(exclude_instructions=True, exclude_function_call=True),
                    extra_instructions="Ask for the four digits of the order number.",
                )
            except ToolError as error:
                await self.session.generate_reply(instructions=error.message, allow_interruptions=False)
                continue
            break
        self.order_number = result.user_input
        logger.info("the order number has come")
        return "the order number is known"


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(calls={"ask_for_order_number": {}}),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
    )
    await session.start(agent=Support(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
