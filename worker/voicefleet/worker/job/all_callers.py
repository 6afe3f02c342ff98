"""Has the agent hear all callers of its room, mixed (a tier's `listen_to: all`), in place of one alone.

The session stays linked to one caller, whose audio comes as ever; that of the others is added to it. Noise cancellation
that the team asks for is of the linked caller's audio alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import AgentSession
from livekit.agents.voice.io import AudioInput
from numpy.typing import NDArray

from voicefleet.runtime.tasks import cancel_and_wait
from voicefleet.worker.job.caller_link import PRESENCE_EVENTS, CallerLink, callers_in

CHUNK_S = 0.05
RATE = 24_000
"""What livekit-agents' own input has, unless a team says otherwise."""
LONGEST_S = 1.0
"""What nobody reads, before the session listens, is forgotten after this."""

Samples = NDArray[np.int16]


class Mixer:
    """Adds up what several speak, in chunks of `size` samples. Pure.

    Who has nothing to add does not hold up the others for longer than a chunk.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._of: dict[str, Samples] = {}

    def push(self, who: str, samples: Samples) -> list[Samples]:
        """More of what `who` says; the chunks that are complete now."""
        before = self._of.get(who)
        self._of[who] = samples if before is None else np.concatenate((before, samples))
        found = []
        while self._complete():
            found.append(self._take())
        return found

    def leave(self, who: str) -> None:
        self._of.pop(who, None)

    def _complete(self) -> bool:
        lengths = [len(samples) for samples in self._of.values()]
        return max(lengths, default=0) >= 2 * self._size or min(lengths, default=0) >= self._size

    def _take(self) -> Samples:
        total = np.zeros(self._size, np.int32)
        for who, samples in self._of.items():
            part = samples[: self._size]
            total[: len(part)] += part
            self._of[who] = samples[self._size :]
        return np.clip(total, -32_768, 32_767).astype(np.int16)


class AllCallers(AudioInput):
    """The session's audio input, with the voices of the other callers in it."""

    def __init__(self, source: AudioInput, room: rtc.Room, link: CallerLink) -> None:
        super().__init__(label="voicefleet-all-callers", source=source)
        self._from = source
        self._room = room
        self._link = link
        self._mixer = Mixer(round(RATE * CHUNK_S))
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue(round(LONGEST_S / CHUNK_S))
        self._pumps: dict[str, asyncio.Task[None]] = {"": asyncio.create_task(self._pump_linked())}
        self._resampler: rtc.AudioResampler | None = None
        for event in (*PRESENCE_EVENTS, "track_subscribed", "track_unsubscribed"):
            room.on(event, lambda *_: self.look())  # type: ignore[arg-type]
        self.look()

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()

    async def aclose(self) -> None:
        await cancel_and_wait(list(self._pumps.values()))

    def look(self) -> None:
        """Somebody came, went, or speaks by another track."""
        wanted = self._tracks()
        for name in [name for name in self._pumps if name and name not in wanted]:
            self._pumps.pop(name).cancel()
            self._mixer.leave(name)
        for name, track in wanted.items():
            if name not in self._pumps:
                self._pumps[name] = asyncio.create_task(self._pump(name, track))

    def _tracks(self) -> dict[str, rtc.Track]:
        """Name -> microphone of each caller but the linked one."""
        found: dict[str, rtc.Track] = {}
        for identity in callers_in(self._room):
            if identity == self._link.caller:
                continue
            for publication in self._room.remote_participants[identity].track_publications.values():
                if publication.track is not None and publication.source == rtc.TrackSource.SOURCE_MICROPHONE:
                    found[f"{identity} {publication.sid}"] = publication.track
        return found

    async def _pump(self, name: str, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                self._add(name, event.frame)
        finally:
            self._mixer.leave(name)
            await stream.aclose()

    async def _pump_linked(self) -> None:
        async for frame in self._from:
            for part in self._at_rate(frame):
                self._add("", part)

    def _at_rate(self, frame: rtc.AudioFrame) -> list[rtc.AudioFrame]:
        if frame.sample_rate == RATE and frame.num_channels == 1:
            return [frame]
        if self._resampler is None:
            self._resampler = rtc.AudioResampler(frame.sample_rate, RATE, num_channels=frame.num_channels)
        return self._resampler.push(frame)

    def _add(self, name: str, frame: rtc.AudioFrame) -> None:
        samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)[:, 0]
        for chunk in self._mixer.push(name, samples):
            if self._frames.full():
                self._frames.get_nowait()
            self._frames.put_nowait(rtc.AudioFrame(chunk.tobytes(), RATE, 1, len(chunk)))


def hear_all(session: AgentSession[Any], room: rtc.Room, link: CallerLink) -> AllCallers | None:
    """Have `session`, which has started, hear all callers of `room`; None when it hears nobody."""
    if session.input.audio is None:
        return None
    session.input.audio = everyone = AllCallers(session.input.audio, room, link)
    return everyone
