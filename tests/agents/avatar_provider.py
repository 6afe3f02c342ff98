"""An avatar provider: asked over HTTP, it joins a room, plays what its agent sends, shows a picture, leaves with it.

python avatar_provider.py PORT      POST /launch {"url": ..., "token": ...}      GET /avatars -> how many there are
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web
from livekit import rtc
from livekit.agents.voice.avatar import (
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    DataStreamAudioReceiver,
    VideoGenerator,
)
from livekit.agents.voice.room_io import ATTRIBUTE_PUBLISH_ON_BEHALF

OPTIONS = AvatarOptions(video_width=64, video_height=64, video_fps=10, audio_sample_rate=24_000, audio_channels=1)


class StillPicture(VideoGenerator):
    """A grey picture, ten times a second, and beside it the sound."""

    def __init__(self) -> None:
        self._sound: asyncio.Queue[rtc.AudioFrame | AudioSegmentEnd] = asyncio.Queue()
        self._rest = b""

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        await self._sound.put(frame)

    def clear_buffer(self) -> None:
        while not self._sound.empty():
            self._sound.get_nowait()
        self._rest = b""

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        return self._pictures()

    async def _pictures(self) -> AsyncGenerator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd, None]:
        step = int(OPTIONS.audio_sample_rate / OPTIONS.video_fps) * 2
        while True:
            try:
                sound = await asyncio.wait_for(self._sound.get(), timeout=0.5 / OPTIONS.video_fps)
            except TimeoutError:
                yield _picture()
                await asyncio.sleep(0)
                continue
            over = isinstance(sound, AudioSegmentEnd)
            self._rest += bytes(step - len(self._rest) % step) if over and self._rest else b""
            self._rest += b"" if isinstance(sound, AudioSegmentEnd) else bytes(sound.data)
            while len(self._rest) >= step:
                part, self._rest = self._rest[:step], self._rest[step:]
                yield _picture()
                yield rtc.AudioFrame(part, OPTIONS.audio_sample_rate, 1, step // 2)
            if over:
                yield sound


def _picture() -> rtc.VideoFrame:
    size = OPTIONS.video_width * OPTIONS.video_height * 4
    return rtc.VideoFrame(OPTIONS.video_width, OPTIONS.video_height, rtc.VideoBufferType.RGBA, bytes([128]) * size)


async def be_avatar(url: str, token: str) -> None:
    room, over = rtc.Room(), asyncio.Event()

    def on_gone(participant: rtc.RemoteParticipant) -> None:
        if participant.identity == agent:
            over.set()

    room.on("participant_disconnected", on_gone)
    room.on("disconnected", lambda _: over.set())
    await room.connect(url, token)
    agent = room.local_participant.attributes[ATTRIBUTE_PUBLISH_ON_BEHALF]
    runner = AvatarRunner(
        room,
        audio_recv=DataStreamAudioReceiver(room, sender_identity=agent),
        video_gen=StillPicture(),
        options=OPTIONS,
    )
    try:
        await runner.start()
        await over.wait()
    finally:
        await runner.aclose()
        await room.disconnect()


avatars: set[asyncio.Task[None]] = set()


async def launch(request: web.Request) -> web.Response:
    wanted = await request.json()
    avatar = asyncio.create_task(be_avatar(wanted["url"], wanted["token"]))
    avatars.add(avatar)
    avatar.add_done_callback(avatars.discard)
    return web.json_response({})


async def count(_: web.Request) -> web.Response:
    return web.json_response({"avatars": len(avatars)})


if __name__ == "__main__":
    provider = web.Application()
    provider.add_routes([web.post("/launch", launch), web.get("/avatars", count)])
    web.run_app(provider, host="127.0.0.1", port=int(sys.argv[1]))
