"""Decides for itself when the caller has finished: by the words, with a turn detector of its own."""

import logging

from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    ChatContext,
    JobContext,
    JobProcess,
    LanguageCode,
    cli,
    inference,
)

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("turn-detection")

OPEN_ENDED = ("and", "but", "because", "so", "um")


class WordTurnDetector:
    """A turn is over unless its last word promises more."""

    model = "last-word"
    provider = "own"

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        return 0.5

    async def supports_language(self, language: LanguageCode | None) -> bool:
        return True

    async def predict_end_of_turn(self, chat_ctx: ChatContext, *, timeout: float | None = None) -> float:
        said = [message.text_content or "" for message in chat_ctx.messages() if message.role == "user"]
        words = said[-1].lower().strip(" .,?!").split() if said else []
        logger.info("end of turn asked for, %d words", len(words))
        return 0.1 if words and words[-1] in OPEN_ENDED else 0.9


class Listener(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You listen well and answer briefly.")

    async def on_enter(self) -> None:
        await self.session.generate_reply(instructions="Greet the user.")


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD(min_silence_duration=0.3)


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={
            "turn_detection": WordTurnDetector(),
            "endpointing": {"min_delay": 0.2, "max_delay": 2.0},
            "interruption": {"mode": "vad", "min_duration": 0.4},
        },
    )
    await session.start(agent=Listener(), room=ctx.room)


if __name__ == "__main__":
    cli.run_app(server)
