"""A friendly assistant: it greets, then answers."""

import logging

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    MetricsCollectedEvent,
    cli,
    inference,
    metrics,
    room_io,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("plain-agent")


class Assistant(Agent):
    def __init__(self) -> None:
        super().__init__(
            instructions="Your name is Robin. You talk to people on the phone: short answers, no special characters.",
        )

    async def on_enter(self) -> None:
        self.session.generate_reply(instructions="Greet the user and offer your help.")


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    ctx.log_context_fields = {"room": ctx.room.name}
    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "vad"},
    )

    @session.on("metrics_collected")
    def on_metrics(event: MetricsCollectedEvent) -> None:
        metrics.log_metrics(event.metrics)

    async def log_usage() -> None:
        logger.info("usage: %s", session.usage)

    ctx.add_shutdown_callback(log_usage)

    await session.start(
        agent=Assistant(),
        room=ctx.room,
        room_options=room_io.RoomOptions(audio_input=room_io.AudioInputOptions()),
    )


if __name__ == "__main__":
    cli.run_app(server)
