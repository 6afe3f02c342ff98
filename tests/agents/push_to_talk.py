"""Push to talk: the agent hears nobody until a client asks for the word by RPC, and answers when it is given back."""

import logging

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobProcess, cli, inference
from livekit.agents.llm import ChatContext, ChatMessage, StopResponse

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("push-to-talk")


class Operator(Agent):
    def __init__(self) -> None:
        super().__init__(instructions="You are the operator of a radio.")

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        if not new_message.text_content:
            logger.info("nothing was said")
            raise StopResponse


server = AgentServer()


def prewarm(proc: JobProcess) -> None:
    proc.userdata["vad"] = inference.VAD()


server.setup_fnc = prewarm


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()

    session = AgentSession(
        stt=SyntheticSTT(),
        llm=SyntheticLLM(),
        tts=SyntheticTTS(),
        vad=ctx.proc.userdata["vad"],
        turn_handling={"turn_detection": "manual"},
    )
    await session.start(agent=Operator(), room=ctx.room)

    # Nobody is heard until somebody has the word.
    session.input.set_audio_enabled(False)

    @ctx.room.local_participant.register_rpc_method("start_turn")
    async def start_turn(data: rtc.RpcInvocationData) -> str:
        await session.interrupt()
        session.clear_user_turn()
        session.room_io.set_participant(data.caller_identity)
        session.input.set_audio_enabled(True)
        return "ok"

    @ctx.room.local_participant.register_rpc_method("end_turn")
    async def end_turn(data: rtc.RpcInvocationData) -> str:
        session.input.set_audio_enabled(False)
        session.commit_user_turn(transcript_timeout=5.0, stt_flush_duration=0.3)
        return "ok"

    @ctx.room.local_participant.register_rpc_method("cancel_turn")
    async def cancel_turn(data: rtc.RpcInvocationData) -> str:
        session.input.set_audio_enabled(False)
        session.clear_user_turn()
        return "ok"

    session.say("Press the button to talk. Over.")


if __name__ == "__main__":
    cli.run_app(server)
