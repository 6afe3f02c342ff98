"""Mutes what the caller hears of the agent, and holds back what the agent hears of the caller."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.io import AudioInput

HEARD_BACK_S = 0.6
"""What the caller said this long before the gate opens is heard: a detector needs speech to see that it began."""

OURS_KEPT_S = 10.0
"""Once the call is ours, all that the caller says before the agent is ready to hear it."""


class Voice:
    """What the caller hears of one job, muted or not."""

    def __init__(self, room: rtc.Room, session: AgentSession[Any]) -> None:
        self._room = room
        self._session = session
        self.muted = self.held = False
        room.on("local_track_published", self._on_published)

    def mute(self, muted: bool) -> None:
        """Muted: not a sample more, at once, where the tracks are sent; what is being said waits. Else it goes on."""
        self.muted = muted
        for publication in self._room.local_participant.track_publications.values():
            if isinstance(publication.track, rtc.LocalAudioTrack):
                (publication.track.mute if muted else publication.track.unmute)()
        if (audio := self._session.output.audio) is not None:
            (audio.pause if muted else audio.resume)()

    def hold(self, held: bool) -> None:
        """Held: what is being said waits, and goes on when it is not held any more. Nothing is dropped."""
        self.held = held
        if not self.muted and (audio := self._session.output.audio) is not None:
            (audio.pause if held else audio.resume)()

    def _on_published(self, _: rtc.LocalTrackPublication, track: rtc.Track) -> None:
        if self.muted and isinstance(track, rtc.LocalAudioTrack):
            track.mute()


class Gate(AudioInput):
    """The session's audio input with a gate before it. Closed, it keeps the last `keep_s` seconds for later."""

    def __init__(self, source: AudioInput, *, closed: bool = False, keep_s: float = HEARD_BACK_S) -> None:
        super().__init__(label="voicefleet-gate", source=source)
        self._from = source
        self._closed = closed
        self._keep_s = keep_s
        self._kept: deque[rtc.AudioFrame] = deque()
        self._kept_s = 0.0
        self._attached = True
        self.asked = self.given = 0
        """Frames that the session has asked for, and that it was given."""
        self.passed: Callable[[rtc.AudioFrame], None] | None = None
        """Sees each frame that the session is given."""

    @property
    def open(self) -> bool:
        """The session is to hear what comes."""
        return self._attached and not self._closed

    @property
    def waits(self) -> bool:
        """The session waits for a frame."""
        return self.asked > self.given

    def on_attached(self) -> None:
        self._attached = True
        super().on_attached()

    def on_detached(self) -> None:
        self._attached = False
        super().on_detached()

    def close(self, closed: bool = True) -> None:
        self._closed = closed

    def keep(self, seconds: float) -> None:
        """Keep the last `seconds` while closed."""
        self._keep_s = seconds

    async def __anext__(self) -> rtc.AudioFrame:
        self.asked = self.given + 1
        frame = await self._next()
        self.given += 1
        if self.passed is not None:
            self.passed(frame)
        return frame

    async def _next(self) -> rtc.AudioFrame:
        while self._closed or not self._kept:
            frame = await self._from.__anext__()
            if not self._closed and not self._kept:
                return frame
            self._kept.append(frame)
            self._kept_s += frame.duration
            while self._closed and self._kept_s > self._keep_s:
                self._kept_s -= self._kept.popleft().duration
        frame = self._kept.popleft()
        self._kept_s -= frame.duration
        return frame


def put_gate(session: AgentSession[Any], *, closed: bool = False) -> Gate | None:
    """Put a gate before the input of the session, which has started; None when it has no audio input."""
    if session.input.audio is None:
        return None
    gate = Gate(session.input.audio, closed=closed)
    session.input.audio = gate
    return gate
