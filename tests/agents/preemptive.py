"""Begins its answer before it is sure that the caller has finished, and resumes after a false interruption."""

import logging

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    AgentStateChangedEvent,
    ConversationItemAddedEvent,
    JobContext,
    JobProcess,
    cli,
    inference,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("preemptive")


class Quick(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You answer fast.")


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD(min_silence_duration=0.25)


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()
    caller = await ctx.wait_for_participant()
    logger.info("a caller of kind %s", caller.kind)

    session = AgentSession(
        stt=SyntheticSTT(latency_s=0.1),
        llm=SyntheticLLM(ttft_s=0.2),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={
            "turn_detection": "vad",
            "preemptive_generation": {"enabled": True, "preemptive_tts": True},
            "endpointing": {"min_delay": 0.4, "max_delay": 2.0},
            "interruption": {"resume_false_interruption": True, "false_interruption_timeout": 1.0},
        },
        user_away_timeout=30.0,
    )

    @session.on("agent_state_changed")
    def on_state(event: AgentStateChangedEvent) -> None:
        logger.debug("%s -> %s", event.old_state, event.new_state)

    @session.on("conversation_item_added")
    def on_item(event: ConversationItemAddedEvent) -> None:
        logger.info("turn of the %s", getattr(event.item, "role", "?"))

    await session.start(agent=Quick(), room=ctx.room)
    await session.say("Hello, ask me anything.", allow_interruptions=True)


if __name__ == "__main__":
    cli.run_app(server)
