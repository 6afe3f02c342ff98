"""An agent's audio output without a room: says when what began, and plays in the loop's own time."""

from __future__ import annotations

import asyncio

from livekit import rtc
from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities


class Loudspeaker(AudioOutput):
    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False))
        self.heard: list[tuple[float, float]] = []
        """When each speech began and how long it was, seconds."""
        self._queued_s = 0.0
        self._began_s = 0.0
        self._playing: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        if not self._queued_s:
            self._began_s = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=self._began_s)
        self._queued_s += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._queued_s and self._playing is None:
            self._playing = asyncio.get_running_loop().call_later(self._queued_s, self._end, False)

    def clear_buffer(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._end(True)

    def _end(self, interrupted: bool) -> None:
        length_s, self._queued_s, self._playing = self._queued_s, 0.0, None
        self.heard.append((self._began_s, length_s))
        self.on_playback_finished(playback_position=length_s, interrupted=interrupted)
