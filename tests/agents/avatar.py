"""The agent's voice comes from a second participant, its avatar, whom a provider brings into the room.

The provider is `avatar_provider.py`, at the address AVATAR_URL.
"""

import logging
import os

import aiohttp
from livekit import api, rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobProcess,
    cli,
    get_job_context,
    inference,
)
from livekit.agents.voice.avatar import AvatarSession, DataStreamAudioOutput
from livekit.agents.voice.room_io import ATTRIBUTE_PUBLISH_ON_BEHALF

from voicefleet.local.synthetic import SyntheticLLM, SyntheticSTT, SyntheticTTS

logger = logging.getLogger("avatar-agent")


class LocalAvatar(AvatarSession[str]):
    """What an avatar plugin is: it gets a token for the avatar, and sends it the agent's audio."""

    @property
    def avatar_identity(self) -> str:
        return "local-avatar-agent"

    @property
    def provider(self) -> str:
        return "local"

    async def start(self, agent_session: AgentSession, room: rtc.Room) -> None:
        await super().start(agent_session, room)
        token = (
            api.AccessToken()
            .with_identity(self.avatar_identity)
            .with_name("avatar")
            .with_grants(api.VideoGrants(room_join=True, room=room.name))
            .with_kind("agent")
            .with_attributes({ATTRIBUTE_PUBLISH_ON_BEHALF: room.local_participant.identity})
            .to_jwt()
        )
        launch = {"url": get_job_context()._info.url, "token": token}
        async with aiohttp.ClientSession(raise_for_status=True) as http:
            await http.post(f"{os.environ['AVATAR_URL']}/launch", json=launch)
        agent_session.output.replace_audio_tail(
            DataStreamAudioOutput(
                room,
                destination_identity=self.avatar_identity,
                wait_remote_track=rtc.TrackKind.KIND_VIDEO,
                wait_playback_start=True,
            )
        )


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
        turn_handling={"interruption": {"resume_false_interruption": False}},
    )
    avatar = LocalAvatar()
    await avatar.start(session, ctx.room)

    await session.start(agent=Agent(instructions="Talk to me!"), room=ctx.room)
    await session.generate_reply(instructions="say hello to the user")


if __name__ == "__main__":
    cli.run_app(server)
